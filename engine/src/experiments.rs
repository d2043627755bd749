//! Experiments: what is known of them, and what people may do with one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use learner::experiment::ExperimentResults;
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus};
use workflow::id::{ExperimentId, IncidentId};
use workflow::input::RefusedBecause;
use workflow::{Answer, Entry, Outcome, RequestKey};

use crate::answering::{no_such, refused};
use crate::engine::{Engine, Failure};

/// Experiments, and who was exposed to what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiments {
    /// By id.
    pub experiments: BTreeMap<ExperimentId, Experiment>,
    /// Variant of each exposed incident, by experiment.
    pub exposures: BTreeMap<ExperimentId, BTreeMap<IncidentId, String>>,
    /// The last outcome of each incident that was exposed.
    pub outcomes: BTreeMap<IncidentId, Outcome>,
}

impl Experiments {
    /// The running experiment that an alert of this name takes part in; no two share an alert.
    pub fn running(&self, alert: &str) -> Option<&Experiment> {
        self.experiments.values().find(|experiment| {
            experiment.status == ExperimentStatus::Running
                && (experiment.alerts.is_empty()
                    || experiment.alerts.iter().any(|name| name == alert))
        })
    }

    /// The running experiment that shares alerts with this draft.
    pub fn in_the_way_of(&self, id: &ExperimentId) -> Option<&Experiment> {
        let is_draft = |wanted: &&Experiment| wanted.status == ExperimentStatus::Draft;
        let wanted = self.experiments.get(id).filter(is_draft)?;
        self.experiments.values().find(|other| {
            let share = |name| other.alerts.contains(name);
            other.status == ExperimentStatus::Running
                && other.id != *id
                && (other.alerts.is_empty()
                    || wanted.alerts.is_empty()
                    || wanted.alerts.iter().any(share))
        })
    }

    /// What an experiment shows so far.
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
    /// Records a draft that somebody asked for, if it is one.
    pub(crate) async fn create_experiment(
        &mut self,
        experiment: Experiment,
        request: Option<RequestKey>,
    ) -> Result<Answer, Failure> {
        if let Err(bad) = learner::experiment::check(&experiment) {
            return Ok(refused(
                RefusedBecause::Invalid,
                "bad_experiment",
                &bad.to_string(),
                "two variants whose shares sum to 1, alpha in (0, 0.5]",
            ));
        }
        let made = ExperimentEvent::Created { experiment: experiment.clone() };
        let at = experiment.created_at;
        let answer = Answer::Experiment { experiment };
        self.conclude(at, request, Entry::Experiment(made), answer).await
    }

    /// Starts a draft whose alerts no running experiment has.
    pub(crate) async fn start_experiment(&mut self, id: ExperimentId) -> Result<Answer, Failure> {
        if let Some(other) = self.folds.experiments.in_the_way_of(&id) {
            let message = format!("the experiment {} runs, and shares alerts with it", other.id);
            return Ok(refused(
                RefusedBecause::Conflict,
                "experiment_overlaps",
                &message,
                "stop that one first, or give each experiment alerts of its own",
            ));
        }
        self.move_experiment(id, ExperimentStatus::Draft, |id, at| ExperimentEvent::Started {
            id,
            at,
        })
        .await
    }

    /// Stops a running experiment.
    pub(crate) async fn stop_experiment(
        &mut self,
        id: ExperimentId,
        reason: String,
    ) -> Result<Answer, Failure> {
        self.move_experiment(id, ExperimentStatus::Running, |id, at| ExperimentEvent::Stopped {
            id,
            at,
            reason,
        })
        .await
    }

    async fn move_experiment(
        &mut self,
        id: ExperimentId,
        from: ExperimentStatus,
        event: impl FnOnce(ExperimentId, Timestamp) -> ExperimentEvent,
    ) -> Result<Answer, Failure> {
        let now = self.time.now();
        match self.folds.experiments.experiments.get(&id) {
            None => return Ok(no_such("experiment", id.as_str())),
            Some(experiment) if experiment.status != from => {
                let message = format!("the experiment is {:?}", experiment.status).to_lowercase();
                return Ok(refused(
                    RefusedBecause::Conflict,
                    "experiment_status",
                    &message,
                    "start a draft; stop a running one",
                ));
            }
            Some(_) => {}
        }
        self.record(now, vec![Entry::Experiment(event(id.clone(), now))]).await?;
        let experiment = self.folds.experiments.experiments[&id].clone();
        Ok(Answer::Experiment { experiment })
    }
}
