//! Beta distributions, represented as counts of successes and failures.

use serde::{Deserialize, Serialize};

/// Counts of successes and failures, including pseudo-counts. They may be fractional, because old outcomes are
/// discounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beta {
    pub successes: f64,
    pub failures: f64,
}

impl Beta {
    /// Creates a prior with this mean and the weight of `strength` outcomes.
    pub fn prior(mean: f64, strength: f64) -> Self {
        Self { successes: mean * strength, failures: (1.0 - mean) * strength }
    }

    /// Returns the total count.
    pub fn strength(&self) -> f64 {
        self.successes + self.failures
    }

    /// Returns the mean of the distribution. NaN if both counts are 0.
    pub fn mean(&self) -> f64 {
        self.successes / self.strength()
    }

    /// Returns the sum of both counts: the posterior, if `self` is a prior and `other` contains observations.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            successes: self.successes + other.successes,
            failures: self.failures + other.failures,
        }
    }

    /// Multiplies both counts by `discount`, then counts one outcome.
    pub(crate) fn observe(&mut self, has_succeeded: bool, discount: f64) {
        self.successes *= discount;
        self.failures *= discount;
        if has_succeeded {
            self.successes += 1.0;
        } else {
            self.failures += 1.0;
        }
    }
}
