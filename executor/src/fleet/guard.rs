//! Turns and the guard: who begins, and which change may be sent.

use std::collections::BTreeSet;

use jiff::Timestamp;
use workflow::Entry;
use workflow::guardrail::{self, Ledger, Verdict};
use workflow::id::RunId;
use workflow::run::{Event, FleetEvent};

use super::{Fleet, GLOBAL};
use crate::machine::{Deed, Rejected, Rules, Run, Want};

/// What the guard says to a change.
enum Say {
    /// It may be sent; the lock must be taken first where it is not held.
    Send { takes_lock: bool },
    /// Not now.
    Wait,
    /// It may not.
    No { why: String },
}

impl Fleet {
    /// Everything that follows across runs: changes are granted or denied, locks of ended runs fall, the next begin.
    pub(super) fn settle(
        &mut self,
        rules: &Rules,
        now: Timestamp,
        epoch: u64,
        out: &mut Vec<Entry>,
    ) {
        let mut seen = 0;
        loop {
            let fresh: BTreeSet<RunId> = out[seen..]
                .iter()
                .filter_map(|entry| match entry {
                    Entry::Run { run, .. } => Some(run.clone()),
                    _ => None,
                })
                .collect();
            seen = out.len();
            for run in &fresh {
                self.guard(run, rules, now, epoch, out);
                self.release(run, out);
            }
            if seen == out.len() {
                self.admit(rules, now, out);
                if seen == out.len() {
                    return;
                }
            }
        }
    }

    /// Puts every change that the run is ready to send before the guard.
    fn guard(
        &mut self,
        id: &RunId,
        rules: &Rules,
        now: Timestamp,
        epoch: u64,
        out: &mut Vec<Entry>,
    ) {
        let wants = self.fold.runs.get(id).map(|run| run.wants(rules)).unwrap_or_default();
        for want in wants {
            let Some(run) = self.fold.runs.get(id) else { return };
            // An earlier one of them may have ended what this one was for.
            if !run.wants(rules).contains(&want) {
                continue;
            }
            let events = match self.say(run, &want, rules, now) {
                Say::Wait => continue,
                Say::No { why } => run.deny(&want, why, now),
                Say::Send { takes_lock } => {
                    let events = run.grant(&want, epoch, now);
                    let object = want.target.clone();
                    if takes_lock {
                        self.emit_fleet(
                            FleetEvent::Locked { object: object.clone(), run: id.clone() },
                            out,
                        );
                    }
                    self.emit_fleet(
                        FleetEvent::Budgeted { scope: GLOBAL.into(), object, at: now },
                        out,
                    );
                    events
                }
            };
            self.follow_up(id, events, rules, now, out);
        }
    }

    fn say(&self, run: &Run, want: &Want, rules: &Rules, now: Timestamp) -> Say {
        if self.fold.stopped(run.id()).is_some() {
            return Say::Wait;
        }
        let takes_lock = match self.lock(&want.target) {
            // To wait here could be to wait for one who waits for us.
            Some(lock) if lock.run != *run.id() => {
                return Say::No {
                    why: format!(
                        "{} is being changed by run {}: not ours to change now",
                        want.target, lock.run
                    ),
                };
            }
            Some(_) => false,
            None => true,
        };
        // An undo puts back what stood there before us: guardrails bound what we bring about, and have had their say.
        if want.deed == Deed::Undo {
            return Say::Send { takes_lock };
        }
        match guardrail::judge(&rules.guardrails, &want.footprint, &self.fold.ledger, now) {
            Verdict::Allow => Say::Send { takes_lock },
            // A plan that says that it needs approval is submitted approved.
            Verdict::NeedsApproval { .. } if run.plan().needs_approval.is_some() => {
                Say::Send { takes_lock }
            }
            Verdict::NeedsApproval { why } => {
                Say::No { why: format!("a person must approve this first: {why}") }
            }
            Verdict::SuggestOnly { why } => Say::No { why },
            Verdict::Deny { rule, message, hint } => {
                Say::No { why: denied(&rule, &message, &hint) }
            }
        }
    }

    /// An ended run's locks fall.
    fn release(&mut self, id: &RunId, out: &mut Vec<Entry>) {
        if self.fold.runs.contains_key(id) {
            return;
        }
        let held: Vec<_> = self
            .fold
            .locks
            .values()
            .filter(|lock| lock.run == *id)
            .map(|lock| lock.object.clone())
            .collect();
        for object in held {
            self.emit_fleet(FleetEvent::Unlocked { object, run: id.clone() }, out);
        }
    }

    /// Lets runs begin whose targets are free: by priority, then the oldest first, and none overtakes one that waits
    /// for the same object.
    fn admit(&mut self, rules: &Rules, now: Timestamp, out: &mut Vec<Entry>) {
        let mut queue: Vec<(u8, RunId)> = self
            .fold
            .runs
            .values()
            .filter(|run| run.is_queued() && run.view().held.is_none() && !run.view().is_paused)
            .map(|run| (priority(run), run.id().clone()))
            .collect();
        queue.sort();
        let mut free = self
            .limit
            .saturating_sub(self.fold.runs.values().filter(|run| !run.is_queued()).count());
        let mut spoken_for: BTreeSet<String> = BTreeSet::new();
        for (_, id) in queue {
            if free == 0 {
                return;
            }
            let Some(run) = self.fold.runs.get(&id) else { continue };
            let targets = run.plan().targets.clone();
            let keys: BTreeSet<String> = targets.iter().map(Ledger::key).collect();
            let is_free = keys
                .iter()
                .all(|key| !spoken_for.contains(key) && !self.fold.locks.contains_key(key));
            if !is_free {
                spoken_for.extend(keys);
                continue;
            }
            for object in targets {
                if self.lock(&object).is_none() {
                    self.emit_fleet(FleetEvent::Locked { object, run: id.clone() }, out);
                }
            }
            self.follow_up(&id, vec![Event::Admitted { at: now }], rules, now, out);
            free -= 1;
        }
    }

    fn follow_up(
        &mut self,
        id: &RunId,
        events: Vec<Event>,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) {
        let Some(run) = self.fold.runs.get(id) else { return };
        let events = run.follow_up(events, rules, now);
        match self.take(id, events, now, out) {
            Ok(()) | Err(Rejected::Runaway { .. }) => {}
            Err(rejected) => unreachable!(
                "what follows from an event is rejected for going round in circles only: {rejected}"
            ),
        }
    }
}

/// Read off the workflow's label `priority`: `high` before all, `low` after all.
fn priority(run: &Run) -> u8 {
    match run.plan().workflow.metadata.labels.get("priority").map(String::as_str) {
        Some("high") => 0,
        Some("low") => 2,
        Some(_) | None => 1,
    }
}

fn denied(rule: &str, message: &str, hint: &str) -> String {
    if hint.is_empty() {
        format!("guardrail `{rule}`: {message}")
    } else {
        format!("guardrail `{rule}`: {message}; {hint}")
    }
}
