//! Durations of steps: running statistics of a log-normal distribution.

use serde::{Deserialize, Serialize};
use workflow::Estimate;

use crate::interval::Z90;

/// Weight of the prior median, in pseudo-observations.
const STRENGTH: f64 = 2.0;
/// Prior standard deviation of the logarithm: one standard deviation is half to double the median.
const SPREAD: f64 = 0.7;
/// Minimum duration that is counted. Avoids the logarithm of 0.
const MIN_SECONDS: f64 = 0.05;
/// Maximum duration of a step: 30 days, the maximum timeout.
const MAX_SECONDS: f64 = 30.0 * 86_400.0;

/// Count, mean and sum of squared deviations of the logarithms of durations in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DurationStats {
    /// Number of effective observations.
    pub count: f64,
    /// Mean of the logarithms.
    pub mean: f64,
    /// Sum of squared deviations from the mean (M2 in Welford's algorithm).
    pub m2: f64,
}

impl DurationStats {
    /// Multiplies the weight of earlier observations by `discount`, then adds one duration.
    ///
    /// # Source
    /// B. P. Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 1962.
    pub(crate) fn observe(&mut self, seconds: f64, discount: f64) {
        let value = libm::log(seconds.clamp(MIN_SECONDS, MAX_SECONDS));
        self.count = self.count * discount + 1.0;
        self.m2 *= discount;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.m2 += before * (value - self.mean);
    }

    /// Returns the statistics of both samples together.
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
            m2: self.m2 + more.m2 + apart * apart * self.count * more.count / count,
        }
    }

    /// Returns the mean duration and the 90 % prediction interval of the next duration, in seconds.
    pub fn seconds(&self, prior_median_s: f64) -> Estimate {
        let prior = libm::log(prior_median_s.clamp(MIN_SECONDS, MAX_SECONDS));
        let count = STRENGTH + self.count;
        let mean = (STRENGTH * prior + self.count * self.mean) / count;
        let apart = self.mean - prior;
        // The distance between the prior and the observed mean adds to the variance until data outweighs the prior.
        let m2 = STRENGTH * SPREAD * SPREAD
            + self.m2
            + apart * apart * STRENGTH * self.count / (count * count);
        let variance = m2 / count;
        let half = Z90 * (variance * (1.0 + 1.0 / count)).sqrt();
        let low = libm::exp(mean - half);
        let high = libm::exp(mean + half);
        // The mean of a log-normal distribution is above its median. With a very large variance it would be outside the
        // interval.
        Estimate { estimate: libm::exp(mean + variance / 2.0).min(high), low, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_moves_from_prior_to_data_and_interval_narrows() {
        let mut duration = DurationStats::default();
        let before = duration.seconds(60.0);
        for i in 0..200 {
            duration.observe(10.0 + f64::from(i % 5), 1.0);
        }
        let after = duration.seconds(60.0);
        assert!((after.estimate - 12.0).abs() < 1.5, "{after:?}");
        assert!(after.high / after.low < before.high / before.low);
        assert!(after.low < after.estimate && after.estimate < after.high);
    }

    #[test]
    fn seconds_is_finite_for_zero_and_huge_durations() {
        let mut duration = DurationStats::default();
        duration.observe(0.0, 0.9);
        duration.observe(f64::MAX, 0.9);
        let seconds = duration.seconds(60.0);
        assert!(seconds.low > 0.0 && seconds.high.is_finite() && seconds.estimate.is_finite());
    }
}
