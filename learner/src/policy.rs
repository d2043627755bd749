//! Policies: turn estimates into probabilities, with rejected candidates masked, and draw one candidate.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use workflow::id::CandidateId;
use workflow::{Digest, Estimates, Mask};

/// A bandit policy: turns estimates into probabilities and draws one candidate.
pub trait Policy: Send + Sync {
    /// Returns the name of the policy in experiments and in the record.
    fn name(&self) -> &str;

    /// Returns the digest of the policy and its configuration.
    fn digest(&self) -> Digest;

    /// Returns the probability of each allowed candidate, in the given order. The probabilities are at least 0 and sum
    /// to 1. `allowed` is never empty.
    fn probabilities(&self, allowed: &[(&CandidateId, &Estimates)]) -> Vec<f64>;

    /// Draws one candidate with `seed`. Masked candidates have probability 0.
    ///
    /// # Errors
    /// [`NothingAllowed`] if all candidates are masked. The candidate `escalate`, which is never rejected, prevents
    /// this.
    fn decide(
        &self,
        estimates: &[(CandidateId, Estimates)],
        mask: &Mask,
        seed: [u8; 32],
    ) -> Result<Choice, NothingAllowed> {
        let allowed: Vec<(&CandidateId, &Estimates)> = estimates
            .iter()
            .filter(|(id, _)| !mask.contains_key(id))
            .map(|(id, estimates)| (id, estimates))
            .collect();
        if allowed.is_empty() {
            return Err(NothingAllowed { candidates: estimates.len() });
        }
        let mut of_allowed = self.probabilities(&allowed).into_iter();
        let probabilities: Vec<(CandidateId, f64)> = estimates
            .iter()
            .map(|(id, _)| {
                let probability =
                    if mask.contains_key(id) { 0.0 } else { of_allowed.next().unwrap_or(0.0) };
                (id.clone(), probability)
            })
            .collect();
        let draw = uniform(seed);
        let chosen = select(&probabilities, draw);
        Ok(Choice { probabilities, chosen, draw })
    }
}

/// The candidate that a policy chose, with the probabilities of all candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The probability of every candidate, in the given order; 0 if masked. They sum to 1.
    pub probabilities: Vec<(CandidateId, f64)>,
    /// The candidate that was drawn.
    pub chosen: CandidateId,
    /// The random number in [0, 1) that selected the candidate.
    pub draw: f64,
}

impl Choice {
    /// Returns the probability of `candidate`.
    pub fn propensity(&self, candidate: &CandidateId) -> f64 {
        self.probabilities
            .iter()
            .find(|(id, _)| id == candidate)
            .map_or(0.0, |(_, probability)| *probability)
    }
}

/// All candidates are masked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "all {candidates} candidates are rejected: the list must contain `escalate`, which is never rejected"
)]
pub struct NothingAllowed {
    /// Number of candidates.
    pub candidates: usize,
}

/// Returns a uniform random number in [0, 1) with 53 random bits.
fn uniform(seed: [u8; 32]) -> f64 {
    (ChaCha8Rng::from_seed(seed).next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Selects the candidate whose segment of [0, 1) contains `draw`.
///
/// Segments are ordered by id, so the result does not depend on the order in which candidates were proposed.
fn select(probabilities: &[(CandidateId, f64)], draw: f64) -> CandidateId {
    let mut segments: Vec<&(CandidateId, f64)> =
        probabilities.iter().filter(|(_, p)| *p > 0.0).collect();
    segments.sort_by(|a, b| a.0.cmp(&b.0));
    let mut cumulative = 0.0;
    for (id, probability) in &segments {
        cumulative += probability;
        if draw < cumulative {
            return id.clone();
        }
    }
    // Because of rounding, the last segment may end slightly below 1.
    segments.last().map(|(id, _)| id.clone()).expect("probabilities sum to 1, so one is above 0")
}

#[cfg(test)]
mod tests;
