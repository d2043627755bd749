//! The policy `igw`: inverse-gap weighting over optimistic values, with a minimum probability.
//!
//! Every allowed candidate has a known probability above 0, so that logged decisions support off-policy evaluation. A
//! candidate that is clearly best is still chosen nearly always, because an on-call operator wants the incident
//! resolved and not an experiment.
//!
//! # Source
//! Foster and Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression oracles", ICML 2020. The
//! weighting there is over mean estimates; over optimistic ones it lost less in every pilot.

use serde::{Deserialize, Serialize};
use workflow::id::CandidateId;
use workflow::{Digest, Estimates, canonical_json};

use crate::greedy::best;
use crate::policy::Policy;

/// Maximum total probability of all floors together.
const MAX_TOTAL_FLOOR: f64 = 0.25;

/// Inverse-gap weighting: of K candidates, one with a gap `g` to the best has the probability `1 / (K + γ g)`, and the
/// best has the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Igw {
    /// `γ = gamma √(1 + N)` after N observations of the candidates: exploration decreases as data increases.
    pub gamma: f64,
    /// Minimum probability of an allowed candidate, reduced if all floors together would exceed a quarter.
    pub floor: f64,
}

impl Default for Igw {
    fn default() -> Self {
        Self { gamma: 200.0, floor: 0.005 }
    }
}

impl Igw {
    /// Returns the minimum probability of each of `candidates` allowed candidates.
    pub fn floor_of(&self, candidates: usize) -> f64 {
        self.floor.clamp(0.0, MAX_TOTAL_FLOOR / candidates as f64)
    }
}

impl Policy for Igw {
    fn name(&self) -> &str {
        "igw"
    }

    fn digest(&self) -> Digest {
        Digest::of(format!("igw/1 {}", canonical_json(self).unwrap_or_default()).as_bytes())
    }

    fn probabilities(&self, allowed: &[(&CandidateId, &Estimates)]) -> Vec<f64> {
        let count = allowed.len() as f64;
        let scored: Vec<(&CandidateId, f64)> =
            allowed.iter().map(|(id, estimates)| (*id, estimates.optimistic)).collect();
        let best = best(&scored);
        // Summing in order of id makes the result independent of the order in which candidates were proposed, to the
        // last bit.
        let mut by_id: Vec<usize> = (0..allowed.len()).collect();
        by_id.sort_by(|a, b| allowed[*a].0.cmp(allowed[*b].0));
        let observations: f64 = by_id
            .iter()
            .map(|i| allowed[*i].1.observations)
            .filter(|n| n.is_finite() && *n > 0.0)
            .sum();
        let gamma = self.gamma * (1.0 + observations).sqrt();

        let mut weights = vec![0.0; allowed.len()];
        let mut total = 0.0;
        for i in by_id {
            if i != best {
                let gap = scored[best].1 - scored[i].1;
                // A candidate whose value is not finite gets only the floor.
                weights[i] = if gap.is_finite() { 1.0 / (count + gamma * gap) } else { 0.0 };
                total += weights[i];
            }
        }
        weights[best] = 1.0 - total;
        let floor = self.floor_of(allowed.len());
        let scale = 1.0 - count * floor;
        weights.into_iter().map(|weight| floor + scale * weight).collect()
    }
}
