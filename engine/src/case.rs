//! Progress of each incident from decision to outcome. A pure fold of the record, so that a restarted process continues
//! where the last one stopped.

mod fold;

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Digest, Health, ObjectRef};
use jiff::Timestamp;
use workflow::guardrail::Autonomy;
use workflow::id::{AlertId, ExperimentId, IncidentId, PlanId, RunId};
use workflow::plan::Candidate;
use workflow::{Decision, Facts, Feedback, Outcome, PastExecution, Plan, PlanState, Provenance};

/// Stage of an incident's handling, with what exists in that stage only.
#[derive(Clone, Debug, PartialEq)]
pub enum IncidentStage {
    /// A decision is due.
    NeedsDecision { due: Timestamp },
    /// A plan awaits approval by an operator.
    AwaitingApproval { plan: PlanId },
    /// The last plan is ready to be submitted.
    Ready,
    /// The last plan is being executed.
    Running {
        run: RunId,
        /// Whether the run sent any change.
        has_acted: bool,
    },
    /// The run ended, or the plan has no steps. The outcome is determined at the deadline at the latest.
    Stabilizing { deadline: Timestamp },
    /// The outcome is determined immediately, because the next decision depends on it.
    EvaluatingOutcome,
    /// The incident is resolved; a recurrence until the deadline counts against the plan.
    RecurrenceWatch {
        deadline: Timestamp,
        /// Alerts that fired again, with the time since which each fires.
        refired: BTreeMap<AlertId, Timestamp>,
    },
    /// An operator must act; nothing happens automatically.
    Escalated,
    /// The handling has ended.
    Closed,
}

/// Handling of one incident: the plans, runs and outcomes so far.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentCase {
    pub incident: IncidentId,
    /// Number of earlier cases. Of the cases that are due, the oldest is processed first.
    pub sequence: usize,
    /// Name of the first alert.
    pub alert: String,
    pub stage: IncidentStage,
    /// Whether the incident was closed or merged into another one: what is in progress is finished, nothing new is started.
    pub is_incident_closed: bool,
    /// Number of runs started.
    pub runs: u32,
    /// Content digests of the plans tried so far; a candidate with the same content is not tried again.
    pub tried_plans: BTreeSet<Digest>,
    /// What the last evidence showed; empty before the first.
    pub evidence: EvidenceSummary,
    /// Experiment and variant to which the incident is exposed.
    pub exposure: Option<(ExperimentId, String)>,
    /// The last decision with its plan; absent before the first.
    pub last_attempt: Option<PlannedAttempt>,
}

/// What later steps need of an incident's evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvidenceSummary {
    /// Object that the alert is about.
    pub target: Option<ObjectRef>,
    pub facts: Facts,
    /// Terms by which similar past executions are retrieved.
    pub signature: Vec<String>,
    /// Health before the decision.
    pub health: Vec<(ObjectRef, Health)>,
}

/// A decision on an incident, its plan, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedAttempt {
    pub decision: Decision,
    /// Content digest of the chosen candidate.
    pub content: Digest,
    pub plan: Plan,
    pub state: PlanState,
    /// Last outcome of the plan.
    pub outcome: Option<Outcome>,
}

/// Cases of all incidents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentCases {
    /// By incident.
    pub cases: BTreeMap<IncidentId, IncidentCase>,
    /// Cases that are not closed.
    live: BTreeSet<IncidentId>,
    plans: BTreeMap<PlanId, IncidentId>,
    runs: BTreeMap<RunId, IncidentId>,
    /// Autonomy of the active guardrails.
    autonomy: Autonomy,
    deciding: Deciding,
}

/// How much of a plan that is being made was folded: candidates, decision and plan are recorded in this order in one append.
#[derive(Clone, Debug, Default, PartialEq)]
enum Deciding {
    #[default]
    Nothing,
    Proposed(Vec<Candidate>),
    Decided {
        decision: Box<Decision>,
        /// Content digest of the chosen candidate. The other candidates are in the record and are not needed any more.
        content: Digest,
    },
}

impl IncidentCases {
    /// Returns the case that a plan belongs to.
    pub fn by_plan(&self, plan: &PlanId) -> Option<&IncidentCase> {
        self.cases.get(self.plans.get(plan)?)
    }

    /// Returns the cases that are not closed, ordered by incident.
    pub fn live(&self) -> impl Iterator<Item = &IncidentCase> {
        self.live.iter().filter_map(|incident| self.cases.get(incident))
    }

    /// Returns an operator's correction of a plan as an execution to learn from.
    pub fn correction_execution(&self, feedback: &Feedback) -> Option<PastExecution> {
        let case = self.by_plan(&feedback.plan)?;
        let plan = case.plan().filter(|plan| plan.id == feedback.plan)?;
        let workflow = feedback.correction.clone()?;
        Some(PastExecution {
            id: feedback.id.to_string(),
            outcome: workflow::outcome::OutcomeStatus::Resolved,
            reward: None,
            steps: Vec::new(),
            seconds_to_resolve: None,
            at: feedback.at,
            origin: Provenance::Feedback(feedback.actor.clone()),
            ..case.execution(plan, workflow)?
        })
    }
}

impl IncidentCase {
    /// Returns the last plan.
    pub fn plan(&self) -> Option<&Plan> {
        self.last_attempt.as_ref().map(|attempt| &attempt.plan)
    }

    /// Returns the last decision.
    pub fn decision(&self) -> Option<&Decision> {
        self.last_attempt.as_ref().map(|attempt| &attempt.decision)
    }

    /// Returns the run of the last plan.
    pub fn run(&self) -> Option<&RunId> {
        self.last_attempt.as_ref()?.state.run.as_ref()
    }

    /// Returns the last outcome of the last plan.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.last_attempt.as_ref()?.outcome.as_ref()
    }

    /// Returns the number of decisions made.
    pub fn attempts(&self) -> u32 {
        self.decision().map_or(0, |decision| decision.attempt)
    }

    /// Returns an outcome of the last plan as a past execution.
    pub fn finished_execution(&self, outcome: &Outcome) -> Option<PastExecution> {
        let plan = self.plan().filter(|plan| plan.id == outcome.plan)?;
        let id = outcome.run.as_ref().map_or_else(|| outcome.id.to_string(), ToString::to_string);
        Some(PastExecution {
            id,
            outcome: outcome.status,
            reward: outcome.reward,
            steps: outcome.steps.clone(),
            seconds_to_resolve: outcome.seconds_to_resolve,
            at: outcome.at,
            origin: Provenance::Live,
            ..self.execution(plan, plan.workflow.clone())?
        })
    }

    /// Returns the context of an execution of `workflow`; the caller fills in the result.
    fn execution(&self, plan: &Plan, workflow: workflow::Workflow) -> Option<PastExecution> {
        Some(PastExecution {
            id: String::new(),
            alert: self.alert.clone(),
            target: self.evidence.target.clone()?,
            facts: self.evidence.facts.clone(),
            signature: self.evidence.signature.clone(),
            workflow,
            features: plan.features.clone(),
            outcome: workflow::outcome::OutcomeStatus::Unknown,
            reward: None,
            steps: Vec::new(),
            seconds_to_resolve: None,
            at: plan.created_at,
            origin: Provenance::Live,
        })
    }
}
