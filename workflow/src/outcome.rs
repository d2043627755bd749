//! Outcomes: what was observed after a run and after the recurrence window.

mod judge;

use cluster::{Health, ObjectRef};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{DecisionId, IncidentId, OutcomeId, PlanId, RunId};

pub use judge::{ExecutedPlan, judge};

/// Result of a plan.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeStatus {
    /// The post-conditions are true, the alert resolved, and no object is less healthy.
    Resolved,
    /// The problem was solved by an operator after escalation.
    ResolvedManually,
    /// The problem persists.
    NotResolved,
    /// The alert resolved and fired again within the recurrence window.
    Recurred,
    /// An object is less healthy than before.
    Worse,
    /// Cannot be determined. Never counted as success.
    Unknown,
}

impl OutcomeStatus {
    /// Returns the status as a filter of lists names it: `not-resolved`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::ResolvedManually => "resolved-manually",
            Self::NotResolved => "not-resolved",
            Self::Recurred => "recurred",
            Self::Worse => "worse",
            Self::Unknown => "unknown",
        }
    }

    /// Returns whether the problem is solved, by the plan or by an operator.
    pub fn is_resolved(self) -> bool {
        match self {
            Self::Resolved | Self::ResolvedManually => true,
            Self::NotResolved | Self::Recurred | Self::Worse | Self::Unknown => false,
        }
    }
}

/// The time window after which an outcome was determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObservationWindow {
    /// The stabilization window after the run.
    Stabilization,
    /// The recurrence window after the incident was resolved.
    Recurrence,
}

/// The observed result of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Id of the outcome.
    pub id: OutcomeId,
    /// The decision that chose the plan.
    pub decision: DecisionId,
    /// The incident.
    pub incident: IncidentId,
    /// The plan.
    pub plan: PlanId,
    /// The run. Absent for plans without changes (do nothing, escalate).
    pub run: Option<RunId>,
    /// The window at the end of which the outcome was determined.
    pub window: ObservationWindow,
    /// The result.
    pub status: OutcomeStatus,
    /// Reward in [0, 1]: 1 for resolved quickly, 0 for not resolved or worse. Absent if it cannot be determined (censored).
    pub reward: Option<f64>,
    /// Seconds from the decision until the incident was resolved, if it was.
    pub seconds_to_resolve: Option<f64>,
    /// Results of the steps that ran.
    pub steps: Vec<StepOutcome>,
    /// Health of the target and its neighbours before the run.
    pub health_before: Vec<(ObjectRef, Health)>,
    /// Health of the same objects after the window.
    pub health_after: Vec<(ObjectRef, Health)>,
    /// Reasons for the result, one sentence each.
    pub reasons: Vec<String>,
    /// When the outcome was determined.
    pub at: Timestamp,
}

/// Result of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepOutcome {
    /// Id of the step.
    pub step: String,
    /// Name of the action.
    pub action: String,
    /// Whether the post-conditions were true. Absent if the step did not run or the result is unknown.
    pub succeeded: Option<bool>,
    /// Duration in seconds.
    pub seconds: f64,
}
