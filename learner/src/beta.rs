//! Beta distributions as counts of success and failure.

use serde::{Deserialize, Serialize};

/// Counts, pseudo-counts among them; may be fractions, for old outcomes fade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beta {
    /// Successes.
    pub successes: f64,
    /// Failures.
    pub failures: f64,
}

impl Beta {
    /// A prior of this mean, worth `strength` outcomes.
    pub fn prior(mean: f64, strength: f64) -> Self {
        Self { successes: mean * strength, failures: (1.0 - mean) * strength }
    }

    /// How many outcomes it is worth.
    pub fn strength(&self) -> f64 {
        self.successes + self.failures
    }

    /// Mean of the distribution; the counts must not both be 0.
    pub fn mean(&self) -> f64 {
        self.successes / self.strength()
    }

    /// With the counts of `other` added: a posterior, if `self` is a prior and `other` was seen.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            successes: self.successes + other.successes,
            failures: self.failures + other.failures,
        }
    }

    /// Fades what was seen to the share `discount`, then counts one outcome.
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
