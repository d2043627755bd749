//! What came of the runs, counted at the cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use workflow::RunStatus;

use super::witness::Seen;

/// How many times each effect key changed the cluster.
pub(crate) type Applied = BTreeMap<String, u32>;

/// How many notes of a kind are kept.
const NOTES: usize = 20;

/// What was lost, doubled and stuck so far, and why.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    effects: usize,
    lost: usize,
    doubled: usize,
    stuck: usize,
    notes: Vec<String>,
}

impl Tally {
    /// Counts a run that should have succeeded, by what its record says and what the cluster counted.
    pub(crate) fn count(&mut self, seen: &Seen, applied: &Applied) {
        let run = seen.run.as_ref().map_or_else(|| "no run".into(), ToString::to_string);
        let times = |key: &String| applied.get(key).copied().unwrap_or(0);
        let lost = seen.applied.iter().filter(|key| times(key) == 0).count();
        let doubled = seen.intended.iter().filter(|key| times(key) > 1).count();
        self.effects += seen.intended.iter().filter(|key| times(key) > 0).count();
        self.lost += lost;
        self.doubled += doubled;
        match seen.status {
            Some(RunStatus::Succeeded) => {}
            Some(status) => {
                self.lost += 1;
                self.note(format!("{run} ended as {status:?}: {}", seen.why));
            }
            None => {
                self.stuck += 1;
                self.note(format!("{run} did not end: {}", seen.why));
            }
        }
        if lost + doubled > 0 {
            self.note(format!("{run}: {lost} changes lost, {doubled} doubled"));
        }
    }

    fn note(&mut self, note: String) {
        tracing::warn!("{note}");
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }

    /// How many changes were made.
    pub(crate) fn effects(&self) -> usize {
        self.effects
    }

    /// Writes the figures into `report`, beside what `applied` says of the whole cluster that is not `announced`: a
    /// change that stands nowhere in the record belongs to no run that was counted.
    pub(crate) fn write(
        &self,
        report: &mut Value,
        applied: &Applied,
        announced: &BTreeSet<String>,
    ) {
        let unannounced: Vec<&String> =
            applied.keys().filter(|key| !announced.contains(*key)).collect();
        report["effects"] = json!(self.effects);
        report["lost"] = json!(self.lost);
        report["doubled"] = json!(self.doubled);
        report["stuck"] = json!(self.stuck);
        report["unannounced"] = json!(unannounced.len());
        let few = unannounced.iter().take(NOTES);
        let strangers =
            few.map(|key| format!("{key} changed the cluster, and no run announced it"));
        let notes: Vec<String> = self.notes.iter().cloned().chain(strangers).collect();
        if !notes.is_empty() {
            report["notes"] = json!(notes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(intended: &[&str], applied: &[&str], status: Option<RunStatus>) -> Seen {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        Seen { intended: keys(intended), applied: keys(applied), status, ..Seen::default() }
    }

    #[test]
    fn what_is_lost_doubled_and_stuck_is_counted() {
        let mut tally = Tally::default();
        let counts = Applied::from([("a".into(), 1), ("b".into(), 2)]);
        tally.count(&seen(&["a"], &["a"], Some(RunStatus::Succeeded)), &counts);
        assert_eq!((tally.effects, tally.lost, tally.doubled, tally.stuck), (1, 0, 0, 0));
        tally.count(&seen(&["a", "b", "c"], &["a", "c"], None), &counts);
        assert_eq!((tally.effects, tally.lost, tally.doubled, tally.stuck), (3, 1, 1, 1));
        tally.count(&seen(&[], &[], Some(RunStatus::RolledBack)), &counts);
        assert_eq!((tally.lost, tally.notes.len()), (2, 3));
    }

    #[test]
    fn a_change_that_no_run_announced_is_counted_and_named() {
        let written = |announced: &[&str]| {
            let mut report = json!({});
            let announced = announced.iter().map(ToString::to_string).collect();
            let applied = Applied::from([("a".into(), 1), ("b".into(), 1)]);
            Tally::default().write(&mut report, &applied, &announced);
            report
        };
        assert_eq!(written(&["a", "b", "never sent"])["unannounced"], 0);
        let report = written(&["a"]);
        assert_eq!(report["unannounced"], 1);
        assert_eq!(report["notes"], json!(["b changed the cluster, and no run announced it"]));
    }
}
