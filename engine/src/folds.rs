use jiff::Timestamp;
use learner::Learner;
use planner::{HybridIndex, KnownGood, Retrieval as _};
use workflow::id::PlanId;
use workflow::incident::{self, IncidentEvent, IncidentInput};
use workflow::{Alert, Entry, Incidents, PastExecution};

use crate::Settings;
use crate::case::Cases;
use crate::experiments::Experiments;

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
