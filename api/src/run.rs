use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::expression::Truth;
use workflow::id::{IncidentId, PlanId, RunId};
use workflow::run::{EffectView, StepView, StopLevel};
use workflow::{Digest, Health, ObjectRef, RunStatus};

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunItem {
    /// Id of the run.
    pub id: RunId,
    /// Its plan.
    pub plan: PlanId,
    /// Its incident.
    pub incident: IncidentId,
    /// Status of the run.
    pub status: RunStatus,
    /// Explains the status.
    pub message: String,
    /// Number of steps.
    pub steps: usize,
    /// Number of steps that have ended.
    pub steps_ended: usize,
    /// Who started the run.
    pub actor: String,
    /// Time at which the run started.
    pub started_at: Timestamp,
    /// Time at which the run ended.
    pub ended_at: Option<Timestamp>,
}

/// A run with its steps and the changes that it made.
// The fields of `workflow::RunView` are repeated instead of flattened: serde cannot read the integer keys of `success`
// through `flatten`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResponse {
    /// Id of the run.
    pub id: RunId,
    /// Id of the run, as in the events of the record.
    pub run: RunId,
    /// Its plan.
    pub plan: PlanId,
    /// Digest of the plan.
    pub plan_digest: Digest,
    /// Its incident.
    pub incident: IncidentId,
    /// Status of the run.
    pub status: RunStatus,
    /// Explains the status.
    pub message: String,
    /// The steps, in the order of the workflow.
    pub steps: Vec<StepView>,
    /// Changes that were sent or are about to be sent.
    pub effects: Vec<EffectView>,
    /// Objects that must not become less healthy.
    pub guarded: Vec<ObjectRef>,
    /// Health of the guarded objects before the run; absent if unknown.
    pub health_before: Vec<(ObjectRef, Option<Health>)>,
    /// Latest measured health of the guarded objects; absent if unknown.
    pub health_now: Vec<(ObjectRef, Option<Health>)>,
    /// Results of the success conditions of the workflow, by index.
    pub success: BTreeMap<usize, Truth>,
    /// Final status after the rollback, if the run is rolled back.
    pub status_after_rollback: Option<RunStatus>,
    /// Whether an operator paused the run.
    pub is_paused: bool,
    /// Level of the emergency stop that applies to the run.
    pub emergency_stop: Option<StopLevel>,
    /// Whether another plan is made after the run.
    pub requests_replan: bool,
    /// Who started the run.
    pub actor: String,
    /// Time at which the run started.
    pub started_at: Timestamp,
    /// Time at which the run ended.
    pub ended_at: Option<Timestamp>,
}
