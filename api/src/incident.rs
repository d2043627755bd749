use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::Incident;
use workflow::history::Provenance;
use workflow::id::{IncidentId, PlanId, RunId};
use workflow::outcome::OutcomeStatus;

/// Whether an incident is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentState {
    /// An alert of the incident fires, or has fired recently.
    Open,
    /// All alerts of the incident have been resolved for some time.
    Closed,
    /// The incident turned out to be the same as an earlier one.
    Merged,
}

/// An incident in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentItem {
    /// Id of the incident.
    pub id: IncidentId,
    /// Whether the incident is open.
    pub status: IncidentState,
    /// Name of the alert that opened the incident.
    pub alert: String,
    /// Severity of that alert.
    pub severity: String,
    /// Namespace of the subject.
    pub namespace: String,
    /// Label and value that identify the subject, for example `deployment=checkout`.
    pub subject: String,
    /// Number of its alerts that are firing.
    pub firing: usize,
    /// Number of all its alerts.
    pub alerts: usize,
    /// Number of deliveries of its alerts, repeats included.
    pub deliveries: u64,
    /// Id of its newest plan.
    pub plan: Option<PlanId>,
    /// Id of its newest run.
    pub run: Option<RunId>,
    /// Status of its last observed outcome.
    pub outcome: Option<OutcomeStatus>,
    /// Time at which its first alert was received.
    pub opened_at: Timestamp,
    /// Time at which it was closed.
    pub closed_at: Option<Timestamp>,
}

/// An incident with its newest plan, run and outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentResponse {
    /// The incident.
    #[serde(flatten)]
    pub incident: Incident,
    /// Whether the incident is open.
    pub status: IncidentState,
    /// Number of deliveries of its alerts, repeats included.
    pub deliveries: u64,
    /// Id of its newest plan.
    pub plan: Option<PlanId>,
    /// Id of its newest run.
    pub run: Option<RunId>,
    /// Status of its last observed outcome.
    pub outcome: Option<OutcomeStatus>,
}

/// Past executions similar to an incident, most similar first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SimilarExecutionsResponse(pub Vec<SimilarExecutionItem>);

/// A past execution of a similar incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimilarExecutionItem {
    /// Id of the past execution.
    pub execution: String,
    /// Arm of the plan that was executed.
    pub arm: String,
    /// Outcome of the execution.
    pub outcome: OutcomeStatus,
    /// Steps of the plan, without names and values.
    pub skeleton: Vec<SimilarStepItem>,
    /// Cosine similarity of the signatures, in (0, 1].
    pub similarity: f64,
    /// Rank among the retrieved executions, from 1.
    pub rank: usize,
    /// Where the execution was recorded.
    pub origin: Provenance,
}

/// A step of a past execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimilarStepItem {
    /// Name of the action.
    pub action: String,
    /// Role of the object that the action changes: `workload`, `service` or `config`; absent for actions without a
    /// target.
    pub role: Option<String>,
}
