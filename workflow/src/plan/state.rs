use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::entry::{Entry, Review};
use crate::id::RunId;
use crate::run::{Event, RunStatus};

/// Status of a plan.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PlanStatus {
    /// Frozen; no approval is required.
    Proposed,
    /// Waits for approval by an operator.
    NeedsApproval,
    /// Approved by an operator.
    Approved,
    /// Rejected by an operator.
    Rejected,
    /// Its run has not ended.
    Running,
    /// The run ended.
    Done,
    /// Withdrawn before it ran.
    Withdrawn,
}

impl PlanStatus {
    /// Returns the name of the status, as used in JSON and in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::NeedsApproval => "needs-approval",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Running => "running",
            Self::Done => "done",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What became of a frozen plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanState {
    /// The status.
    pub status: PlanStatus,
    /// The latest approval or rejection.
    pub review: Option<Review>,
    /// Why the plan was withdrawn, if it was.
    pub withdrawn: Option<String>,
    /// The latest run.
    pub run: Option<RunId>,
    /// Final status of the run, once it ended.
    pub ended: Option<RunStatus>,
}

impl PlanState {
    /// Returns the state of a plan that was just frozen.
    pub fn new(plan: &Plan) -> Self {
        let status = if plan.needs_approval.is_some() {
            PlanStatus::NeedsApproval
        } else {
            PlanStatus::Proposed
        };
        Self { status, review: None, withdrawn: None, run: None, ended: None }
    }

    /// Folds one entry that concerns this plan: its review, its withdrawal, or an event of its run.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::PlanReviewed(review) => {
                self.status =
                    if review.is_approved { PlanStatus::Approved } else { PlanStatus::Rejected };
                self.review = Some(review.clone());
            }
            Entry::PlanWithdrawn { message, .. } => {
                self.status = PlanStatus::Withdrawn;
                self.withdrawn = Some(message.clone());
            }
            Entry::Run { run, event: Event::Started { .. } } => {
                self.status = PlanStatus::Running;
                self.run = Some(run.clone());
            }
            Entry::Run { event: Event::Ended { status, .. }, .. } => {
                self.status = PlanStatus::Done;
                self.ended = Some(*status);
            }
            // Every other entry leaves the plan as it is.
            _ => {}
        }
    }
}
