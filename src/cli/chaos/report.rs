//! Counts lost, duplicated, stuck and unrecorded changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use workflow::RunStatus;

use super::run_observer::ObservedRun;

/// Number of times that each effect key changed the cluster.
pub(crate) type Applied = BTreeMap<String, u32>;

/// Maximum number of notes of a kind.
const MAX_NOTES: usize = 20;

/// The counts so far, with notes that explain them.
#[derive(Debug, Default)]
pub(crate) struct ChaosReport {
    effects: usize,
    lost: usize,
    duplicated: usize,
    stuck: usize,
    notes: Vec<String>,
}

impl ChaosReport {
    /// Counts a run that should have succeeded: compares its record with the effects in the cluster.
    pub(crate) fn count(&mut self, observed: &ObservedRun, applied: &Applied) {
        let run = observed.run.as_ref().map_or_else(|| "no run".into(), ToString::to_string);
        let times = |key: &String| applied.get(key).copied().unwrap_or(0);
        let lost = observed.applied.iter().filter(|key| times(key) == 0).count();
        let duplicated = observed.intended.iter().filter(|key| times(key) > 1).count();
        self.effects += observed.intended.iter().filter(|key| times(key) > 0).count();
        self.lost += lost;
        self.duplicated += duplicated;
        match observed.status {
            Some(RunStatus::Succeeded) => {}
            Some(status) => {
                self.lost += 1;
                self.add_note(format!("{run} ended as {status:?}: {}", observed.message));
            }
            None => {
                self.stuck += 1;
                self.add_note(format!("{run} did not end: {}", observed.message));
            }
        }
        if lost + duplicated > 0 {
            self.add_note(format!("{run}: {lost} changes lost, {duplicated} duplicated"));
        }
    }

    fn add_note(&mut self, note: String) {
        tracing::warn!("{note}");
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    /// Returns the number of changes made.
    pub(crate) fn effects(&self) -> usize {
        self.effects
    }

    /// Adds the counts to `report`, with the effect keys in `applied` that are not in `recorded`. Those belong to no
    /// counted run, so they are computed for the whole cluster.
    pub(crate) fn write(&self, report: &mut Value, applied: &Applied, recorded: &BTreeSet<String>) {
        let unrecorded: Vec<&String> =
            applied.keys().filter(|key| !recorded.contains(*key)).collect();
        report["effects"] = json!(self.effects);
        report["lost"] = json!(self.lost);
        report["duplicated"] = json!(self.duplicated);
        report["stuck"] = json!(self.stuck);
        report["unrecorded"] = json!(unrecorded.len());
        let few = unrecorded.iter().take(MAX_NOTES);
        let unrecorded_notes =
            few.map(|key| format!("{key} changed the cluster and is not in the record"));
        let notes: Vec<String> = self.notes.iter().cloned().chain(unrecorded_notes).collect();
        if !notes.is_empty() {
            report["notes"] = json!(notes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(intended: &[&str], applied: &[&str], status: Option<RunStatus>) -> ObservedRun {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        ObservedRun {
            intended: keys(intended),
            applied: keys(applied),
            status,
            ..ObservedRun::default()
        }
    }

    #[test]
    fn lost_duplicated_and_stuck_changes_are_counted() {
        let mut report = ChaosReport::default();
        let counts = Applied::from([("a".into(), 1), ("b".into(), 2)]);
        report.count(&observed(&["a"], &["a"], Some(RunStatus::Succeeded)), &counts);
        assert_eq!((report.effects, report.lost, report.duplicated, report.stuck), (1, 0, 0, 0));
        report.count(&observed(&["a", "b", "c"], &["a", "c"], None), &counts);
        assert_eq!((report.effects, report.lost, report.duplicated, report.stuck), (3, 1, 1, 1));
        report.count(&observed(&[], &[], Some(RunStatus::RolledBack)), &counts);
        assert_eq!((report.lost, report.notes.len()), (2, 3));
    }

    #[test]
    fn unrecorded_change_is_counted_and_named() {
        let written = |recorded: &[&str]| {
            let mut report = json!({});
            let recorded = recorded.iter().map(ToString::to_string).collect();
            let applied = Applied::from([("a".into(), 1), ("b".into(), 1)]);
            ChaosReport::default().write(&mut report, &applied, &recorded);
            report
        };
        assert_eq!(written(&["a", "b", "never sent"])["unrecorded"], 0);
        let report = written(&["a"]);
        assert_eq!(report["unrecorded"], 1);
        assert_eq!(report["notes"], json!(["b changed the cluster and is not in the record"]));
    }
}
