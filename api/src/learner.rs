use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::Digest;

/// A summary of the state of the learner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearnerResponse {
    /// Number of outcomes with which the model was trained.
    pub observations: u64,
    /// Digest of the model.
    pub digest: Digest,
    /// Name of the policy.
    pub policy: String,
    /// Counts of the arms, by name.
    pub arms: BTreeMap<String, ArmItem>,
}

/// Counts of one arm. They may be fractional, because old outcomes are discounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmItem {
    /// Number of successes.
    pub successes: f64,
    /// Number of failures.
    pub failures: f64,
}
