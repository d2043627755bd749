use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use workflow::decision::{DecisionMode, Rejection};
use workflow::feedback::Rating;
use workflow::id::{
    CandidateId, DecisionId, EvidenceId, ExperimentId, FeedbackId, IncidentId, PlanId, RunId,
};
use workflow::plan::PlanStatus;
use workflow::{
    Difference, Digest, Estimate, ObjectRef, OptimizationReport, Plan, PlanState, RunStatus,
    StepEstimate,
};

/// A plan in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanItem {
    /// Id of the plan.
    pub id: PlanId,
    /// Digest of the plan; an approval names it.
    pub digest: Digest,
    /// Its incident.
    pub incident: IncidentId,
    /// Status of the plan.
    pub status: PlanStatus,
    /// Name of its workflow.
    pub workflow: String,
    /// Source of the plan, for example `template` or `retrieval`.
    pub source: String,
    /// Probability that the plan resolves the incident.
    pub confidence: Estimate,
    /// Number of steps.
    pub steps: usize,
    /// Number of the attempt on the incident, from 1.
    pub attempt: u32,
    /// Reason why an operator must approve the plan; absent if no approval is needed.
    pub needs_approval: Option<String>,
    /// Id of its run.
    pub run: Option<RunId>,
    /// Final status of its run.
    pub ended: Option<RunStatus>,
    /// Time at which the plan was frozen.
    pub created_at: Timestamp,
}

/// A plan with its review and its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanResponse {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// Its status, review and run.
    #[serde(flatten)]
    pub state: PlanState,
    /// Probability that the plan resolves the incident.
    pub confidence: Estimate,
    /// Estimates of the steps.
    pub steps: Vec<StepEstimate>,
}

/// A plan with the evidence, the candidates and the decision that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainPlanResponse {
    /// Id of the plan.
    pub plan: PlanId,
    /// Digest of the plan.
    pub digest: Digest,
    /// Its incident.
    pub incident: IncidentId,
    /// Status of the plan.
    pub status: PlanStatus,
    /// Probability that the plan resolves the incident.
    pub confidence: Estimate,
    /// Estimates of the steps.
    pub steps: Vec<StepEstimate>,
    /// Why this plan was chosen, one sentence per line.
    pub explanation: Vec<String>,
    /// What the optimizer changed.
    pub optimization: OptimizationReport,
    /// Reason why an operator must approve the plan; absent if no approval is needed.
    pub needs_approval: Option<String>,
    /// The newest evidence that was gathered before the plan was frozen.
    pub evidence: Option<EvidenceItem>,
    /// All candidates, the best estimate first. The policy chose by propensity.
    pub candidates: Vec<CandidateItem>,
    /// The decision; absent if its record is erased.
    pub decision: Option<DecisionItem>,
}

/// Evidence on which a plan is based, without objects and facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceItem {
    /// Id of the evidence.
    pub id: EvidenceId,
    /// The object that the alert is about; absent if it was not found.
    pub target: Option<ObjectRef>,
    /// Findings, the most important first.
    pub summary: Vec<String>,
    /// What could not be read.
    pub missing: Vec<String>,
    /// Changes since the known-good state.
    pub differences: Vec<Difference>,
    /// Time at which the evidence was gathered.
    pub at: Timestamp,
}

/// A candidate of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateItem {
    /// Id of the candidate.
    pub candidate: CandidateId,
    /// Whether the candidate was chosen.
    pub is_chosen: bool,
    /// Arm of the candidate.
    pub arm: String,
    /// Source of the candidate, for example `template` or `retrieval`.
    pub source: String,
    /// Name of its workflow.
    pub workflow: String,
    /// Why the candidate was proposed.
    pub reasons: Vec<String>,
    /// Probability that the candidate resolves the incident.
    pub estimate: Estimate,
    /// Number of past outcomes on which the estimate is based; fractional, because old outcomes are discounted.
    pub observations: f64,
    /// Estimates of the steps.
    pub steps: Vec<StepEstimate>,
    /// Probability with which the policy chose the candidate.
    pub propensity: f64,
    /// Why the candidate was not allowed; absent if it was.
    pub rejection: Option<Rejection>,
}

/// A decision, without its candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionItem {
    /// Id of the decision.
    pub id: DecisionId,
    /// The chosen candidate.
    pub chosen: CandidateId,
    /// Probability with which the policy chose it.
    pub propensity: f64,
    /// Name of the policy.
    pub policy: String,
    /// Digest of the model.
    pub model: Digest,
    /// Seed of the random draw.
    pub seed: String,
    /// The random draw, in [0, 1).
    pub random_draw: f64,
    /// Whether the decision took effect.
    pub mode: DecisionMode,
    /// Experiment and variant, if the incident is part of an experiment.
    pub exposure: Option<(ExperimentId, String)>,
    /// Ids of the past executions that were retrieved.
    pub retrieved: Vec<String>,
    /// Number of the attempt on the incident, from 1.
    pub attempt: u32,
    /// Time of the decision.
    pub at: Timestamp,
}

/// A request for a new plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePlanRequest {
    /// Id of an open incident.
    pub incident: String,
    /// Who makes the request, at most 128 characters. Default: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// Feedback on a plan. At least one of `rating`, `correction` and `comment` is required.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeedbackRequest {
    /// Whether the plan was right or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// The workflow that would have been right: an object, or a string in YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "correction_schema")]
    pub correction: Option<Value>,
    /// A comment, at most 4,096 characters.
    #[serde(default)]
    pub comment: String,
    /// Who makes the request, at most 128 characters. Default: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

fn correction_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["object", "string", "null"] })
}

/// The id of recorded feedback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackResponse {
    /// Id of the feedback.
    pub id: FeedbackId,
    /// The plan.
    pub plan: PlanId,
}
