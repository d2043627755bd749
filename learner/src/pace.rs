//! How long a step takes: running statistics of log-normal durations.

use serde::{Deserialize, Serialize};
use workflow::Estimate;

use crate::interval::Z90;

/// Pseudo-observations that the prior median is worth.
const STRENGTH: f64 = 2.0;
/// Standard deviation of the logarithm before anything was seen: half to double is common.
const SPREAD: f64 = 0.7;
/// Durations are measured no finer; the logarithm of 0 is not a number.
const SHORTEST_S: f64 = 0.05;
/// No step is allowed to run longer than 30 days.
const LONGEST_S: f64 = 30.0 * 86_400.0;

/// Count, mean and scatter of the logarithms of durations in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pace {
    /// How many were seen, in effective observations.
    pub count: f64,
    /// Mean of the logarithms.
    pub mean: f64,
    /// Sum of squared deviations from the mean.
    pub scatter: f64,
}

impl Pace {
    /// Fades what was seen to the share `discount`, then counts one duration.
    ///
    /// # Source
    /// B. P. Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 1962.
    pub(crate) fn observe(&mut self, seconds: f64, discount: f64) {
        let value = libm::log(seconds.clamp(SHORTEST_S, LONGEST_S));
        self.count = self.count * discount + 1.0;
        self.scatter *= discount;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.scatter += before * (value - self.mean);
    }

    /// With all that `more` has seen.
    ///
    /// # Source
    /// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    pub(crate) fn and(&self, more: &Self) -> Self {
        let count = self.count + more.count;
        if count <= 0.0 {
            return *self;
        }
        let apart = more.mean - self.mean;
        Self {
            count,
            mean: self.mean + apart * more.count / count,
            scatter: self.scatter + more.scatter + apart * apart * self.count * more.count / count,
        }
    }

    /// Mean duration and the interval in which nine in ten of the next ones lie, in seconds.
    pub fn seconds(&self, prior_median_s: f64) -> Estimate {
        let prior = libm::log(prior_median_s.clamp(SHORTEST_S, LONGEST_S));
        let count = STRENGTH + self.count;
        let mean = (STRENGTH * prior + self.count * self.mean) / count;
        let apart = self.mean - prior;
        // Where the prior was far off, that is scatter too, until data outweighs it.
        let scatter = STRENGTH * SPREAD * SPREAD
            + self.scatter
            + apart * apart * STRENGTH * self.count / (count * count);
        let variance = scatter / count;
        let half = Z90 * (variance * (1.0 + 1.0 / count)).sqrt();
        let low = libm::exp(mean - half);
        let high = libm::exp(mean + half);
        // The mean of a log-normal lies above its median; with a very wide spread it would leave the interval.
        Estimate { estimate: libm::exp(mean + variance / 2.0).min(high), low, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_move_from_the_prior_to_what_was_seen_and_the_interval_narrows() {
        let mut pace = Pace::default();
        let before = pace.seconds(60.0);
        for i in 0..200 {
            pace.observe(10.0 + f64::from(i % 5), 1.0);
        }
        let after = pace.seconds(60.0);
        assert!((after.estimate - 12.0).abs() < 1.5, "{after:?}");
        assert!(after.high / after.low < before.high / before.low);
        assert!(after.low < after.estimate && after.estimate < after.high);
    }

    #[test]
    fn no_time_at_all_and_absurd_times_stay_finite() {
        let mut pace = Pace::default();
        pace.observe(0.0, 0.9);
        pace.observe(f64::MAX, 0.9);
        let seconds = pace.seconds(60.0);
        assert!(seconds.low > 0.0 && seconds.high.is_finite() && seconds.estimate.is_finite());
    }
}
