//! Estimates: how likely, how long, each with an honest width.

use cluster::Digest;
use serde::{Deserialize, Serialize};

/// A number and the interval in which it lies with the stated coverage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The estimate.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// What the learner believes of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimates {
    /// Probability in [0, 1] that the incident is resolved by it, calibrated, with a 90 % interval.
    pub plan: Estimate,
    /// Optimistic value that policies explore by: the estimate plus `alpha` widths, not bounded by 1.
    pub optimistic: f64,
    /// How many outcomes like this were seen, in effective observations.
    pub observations: f64,
    /// Of each step, in the order of the features.
    pub steps: Vec<StepEstimate>,
    /// Digest of the learner state that said so.
    pub model: Digest,
}

/// What the learner believes of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepEstimate {
    /// Id of the step.
    pub step: String,
    /// Probability that the step does what it says, with a 90 % interval.
    pub success: Estimate,
    /// Seconds until its post-condition holds, with a 90 % interval.
    pub seconds: Estimate,
}
