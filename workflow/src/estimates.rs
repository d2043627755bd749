//! Estimates of success probability and duration, each with an interval.

use cluster::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A point estimate with an interval. The coverage is stated where the type is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Point estimate.
    pub estimate: f64,
    /// Lower bound of the interval.
    pub low: f64,
    /// Upper bound of the interval.
    pub high: f64,
}

/// The learner's estimates for one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Estimates {
    /// Calibrated probability, in [0, 1], that the candidate resolves the incident, with a 90 % interval.
    pub plan: Estimate,
    /// Optimistic value used for exploration: the estimate plus `alpha` interval widths. May exceed 1.
    pub optimistic: f64,
    /// Effective number of similar outcomes observed.
    pub observations: f64,
    /// Estimates for each step, in the order of the features.
    pub steps: Vec<StepEstimate>,
    /// Digest of the learner state that gave the estimates.
    pub model: Digest,
}

/// The learner's estimates for one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepEstimate {
    /// Id of the step.
    pub step: String,
    /// Probability that the step succeeds, with a 90 % interval.
    pub success: Estimate,
    /// Seconds until the post-conditions are true, with a 90 % interval.
    pub seconds: Estimate,
}
