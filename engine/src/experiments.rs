//! Experiments: their state, and the commands that create, start and stop them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use learner::experiment::ExperimentResults;
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus};
use workflow::id::{ExperimentId, IncidentId};
use workflow::input::ErrorKind;
use workflow::{EngineResponse, Entry, Outcome, RequestKey};

use crate::command::{not_found, refused};
use crate::engine::{Engine, EngineError};

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
            Entry::Experiment(ExperimentEvent::Started { id, at }) => {
                self.change(id, |experiment| {
                    (experiment.status, experiment.started_at) =
                        (ExperimentStatus::Running, Some(*at));
                })
            }
            Entry::Experiment(ExperimentEvent::Stopped { id, at, .. }) => {
                self.change(id, |experiment| {
                    (experiment.status, experiment.stopped_at) =
                        (ExperimentStatus::Stopped, Some(*at));
                })
            }
            Entry::Experiment(ExperimentEvent::Exposed { id, incident, variant, .. }) => {
                self.exposures
                    .entry(id.clone())
                    .or_default()
                    .insert(incident.clone(), variant.clone());
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

    fn change(&mut self, id: &ExperimentId, change: impl FnOnce(&mut Experiment)) {
        if let Some(experiment) = self.experiments.get_mut(id) {
            change(experiment);
        }
    }
}

impl Engine {
    /// Records a new experiment as a draft, if it is valid.
    pub(crate) async fn create_experiment(
        &mut self,
        experiment: Experiment,
        request: Option<RequestKey>,
    ) -> Result<EngineResponse, EngineError> {
        if let Err(error) = learner::experiment::check(&experiment) {
            return Ok(refused(
                ErrorKind::Invalid,
                "invalid_experiment",
                &error.to_string(),
                "use two variants whose shares sum to 1, and alpha in (0, 0.5]",
            ));
        }
        let created = ExperimentEvent::Created { experiment: experiment.clone() };
        let at = experiment.created_at;
        let response = EngineResponse::Experiment { experiment };
        self.conclude(at, request, Entry::Experiment(created), response).await
    }

    /// Starts a draft if no running experiment shares its alerts.
    pub(crate) async fn start_experiment(
        &mut self,
        id: ExperimentId,
    ) -> Result<EngineResponse, EngineError> {
        if let Some(other) = self.folds.experiments.overlapping(&id) {
            let message = format!("experiment {} is running and shares alerts with it", other.id);
            return Ok(refused(
                ErrorKind::Conflict,
                "experiment_overlaps",
                &message,
                "stop that experiment first, or select different alerts",
            ));
        }
        self.transition(id, ExperimentStatus::Draft, |id, at| ExperimentEvent::Started { id, at })
            .await
    }

    /// Stops a running experiment.
    pub(crate) async fn stop_experiment(
        &mut self,
        id: ExperimentId,
        reason: String,
    ) -> Result<EngineResponse, EngineError> {
        self.transition(id, ExperimentStatus::Running, |id, at| ExperimentEvent::Stopped {
            id,
            at,
            reason,
        })
        .await
    }

    /// Changes the status of an experiment that is in the status `from`.
    async fn transition(
        &mut self,
        id: ExperimentId,
        from: ExperimentStatus,
        event: impl FnOnce(ExperimentId, Timestamp) -> ExperimentEvent,
    ) -> Result<EngineResponse, EngineError> {
        let now = self.runtime.now();
        match self.folds.experiments.experiments.get(&id) {
            None => return Ok(not_found("experiment", id.as_str())),
            Some(experiment) if experiment.status != from => {
                let message = format!("the experiment is {:?}", experiment.status).to_lowercase();
                return Ok(refused(
                    ErrorKind::Conflict,
                    "experiment_status",
                    &message,
                    "only a draft can be started, and only a running experiment can be stopped",
                ));
            }
            Some(_) => {}
        }
        self.record(now, vec![Entry::Experiment(event(id.clone(), now))]).await?;
        let experiment = self.folds.experiments.experiments[&id].clone();
        Ok(EngineResponse::Experiment { experiment })
    }
}
