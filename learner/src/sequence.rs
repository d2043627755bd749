//! A confidence sequence for the mean of values in [0, 1]: an interval after every value, all of them right at once.
//!
//! For each possible mean two gamblers bet against it, one that the values lie above, one that they lie below. If the
//! mean is true neither can expect to gain, so a fortune of 1/alpha is had with probability alpha at most, ever
//! (Ville's inequality). The interval is the set of means against which nobody became so rich. It may be looked at
//! after every value, and the looking stopped whenever one likes.
//!
//! # Source
//! Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024, the hedged capital
//! process with predictable plug-in bets.

/// Means are tried in steps of 1/400; the interval is widened to the next step on either side.
const STEPS: usize = 400;
/// Largest share of its fortune that a gambler can lose at one value.
const MOST_BET: f64 = 0.75;

/// The sequence so far.
#[derive(Clone, Debug)]
pub struct Sequence {
    alpha: f64,
    /// Fortunes against each mean of those that bet on above and on below.
    fortunes: Vec<(f64, f64)>,
    /// First and last mean not yet refuted; the set of these is an interval.
    alive: (usize, usize),
    count: f64,
    sum: f64,
    scatter: f64,
}

impl Sequence {
    /// Nothing seen. All its intervals together are right with probability `1 - alpha`, alpha in (0, 1).
    pub fn new(alpha: f64) -> Self {
        Self {
            alpha,
            fortunes: vec![(1.0, 1.0); STEPS + 1],
            alive: (0, STEPS),
            count: 0.0,
            sum: 0.0,
            scatter: 0.0,
        }
    }

    /// Sees the next value; what lies outside [0, 1] counts as the nearer end.
    pub fn push(&mut self, value: f64) {
        let value = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
        let bet = self.bet();
        let (first, last) = self.alive;
        let mut alive: Option<(usize, usize)> = None;
        for step in first..=last {
            let mean = step as f64 / STEPS as f64;
            let gain = value - mean;
            let above = if bet * mean > MOST_BET { MOST_BET / mean } else { bet };
            let below = if bet * (1.0 - mean) > MOST_BET { MOST_BET / (1.0 - mean) } else { bet };
            let fortune = &mut self.fortunes[step];
            fortune.0 *= 1.0 + above * gain;
            fortune.1 *= 1.0 - below * gain;
            // Each gambler has half of the stake.
            if fortune.0.max(fortune.1) / 2.0 < 1.0 / self.alpha {
                alive = Some((alive.map_or(step, |(first, _)| first), step));
            }
        }
        // If the truth lies between two steps, both may be refuted: the last interval still holds it.
        self.alive = alive.unwrap_or(self.alive);
        self.count += 1.0;
        self.sum += value;
        let off = value - self.regularised_mean();
        self.scatter += off * off;
    }

    /// How many values were seen.
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// Their plain mean; absent before the first.
    pub fn mean(&self) -> Option<f64> {
        if self.count > 0.0 { Some(self.sum / self.count) } else { None }
    }

    /// The interval now, within [0, 1].
    pub fn interval(&self) -> (f64, f64) {
        let (first, last) = self.alive;
        let low = first.saturating_sub(1) as f64 / STEPS as f64;
        let high = (last + 1).min(STEPS) as f64 / STEPS as f64;
        // The mean of what was seen may lie outside for a while: the interval is about the mean that is true.
        (low, high)
    }

    /// What is staked on the next value: known before it is seen.
    fn bet(&self) -> f64 {
        let t = self.count + 1.0;
        let variance = (0.25 + self.scatter) / t;
        (2.0 * libm::log(2.0 / self.alpha) / (variance * t * libm::log(t + 1.0))).sqrt()
    }

    fn regularised_mean(&self) -> f64 {
        (0.5 + self.sum) / (1.0 + self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflow::seed::unit;

    /// In how many of `streams` streams the interval ever fails to hold the truth, looked at after every value.
    fn failures(streams: usize, length: usize, truth: f64, alpha: f64) -> usize {
        (0..streams)
            .filter(|stream| {
                let mut sequence = Sequence::new(alpha);
                (0..length).any(|i| {
                    let draw = unit("stream", &format!("{truth}/{stream}/{i}"));
                    sequence.push(if draw < truth { 1.0 } else { 0.0 });
                    let (low, high) = sequence.interval();
                    truth < low || high < truth
                })
            })
            .count()
    }

    #[test]
    fn the_interval_holds_the_truth_at_every_time_at_once() {
        for truth in [0.5, 0.95, 0.99] {
            let failed = failures(200, 300, truth, 0.1);
            assert!(failed <= 20, "at {truth}, {failed} of 200 streams left the interval");
        }
    }

    #[test]
    fn the_interval_shrinks_to_the_truth() {
        let mut sequence = Sequence::new(0.05);
        for i in 0..1000 {
            sequence.push(if unit("shrink", &i.to_string()) < 0.8 { 1.0 } else { 0.0 });
        }
        let (low, high) = sequence.interval();
        assert!(low > 0.7 && high < 0.88, "[{low}, {high}]");
        assert!(low < 0.8 && 0.8 < high);
    }

    #[test]
    fn values_that_never_vary_and_values_that_are_no_numbers_leave_an_interval() {
        let mut sequence = Sequence::new(0.05);
        for _ in 0..2000 {
            sequence.push(1.0);
        }
        let (low, high) = sequence.interval();
        assert!(low > 0.97 && high == 1.0, "[{low}, {high}]");
        let mut sequence = Sequence::new(0.05);
        sequence.push(f64::NAN);
        sequence.push(f64::INFINITY);
        let (low, high) = sequence.interval();
        assert!(low == 0.0 && high == 1.0);
    }
}
