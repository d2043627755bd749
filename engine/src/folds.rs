use jiff::Timestamp;
use learner::Learner;
use planner::{HybridIndex, KnownGood, Retrieval as _};
use workflow::id::PlanId;
use workflow::{Entry, Incidents, PastExecution};

use crate::Settings;
use crate::case::IncidentCases;
use crate::experiments::Experiments;

/// State of the engine, folded from the record and from nothing else. Each entry is folded once, after it was recorded. The
/// fleet folds the runs.
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
            settings,
        }
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
