use std::collections::BTreeMap;

use jiff::Timestamp;
use learner::Learner;
use planner::{HybridIndex, KnownGood, Retrieval as _};
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus};
use workflow::id::{ExperimentId, IncidentId, PlanId};
use workflow::incident::{self, IncidentEvent, IncidentInput};
use workflow::{Alert, Entry, Incidents, Outcome, PastExecution};

use crate::Settings;
use crate::case::Cases;

/// Everything that the engine remembers, folded from the record and from nothing else (runs are folded by the fleet).
pub struct Folds {
    /// Incidents and alert episodes.
    pub incidents: Incidents,
    /// How far each incident is along the line.
    pub cases: Cases,
    /// What stood around each workload when it was last healthy.
    pub known_good: KnownGood,
    /// Past executions, searchable.
    pub retrieval: HybridIndex,
    /// The learner.
    pub learner: Learner,
    /// Experiments, and who was exposed to what.
    pub experiments: Experiments,
    /// Corrections that people made: the plan that they corrected, and what should have been done where.
    pub demonstrations: Vec<(PlanId, PastExecution)>,
    /// Version of the guardrails in force, as recorded; empty before the first.
    pub guardrails_version: String,
    /// How many events of the incidents, not recorded yet, were folded by [`Folds::run_ahead`].
    ahead: usize,
    settings: Settings,
}

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

impl Folds {
    /// Before the first record.
    pub fn new(learner: Learner, settings: Settings) -> Self {
        Self {
            incidents: Incidents::default(),
            cases: Cases::default(),
            known_good: KnownGood::default(),
            retrieval: HybridIndex::default(),
            learner,
            experiments: Experiments::default(),
            demonstrations: Vec::new(),
            guardrails_version: String::new(),
            ahead: 0,
            settings,
        }
    }

    /// Decides what an alert means for the incidents, and folds it there before it is recorded: the next alert of the same
    /// append is decided on what this one did. [`Folds::ran_ahead`] says how many events that append will hold.
    ///
    /// A copy of all incidents would do the same, and cost more with each incident that ever was. Where the append fails
    /// the engine ends, and with it what ran ahead of the record.
    pub(crate) fn run_ahead(&mut self, alert: Alert, now: Timestamp) -> Vec<IncidentEvent> {
        let events = incident::decide(&self.incidents, &IncidentInput::Alert(alert), now);
        events.iter().for_each(|event| self.incidents.apply(event));
        events
    }

    /// The next so many events of the incidents that are recorded were folded ahead.
    pub(crate) fn ran_ahead(&mut self, events: usize) {
        self.ahead += events;
    }

    /// Folds one entry that was recorded at `at`.
    pub fn apply(&mut self, at: Timestamp, entry: &Entry) {
        self.cases.apply(at, entry, &self.settings);
        self.known_good.apply(entry);
        self.experiments.apply(entry);
        if let Err(refused) = self.learner.apply(entry) {
            // Counted by the learner itself; an outcome that teaches nothing must not stop the loop.
            tracing::debug!(%refused, "a lesson was refused");
        }
        match entry {
            Entry::Incident(_) if self.ahead > 0 => self.ahead -= 1,
            Entry::Incident(event) => self.incidents.apply(event),
            // What came of doing nothing teaches the learner; there is nothing in it to be done again.
            Entry::Executed(execution) | Entry::HistoryImported { execution, .. }
                if execution.workflow.spec.steps.is_empty() => {}
            Entry::Executed(execution) | Entry::HistoryImported { execution, .. } => {
                self.retrieval.add(execution)
            }
            Entry::FeedbackGiven(feedback) => {
                if let Some(demonstration) = self.cases.demonstration(feedback) {
                    self.demonstrations.push((feedback.plan.clone(), demonstration));
                }
            }
            Entry::GuardrailsLoaded(guardrails) => self.guardrails_version = guardrails.version(),
            Entry::EpochClaimed { .. }
            | Entry::ClockJumped { .. }
            | Entry::EvidenceGathered(_)
            | Entry::Proposed { .. }
            | Entry::Decided(_)
            | Entry::PlanFrozen(_)
            | Entry::PlanReviewed(_)
            | Entry::PlanWithdrawn { .. }
            | Entry::Run { .. }
            | Entry::Fleet(_)
            | Entry::Observed(_)
            | Entry::ObjectHealthy { .. }
            | Entry::Experiment(_)
            | Entry::Answered { .. } => {}
        }
    }
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

    fn apply(&mut self, entry: &Entry) {
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
