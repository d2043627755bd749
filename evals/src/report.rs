use serde::Serialize;

/// 97.5th percentile of the standard normal: five in a hundred lie beyond it on either side of a 95 % interval.
const Z95: f64 = 1.959_963_984_540_054;

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the suite.
    pub suite: String,
    /// Seeds of each scenario.
    pub seeds: u64,
    /// One a policy.
    pub policies: Vec<Policy>,
}

/// What one policy achieved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its name.
    pub policy: String,
    /// Share of the worlds with a fault that it mended, by the oracle.
    pub mitigation: Share,
    /// Worlds that it left worse.
    pub harmful: u64,
    /// Mean seconds from the first alert to the end of the last, of the worlds that it mended.
    pub mean_seconds_to_resolve: Option<f64>,
    /// One a family.
    pub families: Vec<Family>,
}

/// What one policy achieved in one family.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Family {
    /// The family.
    pub family: String,
    /// Share of its worlds that were mended; where nothing is wrong, that were left alone.
    pub mitigation: Share,
    /// Worlds in which it changed something.
    pub acted: u64,
    /// `resolved` at 90 % and more, `failed` at 10 % and less, else `mixed`.
    pub verdict: String,
}

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The share.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Out of how many.
    pub n: u64,
}

impl Share {
    /// `count` out of `n`, with the interval of Wilson (1927).
    pub fn of(count: u64, n: u64) -> Self {
        if n == 0 {
            return Self { estimate: 0.0, low: 0.0, high: 1.0, n };
        }
        let share = learner::wilson_at(count as f64 / n as f64, n as f64, Z95);
        Self { estimate: share.estimate, low: share.low, high: share.high, n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_wilson() {
        let share = Share::of(18, 20);
        assert!((share.low - 0.699).abs() < 1e-3 && (share.high - 0.972).abs() < 1e-3);
        assert_eq!(Share::of(0, 0).n, 0);
    }
}
