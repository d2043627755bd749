use std::fmt;

use serde::Serialize;

/// 97.5th percentile of the standard normal distribution, for a two-sided 95 % interval.
const Z95: f64 = 1.959_963_984_540_054;

/// The results of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationReport {
    /// Name of the suite.
    pub suite: String,
    /// Number of seeds per scenario.
    pub seeds: u64,
    /// Results of each policy.
    pub policies: Vec<PolicyResult>,
}

/// The results of one policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyResult {
    /// Name of the policy.
    pub policy: String,
    /// Proportion of the worlds with a fault that it mitigated according to the oracle.
    pub mitigation: Proportion,
    /// Number of worlds that it made worse.
    pub harmful: u64,
    /// Mean seconds from the first alert firing to the last alert resolving, over the mitigated worlds.
    pub mean_seconds_to_resolve: Option<f64>,
    /// Results of each family.
    pub families: Vec<FamilyResult>,
}

/// The results of one policy in one fault family.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FamilyResult {
    /// Name of the family.
    pub family: String,
    /// Proportion of its worlds that were mitigated, or left unchanged if no action was expected.
    pub mitigation: Proportion,
    /// Number of worlds in which the policy changed something.
    pub acted: u64,
    /// Summary of `mitigation`.
    pub verdict: FamilyVerdict,
}

/// The summary of a mitigation proportion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FamilyVerdict {
    /// At least 90 %.
    Resolved,
    /// At most 10 %.
    Failed,
    /// Between 10 % and 90 %.
    Mixed,
}

impl FamilyVerdict {
    pub(crate) fn of(proportion: f64) -> Self {
        match proportion {
            p if p >= 0.9 => Self::Resolved,
            p if p <= 0.1 => Self::Failed,
            _ => Self::Mixed,
        }
    }

    /// Returns the serialized name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Failed => "failed",
            Self::Mixed => "mixed",
        }
    }
}

impl fmt::Display for FamilyVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A proportion with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proportion {
    /// Estimated proportion.
    pub estimate: f64,
    /// Lower bound of the interval.
    pub low: f64,
    /// Upper bound of the interval.
    pub high: f64,
    /// Sample size.
    pub n: u64,
}

impl Proportion {
    /// Estimates the proportion `count`/`n`, with the Wilson score interval (1927).
    pub fn of(count: u64, n: u64) -> Self {
        if n == 0 {
            return Self { estimate: 0.0, low: 0.0, high: 1.0, n };
        }
        let interval = learner::wilson_at(count as f64 / n as f64, n as f64, Z95);
        Self { estimate: interval.estimate, low: interval.low, high: interval.high, n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportion_uses_wilson_interval() {
        let proportion = Proportion::of(18, 20);
        assert!((proportion.low - 0.699).abs() < 1e-3 && (proportion.high - 0.972).abs() < 1e-3);
        assert_eq!(Proportion::of(0, 0).n, 0);
    }
}
