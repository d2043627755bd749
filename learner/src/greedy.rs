//! The policy `greedy`: chooses the allowed candidate with the highest estimate, without exploration.
//!
//! # Source
//! A close second in Bietti, Agarwal and Langford, "A contextual bandit bake-off", JMLR 2021.

use workflow::id::CandidateId;
use workflow::{Digest, Estimates};

use crate::policy::Policy;

/// Chooses the candidate with the highest estimate with probability 1. Ties go to the smallest id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Greedy;

impl Policy for Greedy {
    fn name(&self) -> &str {
        "greedy"
    }

    fn digest(&self) -> Digest {
        Digest::of(b"greedy/1")
    }

    fn probabilities(&self, allowed: &[(&CandidateId, &Estimates)]) -> Vec<f64> {
        let scored: Vec<(&CandidateId, f64)> =
            allowed.iter().map(|(id, estimates)| (*id, estimates.plan.estimate)).collect();
        let best = best(&scored);
        (0..allowed.len()).map(|i| if i == best { 1.0 } else { 0.0 }).collect()
    }
}

/// Returns the index of the highest value. Ties go to the smallest id, and values that are not finite rank last.
pub(crate) fn best(scored: &[(&CandidateId, f64)]) -> usize {
    let value = |i: usize| if scored[i].1.is_finite() { scored[i].1 } else { f64::NEG_INFINITY };
    let mut best = 0;
    for i in 1..scored.len() {
        if value(i) > value(best) || (value(i) == value(best) && scored[i].0 < scored[best].0) {
            best = i;
        }
    }
    best
}
