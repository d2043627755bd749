//! Choosing in three pure steps: estimates → probabilities (forbidden candidates masked, then the floor) → one drawn.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use workflow::id::CandidateId;
use workflow::{Digest, Estimates, Mask};

use crate::first::First;
use crate::greedy::Greedy;
use crate::igw::Igw;

/// Turns estimates into probabilities, and draws.
pub trait Policy: Send + Sync {
    /// Its name, as experiments and the record know it.
    fn name(&self) -> &str;

    /// Digest of its configuration.
    fn digest(&self) -> Digest;

    /// The probability of each allowed candidate, in the order given: at least 0, summing to 1. Never called with an
    /// empty list.
    fn probabilities(&self, allowed: &[(&CandidateId, &Estimates)]) -> Vec<f64>;

    /// Masks, asks for probabilities, draws one candidate with `seed`. Masked candidates have probability 0.
    ///
    /// # Errors
    /// [`NothingAllowed`] if no candidate is left, which the candidate `escalate` is there to prevent.
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
        let chosen = drawn(&probabilities, draw);
        Ok(Choice { probabilities, chosen, draw })
    }
}

/// What a policy chose, and how likely that was.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The probability of every candidate, in the order given; 0 where masked. They sum to 1.
    pub probabilities: Vec<(CandidateId, f64)>,
    /// The one that was drawn.
    pub chosen: CandidateId,
    /// The draw, in [0, 1).
    pub draw: f64,
}

impl Choice {
    /// The probability with which `candidate` was chosen.
    pub fn propensity(&self, candidate: &CandidateId) -> f64 {
        self.probabilities
            .iter()
            .find(|(id, _)| id == candidate)
            .map_or(0.0, |(_, probability)| *probability)
    }
}

/// There was nothing to choose from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "all {candidates} candidates are masked: `escalate` must be among them, and is never refused"
)]
pub struct NothingAllowed {
    /// How many candidates there were.
    pub candidates: usize,
}

/// The policy of this name with its usual settings: `igw`, `greedy` or `first`.
pub fn policy(name: &str) -> Option<Box<dyn Policy>> {
    match name {
        "igw" => Some(Box::new(Igw::default())),
        "greedy" => Some(Box::new(Greedy)),
        "first" => Some(Box::new(First)),
        _ => None,
    }
}

/// A number in [0, 1) with 53 random bits.
fn uniform(seed: [u8; 32]) -> f64 {
    (ChaCha8Rng::from_seed(seed).next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// The candidate in whose stretch of [0, 1) the draw falls, stretches laid out by id, so that the order in which
/// candidates were proposed changes nothing.
fn drawn(probabilities: &[(CandidateId, f64)], draw: f64) -> CandidateId {
    let mut stretches: Vec<&(CandidateId, f64)> =
        probabilities.iter().filter(|(_, p)| *p > 0.0).collect();
    stretches.sort_by(|a, b| a.0.cmp(&b.0));
    let mut reached = 0.0;
    for (id, probability) in &stretches {
        reached += probability;
        if draw < reached {
            return id.clone();
        }
    }
    // Rounding may leave the last stretch short of 1.
    stretches.last().map(|(id, _)| id.clone()).expect("probabilities sum to 1, so one is above 0")
}

#[cfg(test)]
mod tests;
