//! Admission and the guard: which run starts, and which change may be sent.

use std::collections::BTreeSet;

use cluster::ObjectKey;
use jiff::Timestamp;
use workflow::Entry;
use workflow::guardrail::{self, GuardrailDecision};
use workflow::id::RunId;
use workflow::run::{Event, FleetEvent};

use super::{Fleet, GLOBAL_BUDGET};
use crate::machine::{ChangeRequest, Direction, Rejected, Rules, Run};

/// Decision of the guard on a change.
enum GuardDecision {
    /// The change may be sent, after taking the lock if the run does not hold it.
    Send { takes_lock: bool },
    /// The change must wait for an emergency stop to be cleared.
    Wait,
    /// The change must not be sent.
    Deny { message: String },
}

impl Fleet {
    /// Applies everything that follows across runs: grants or denies changes, releases the locks of ended runs and admits
    /// queued runs.
    pub(super) fn reconcile(
        &mut self,
        rules: &Rules,
        now: Timestamp,
        epoch: u64,
        out: &mut Vec<Entry>,
    ) {
        let mut seen = 0;
        loop {
            let changed: BTreeSet<RunId> = out[seen..]
                .iter()
                .filter_map(|entry| match entry {
                    Entry::Run { run, .. } => Some(run.clone()),
                    _ => None,
                })
                .collect();
            seen = out.len();
            for run in &changed {
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

    /// Checks every change that the run is ready to send.
    fn guard(
        &mut self,
        id: &RunId,
        rules: &Rules,
        now: Timestamp,
        epoch: u64,
        out: &mut Vec<Entry>,
    ) {
        let changes =
            self.state.runs.get(id).map(|run| run.change_requests(rules)).unwrap_or_default();
        for change in changes {
            let Some(run) = self.state.runs.get(id) else { return };
            // An earlier change of this list may have made this one obsolete.
            if !run.change_requests(rules).contains(&change) {
                continue;
            }
            let events = match self.guard_decision(run, &change, rules, now) {
                GuardDecision::Wait => continue,
                GuardDecision::Deny { message } => run.deny(&change, message, now),
                GuardDecision::Send { takes_lock } => {
                    let events = run.grant(&change, epoch, now);
                    let object = change.target.clone();
                    if takes_lock {
                        self.emit_fleet(
                            FleetEvent::Locked { object: object.clone(), run: id.clone() },
                            out,
                        );
                    }
                    self.emit_fleet(
                        FleetEvent::RateLimitReserved {
                            scope: GLOBAL_BUDGET.into(),
                            object,
                            at: now,
                        },
                        out,
                    );
                    events
                }
            };
            self.follow_up(id, events, rules, now, out);
        }
    }

    fn guard_decision(
        &self,
        run: &Run,
        change: &ChangeRequest,
        rules: &Rules,
        now: Timestamp,
    ) -> GuardDecision {
        if self.state.stops.strictest(run.id()).is_some() {
            return GuardDecision::Wait;
        }
        let takes_lock = match self.lock(&change.target) {
            // Waiting here could deadlock: the other run may wait for a lock of this run.
            Some(lock) if lock.run != *run.id() => {
                return GuardDecision::Deny {
                    message: format!("{} is locked by run {}", change.target, lock.run),
                };
            }
            Some(_) => false,
            None => true,
        };
        // A compensation restores the previous state. Guardrails limit new changes, and were checked for the change that is
        // being reverted.
        if change.direction == Direction::Compensate {
            return GuardDecision::Send { takes_lock };
        }
        match guardrail::judge(&rules.guardrails, &change.impact, &self.state.change_log, now) {
            GuardrailDecision::Allow => GuardDecision::Send { takes_lock },
            // A plan that needs approval is submitted only after its approval.
            GuardrailDecision::NeedsApproval { .. } if run.plan().needs_approval.is_some() => {
                GuardDecision::Send { takes_lock }
            }
            GuardrailDecision::NeedsApproval { message } => {
                GuardDecision::Deny { message: format!("approval required: {message}") }
            }
            GuardrailDecision::SuggestOnly { message } => GuardDecision::Deny { message },
            GuardrailDecision::Deny { rule, message, hint } => {
                GuardDecision::Deny { message: denied(&rule, &message, &hint) }
            }
        }
    }

    /// Releases the locks of an ended run.
    fn release(&mut self, id: &RunId, out: &mut Vec<Entry>) {
        if self.state.runs.contains_key(id) {
            return;
        }
        let locked: Vec<_> = self
            .state
            .locks
            .values()
            .filter(|lock| lock.run == *id)
            .map(|lock| lock.object.clone())
            .collect();
        for object in locked {
            self.emit_fleet(FleetEvent::Unlocked { object, run: id.clone() }, out);
        }
    }

    /// Admits queued runs whose targets are not locked, by priority and then by age. A run never overtakes another one that
    /// waits for the same object.
    fn admit(&mut self, rules: &Rules, now: Timestamp, out: &mut Vec<Entry>) {
        let mut queue: Vec<(u8, RunId)> = self
            .state
            .runs
            .values()
            .filter(|run| {
                run.is_queued() && run.view().emergency_stop.is_none() && !run.view().is_paused
            })
            .map(|run| (priority(run), run.id().clone()))
            .collect();
        queue.sort();
        let mut slots = self
            .limit
            .saturating_sub(self.state.runs.values().filter(|run| !run.is_queued()).count());
        let mut reserved: BTreeSet<ObjectKey> = BTreeSet::new();
        for (_, id) in queue {
            if slots == 0 {
                return;
            }
            let Some(run) = self.state.runs.get(&id) else { continue };
            let targets = run.plan().targets.clone();
            let keys: BTreeSet<ObjectKey> = targets.iter().map(ObjectKey::from).collect();
            let is_free = keys
                .iter()
                .all(|key| !reserved.contains(key) && !self.state.locks.contains_key(key));
            if !is_free {
                reserved.extend(keys);
                continue;
            }
            for object in targets {
                if self.lock(&object).is_none() {
                    self.emit_fleet(FleetEvent::Locked { object, run: id.clone() }, out);
                }
            }
            self.follow_up(&id, vec![Event::Admitted { at: now }], rules, now, out);
            slots -= 1;
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
        let Some(run) = self.state.runs.get(id) else { return };
        let events = run.follow_up(events, rules, now);
        match self.record_events(id, events, now, out) {
            Ok(()) | Err(Rejected::Runaway { .. }) => {}
            Err(rejected) => {
                unreachable!("following up an event is only rejected as a runaway: {rejected}")
            }
        }
    }
}

/// Returns the rank of the workflow's label `priority`: `high` is first, `low` is last.
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
