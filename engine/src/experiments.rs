//! Experiments and the incidents that are exposed to them.

use std::collections::BTreeMap;

use learner::experiment::ExperimentResults;
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus};
use workflow::id::{ExperimentId, IncidentId};
use workflow::{Entry, Outcome};

/// Experiments and their exposures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiments {
    /// By id.
    pub experiments: BTreeMap<ExperimentId, Experiment>,
    /// Variant of each exposed incident, by experiment.
    pub exposures: BTreeMap<ExperimentId, BTreeMap<IncidentId, String>>,
    /// Last outcome of each exposed incident.
    pub outcomes: BTreeMap<IncidentId, Outcome>,
}

impl Experiments {
    /// Returns the running experiment that includes alerts of this name. No two running experiments share an alert.
    pub fn running(&self, alert: &str) -> Option<&Experiment> {
        self.experiments.values().find(|experiment| {
            experiment.status == ExperimentStatus::Running
                && (experiment.alerts.is_empty()
                    || experiment.alerts.iter().any(|name| name == alert))
        })
    }

    /// Returns a running experiment that shares alerts with this draft.
    pub fn overlapping(&self, id: &ExperimentId) -> Option<&Experiment> {
        let is_draft = |draft: &&Experiment| draft.status == ExperimentStatus::Draft;
        let draft = self.experiments.get(id).filter(is_draft)?;
        self.experiments.values().find(|other| {
            let share = |name| other.alerts.contains(name);
            other.status == ExperimentStatus::Running
                && other.id != *id
                && (other.alerts.is_empty()
                    || draft.alerts.is_empty()
                    || draft.alerts.iter().any(share))
        })
    }

    /// Returns the results of an experiment so far.
    pub fn results(&self, id: &ExperimentId) -> Option<ExperimentResults> {
        let experiment = self.experiments.get(id)?;
        let exposures = self.exposures.get(id).cloned().unwrap_or_default();
        let outcomes: Vec<_> =
            exposures.keys().filter_map(|incident| self.outcomes.get(incident).cloned()).collect();
        let exposures: Vec<_> = exposures.into_iter().collect();
        Some(learner::experiment::results(experiment, &exposures, &outcomes))
    }

    pub(crate) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Experiment(ExperimentEvent::Created { experiment }) => {
                self.experiments.insert(experiment.id.clone(), experiment.clone());
            }
            Entry::Experiment(ExperimentEvent::Exposed { id, incident, variant, .. }) => {
                let exposed = self.exposures.entry(id.clone()).or_default();
                // An exposure never changes.
                exposed.entry(incident.clone()).or_insert_with(|| variant.clone());
            }
            Entry::Experiment(event) => {
                if let Some(experiment) = self.experiments.get_mut(event.experiment()) {
                    experiment.apply(event);
                }
            }
            Entry::Observed(outcome)
                if self
                    .exposures
                    .values()
                    .any(|exposed| exposed.contains_key(&outcome.incident)) =>
            {
                self.outcomes.insert(outcome.incident.clone(), outcome.clone());
            }
            _ => {}
        }
    }
}
