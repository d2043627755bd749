//! The outcome: what was observed after a run, and after the time in which the trouble might have come back.

mod judge;

use cluster::{Health, ObjectRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DecisionId, IncidentId, OutcomeId, PlanId, RunId};

pub use judge::{Done, judge};

/// What came of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Post-conditions held, the alert ended, nothing is worse.
    Resolved,
    /// The trouble is gone, and a person did it: Chiron asked, and did no more.
    ByPerson,
    /// The trouble is still there.
    NotResolved,
    /// It had ended and came back within the recurrence window.
    Recurred,
    /// Something is worse than before.
    Worse,
    /// It cannot be said: never counted as success.
    Unknown,
}

/// When an outcome was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// At the end of the hold after the run.
    Hold,
    /// At the end of the recurrence window.
    Recurrence,
}

/// What was observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Its id.
    pub id: OutcomeId,
    /// Of which decision.
    pub decision: DecisionId,
    /// Of which incident.
    pub incident: IncidentId,
    /// Of which plan.
    pub plan: PlanId,
    /// Of which run; absent where nothing was run (do nothing, ask a person).
    pub run: Option<RunId>,
    /// When it was judged.
    pub stage: Stage,
    /// What came of it.
    pub verdict: Verdict,
    /// Whether the trouble is gone.
    pub resolved: bool,
    /// Reward in [0, 1]: 1 resolved quickly, 0 not resolved or worse. Absent where it cannot be said (censored).
    pub reward: Option<f64>,
    /// Seconds from the decision until it was resolved, where it was.
    pub seconds_to_resolve: Option<f64>,
    /// Of each step that ran: its id and whether it did what it says.
    pub steps: Vec<StepOutcome>,
    /// Health of the target and its neighbours before.
    pub health_before: Vec<(ObjectRef, Health)>,
    /// Health of the same after.
    pub health_after: Vec<(ObjectRef, Health)>,
    /// Why, in sentences.
    pub because: Vec<String>,
    /// When it was judged.
    pub at: Timestamp,
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepOutcome {
    /// Id of the step.
    pub step: String,
    /// Its action.
    pub action: String,
    /// Whether its post-conditions held; absent if it was not tried or cannot be said.
    pub succeeded: Option<bool>,
    /// Seconds that it took.
    pub seconds: f64,
}
