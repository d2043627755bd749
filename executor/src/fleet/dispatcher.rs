//! Which effects were dispatched and what is due: the driver's memory, which is not part of the folded state and is lost
//! with the process.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use workflow::id::{EffectId, RunId};
use workflow::run::{Effect, Pending, RunInput};

use crate::machine::{Rules, Run};

/// A read without a result is dispatched again after this time.
const READ_TIMEOUT: SignedDuration = SignedDuration::from_secs(20);

/// The dispatched effects and the next deadline of each run.
#[derive(Debug, Default)]
pub(super) struct Dispatcher {
    touched: BTreeSet<RunId>,
    /// Dispatched effects by run, each with the time at which it is dispatched again; `None` for never.
    in_flight: BTreeMap<RunId, BTreeMap<EffectId, Option<Timestamp>>>,
    deadlines: BTreeMap<RunId, Timestamp>,
}

impl Dispatcher {
    pub(super) fn touch(&mut self, run: &RunId) {
        if !self.touched.contains(run) {
            self.touched.insert(run.clone());
        }
    }

    /// Returns the runs with a deadline at or before `now`, and those whose deadline has not been computed yet.
    pub(super) fn due(&mut self, now: Timestamp) -> BTreeSet<RunId> {
        let late = self.deadlines.iter().filter(|(_, at)| **at <= now).map(|(run, _)| run);
        let due: BTreeSet<RunId> = late.chain(&self.touched).cloned().collect();
        due.iter().for_each(|run| self.touch(run));
        due
    }

    /// Marks a change that the previous process sent as dispatched, so that this process does not send it.
    pub(super) fn mark_interrupted(&mut self, input: &RunInput) {
        if let RunInput::ChangeAnswered { run, effect, .. } = input {
            self.in_flight.entry(run.clone()).or_default().insert(effect.clone(), None);
        }
    }

    pub(super) fn pending(
        &mut self,
        runs: &BTreeMap<RunId, Run>,
        rules: &Rules,
        now: Timestamp,
    ) -> Pending {
        let mut effects = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let Some(run) = runs.get(&id) else {
                self.in_flight.remove(&id);
                self.deadlines.remove(&id);
                continue;
            };
            let pending = run.pending(rules, now);
            let in_flight = self.in_flight.entry(id.clone()).or_default();
            in_flight.retain(|id, retry_at| {
                pending.effects.iter().any(|effect| effect.id() == id)
                    && retry_at.is_none_or(|at| at > now)
            });
            for effect in pending.effects {
                if !in_flight.contains_key(effect.id()) {
                    in_flight.insert(effect.id().clone(), retry_at(&effect, now));
                    effects.push(effect);
                }
            }
            let deadline = in_flight.values().flatten().copied().chain(pending.deadline).min();
            match deadline {
                Some(at) => self.deadlines.insert(id, at),
                None => self.deadlines.remove(&id),
            };
        }
        Pending { effects, deadline: self.deadlines.values().min().copied() }
    }
}

/// Returns when an effect is dispatched again; `None` for a change, which never is.
fn retry_at(effect: &Effect, now: Timestamp) -> Option<Timestamp> {
    match effect {
        Effect::Send { .. } => None,
        Effect::Read { .. } | Effect::Evaluate { .. } | Effect::Measure { .. } => {
            now.checked_add(READ_TIMEOUT).ok()
        }
    }
}
