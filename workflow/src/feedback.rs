//! Feedback: what a person said about a plan, or the correction they made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{FeedbackId, PlanId};
use crate::manifest::Workflow;

/// What a person thinks of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Opinion {
    /// It was the right plan.
    Right,
    /// It was the wrong plan.
    Wrong,
}

/// One piece of feedback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feedback {
    /// Its id.
    pub id: FeedbackId,
    /// On which plan.
    pub plan: PlanId,
    /// The opinion, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opinion: Option<Opinion>,
    /// What should have been done: a workflow, verified like any other before it is ever proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Workflow>,
    /// Words for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}
