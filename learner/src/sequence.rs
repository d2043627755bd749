//! A confidence sequence for the mean of values in [0, 1]: an interval after every value, all of which contain the true
//! mean with probability `1 - alpha`.
//!
//! For each candidate mean `m` two capital processes bet against it: K+ on values above `m`, K- on values below. If `m`
//! is the true mean, both are nonnegative martingales, so by Ville's inequality max(K+, K-) / 2 ever reaches 1/alpha
//! with probability at most alpha. The interval is the set of means whose hedged capital max(K+, K-) / 2 stays below
//! 1/alpha. It is valid at any stopping time, so it may be read after every value.
//!
//! # Source
//! Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024, the hedged capital
//! process K± with predictable plug-in bets.

/// Resolution of the grid of candidate means. The interval is widened by one step on either side.
const STEPS: usize = 400;
/// Maximum fraction of the capital that one value can lose.
const MAX_BET: f64 = 0.75;

/// Running state of a confidence sequence.
#[derive(Clone, Debug)]
pub struct ConfidenceSequence {
    alpha: f64,
    /// Capital of K+ and K- against each candidate mean.
    capital: Vec<(f64, f64)>,
    /// First and last candidate mean that is not rejected. The set of these is an interval.
    active: (usize, usize),
    count: f64,
    sum: f64,
    m2: f64,
}

impl ConfidenceSequence {
    /// Creates a sequence whose intervals all contain the mean with probability `1 - alpha`, alpha in (0, 1).
    pub fn new(alpha: f64) -> Self {
        Self {
            alpha,
            capital: vec![(1.0, 1.0); STEPS + 1],
            active: (0, STEPS),
            count: 0.0,
            sum: 0.0,
            m2: 0.0,
        }
    }

    /// Adds a value. Clamps it to [0, 1]; NaN counts as 0.
    pub fn push(&mut self, value: f64) {
        let value = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
        let bet = self.bet();
        let (first, last) = self.active;
        let mut active: Option<(usize, usize)> = None;
        for step in first..=last {
            let mean = step as f64 / STEPS as f64;
            let gain = value - mean;
            let above = if bet * mean > MAX_BET { MAX_BET / mean } else { bet };
            let below = if bet * (1.0 - mean) > MAX_BET { MAX_BET / (1.0 - mean) } else { bet };
            let capital = &mut self.capital[step];
            capital.0 *= 1.0 + above * gain;
            capital.1 *= 1.0 - below * gain;
            // K+ and K- each start with half of the capital.
            if capital.0.max(capital.1) / 2.0 < 1.0 / self.alpha {
                active = Some((active.map_or(step, |(first, _)| first), step));
            }
        }
        // If the mean is between two grid steps, both may be rejected. The last interval still contains it.
        self.active = active.unwrap_or(self.active);
        self.count += 1.0;
        self.sum += value;
        let deviation = value - self.regularised_mean();
        self.m2 += deviation * deviation;
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// Returns the sample mean. `None` before the first value.
    pub fn mean(&self) -> Option<f64> {
        if self.count > 0.0 { Some(self.sum / self.count) } else { None }
    }

    /// Returns the current interval, within [0, 1].
    pub fn interval(&self) -> (f64, f64) {
        let (first, last) = self.active;
        let low = first.saturating_sub(1) as f64 / STEPS as f64;
        let high = (last + 1).min(STEPS) as f64 / STEPS as f64;
        // The sample mean may be outside the interval for a while: the interval is about the true mean.
        (low, high)
    }

    /// Returns the bet on the next value. It depends only on earlier values, as the martingale requires.
    fn bet(&self) -> f64 {
        let t = self.count + 1.0;
        let variance = (0.25 + self.m2) / t;
        (2.0 * libm::log(2.0 / self.alpha) / (variance * t * libm::log(t + 1.0))).sqrt()
    }

    fn regularised_mean(&self) -> f64 {
        (0.5 + self.sum) / (1.0 + self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflow::seed::uniform01;

    /// Returns the number of streams in which the interval, read after every value, ever excludes the true mean.
    fn failures(streams: usize, length: usize, truth: f64, alpha: f64) -> usize {
        (0..streams)
            .filter(|stream| {
                let mut sequence = ConfidenceSequence::new(alpha);
                (0..length).any(|i| {
                    let draw = uniform01("stream", &format!("{truth}/{stream}/{i}"));
                    sequence.push(if draw < truth { 1.0 } else { 0.0 });
                    let (low, high) = sequence.interval();
                    truth < low || high < truth
                })
            })
            .count()
    }

    #[test]
    fn interval_contains_true_mean_at_all_times() {
        for truth in [0.5, 0.95, 0.99] {
            let failed = failures(200, 300, truth, 0.1);
            assert!(failed <= 20, "at {truth}, {failed} of 200 streams left the interval");
        }
    }

    #[test]
    fn interval_shrinks_to_true_mean() {
        let mut sequence = ConfidenceSequence::new(0.05);
        for i in 0..1000 {
            sequence.push(if uniform01("shrink", &i.to_string()) < 0.8 { 1.0 } else { 0.0 });
        }
        let (low, high) = sequence.interval();
        assert!(low > 0.7 && high < 0.88, "[{low}, {high}]");
        assert!(low < 0.8 && 0.8 < high);
    }

    #[test]
    fn interval_is_valid_for_constant_and_non_finite_values() {
        let mut sequence = ConfidenceSequence::new(0.05);
        for _ in 0..2000 {
            sequence.push(1.0);
        }
        let (low, high) = sequence.interval();
        assert!(low > 0.97 && high == 1.0, "[{low}, {high}]");
        let mut sequence = ConfidenceSequence::new(0.05);
        sequence.push(f64::NAN);
        sequence.push(f64::INFINITY);
        let (low, high) = sequence.interval();
        assert!(low == 0.0 && high == 1.0);
    }
}
