use jiff::Timestamp;
use learner::Learner;
use planner::{HybridIndex, KnownGood, Retrieval as _};
use workflow::id::PlanId;
use workflow::incident::{self, IncidentEvent, IncidentInput};
use workflow::{Alert, Entry, Incidents, PastExecution};

use crate::Settings;
use crate::case::IncidentCases;
use crate::experiments::Experiments;

/// State of the engine, folded from the record and from nothing else. The fleet folds the runs.
pub struct Folds {
    /// Incidents and alert episodes.
    pub incidents: Incidents,
    /// Progress of each incident.
    pub cases: IncidentCases,
    /// Related objects of each workload when it was last healthy.
    pub known_good: KnownGood,
    /// Searchable index of past executions.
    pub retrieval: HybridIndex,
    pub learner: Learner,
    /// Experiments and their exposures.
    pub experiments: Experiments,
    /// Corrections by operators: the corrected plan, and the correction as a past execution to propose from.
    pub corrections: Vec<(PlanId, PastExecution)>,
    /// Recorded version of the active guardrails; empty before the first.
    pub guardrails_version: String,
    /// Number of incident events that [`Folds::apply_unrecorded`] folded and that have not been read from the record yet.
    applied_ahead: usize,
    settings: Settings,
}

impl Folds {
    /// Creates the state before the first record.
    pub fn new(learner: Learner, settings: Settings) -> Self {
        Self {
            incidents: Incidents::default(),
            cases: IncidentCases::default(),
            known_good: KnownGood::default(),
            retrieval: HybridIndex::default(),
            learner,
            experiments: Experiments::default(),
            corrections: Vec::new(),
            guardrails_version: String::new(),
            applied_ahead: 0,
            settings,
        }
    }

    /// Runs [`incident::decide`] and folds its events before they are recorded, because the next alert of the same append
    /// depends on them. Call [`Folds::expect_recorded`] with the number of events in that append.
    ///
    /// Copying all incidents instead would cost more with every incident. If the append fails, the engine ends and
    /// discards this state.
    pub(crate) fn apply_unrecorded(&mut self, alert: Alert, now: Timestamp) -> Vec<IncidentEvent> {
        let events = incident::decide(&self.incidents, &IncidentInput::Alert(alert), now);
        events.iter().for_each(|event| self.incidents.apply(event));
        events
    }

    /// Declares that the next `events` recorded incident events are folded already.
    pub(crate) fn expect_recorded(&mut self, events: usize) {
        self.applied_ahead += events;
    }

    /// Folds one entry recorded at `at`.
    pub fn apply(&mut self, at: Timestamp, entry: &Entry) {
        self.cases.apply(at, entry, &self.settings);
        self.known_good.apply(entry);
        self.experiments.apply(entry);
        if let Err(refused) = self.learner.apply(entry) {
            // The learner counts rejected observations itself; one must not stop the loop.
            tracing::debug!(%refused, "observation rejected by the learner");
        }
        match entry {
            Entry::Incident(_) if self.applied_ahead > 0 => self.applied_ahead -= 1,
            Entry::Incident(event) => self.incidents.apply(event),
            // The outcome of doing nothing trains the learner, but contains no steps to retrieve.
            Entry::Executed(execution) | Entry::HistoryImported { execution, .. }
                if execution.workflow.spec.steps.is_empty() => {}
            Entry::Executed(execution) | Entry::HistoryImported { execution, .. } => {
                self.retrieval.add(execution)
            }
            Entry::FeedbackGiven(feedback) => {
                if let Some(correction) = self.cases.correction_execution(feedback) {
                    self.corrections.push((feedback.plan.clone(), correction));
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
            | Entry::RequestAnswered { .. } => {}
        }
    }
}
