//! Feedback: the rating or correction of a plan by an operator.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{FeedbackId, PlanId};
use crate::manifest::Workflow;

/// Rating of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rating {
    /// The plan was right.
    Right,
    /// The plan was wrong.
    Wrong,
}

/// Feedback on one plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feedback {
    /// Id of the feedback.
    pub id: FeedbackId,
    /// The plan.
    pub plan: PlanId,
    /// The rating, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// The workflow that should have been executed. It is verified like any other before it is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Workflow>,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The operator.
    pub actor: String,
    /// When the feedback was given.
    pub at: Timestamp,
}
