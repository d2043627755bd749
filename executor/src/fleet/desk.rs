//! What was handed out and what is due: the driver's memory, no part of the fold, gone with the process.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use workflow::id::{EffectId, RunId};
use workflow::run::{Effect, Pending, RunInput};

use crate::machine::{Rules, Run};

/// After so long a question without an answer is put again.
const AGAIN: SignedDuration = SignedDuration::from_secs(20);

/// Each run's effects that are out, and its next deadline.
#[derive(Debug, Default)]
pub(super) struct Desk {
    touched: BTreeSet<RunId>,
    out: BTreeMap<RunId, BTreeMap<EffectId, Option<Timestamp>>>,
    deadlines: BTreeMap<RunId, Timestamp>,
}

impl Desk {
    pub(super) fn touch(&mut self, run: &RunId) {
        if !self.touched.contains(run) {
            self.touched.insert(run.clone());
        }
    }

    /// The runs with a deadline at `now` or before, and those whose deadline was not looked at yet.
    pub(super) fn due(&mut self, now: Timestamp) -> BTreeSet<RunId> {
        let late = self.deadlines.iter().filter(|(_, at)| **at <= now).map(|(run, _)| run);
        let due: BTreeSet<RunId> = late.chain(&self.touched).cloned().collect();
        due.iter().for_each(|run| self.touch(run));
        due
    }

    /// A change that was sent by a process that is gone is not handed out by this one.
    pub(super) fn note_lost(&mut self, input: &RunInput) {
        if let RunInput::Answered { run, effect, .. } = input {
            self.out.entry(run.clone()).or_default().insert(effect.clone(), None);
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
                self.out.remove(&id);
                self.deadlines.remove(&id);
                continue;
            };
            let pending = run.pending(rules, now);
            let out = self.out.entry(id.clone()).or_default();
            out.retain(|open, again| {
                pending.effects.iter().any(|effect| effect.id() == open)
                    && again.is_none_or(|at| at > now)
            });
            for effect in pending.effects {
                if !out.contains_key(effect.id()) {
                    out.insert(effect.id().clone(), again(&effect, now));
                    effects.push(effect);
                }
            }
            let deadline = out.values().flatten().copied().chain(pending.deadline).min();
            match deadline {
                Some(at) => self.deadlines.insert(id, at),
                None => self.deadlines.remove(&id),
            };
        }
        Pending { effects, deadline: self.deadlines.values().min().copied() }
    }
}

/// When an effect is handed out again, if it may be.
fn again(effect: &Effect, now: Timestamp) -> Option<Timestamp> {
    match effect {
        Effect::Send { .. } => None,
        Effect::Read { .. } | Effect::Judge { .. } | Effect::Measure { .. } => {
            now.checked_add(AGAIN).ok()
        }
    }
}
