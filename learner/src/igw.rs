//! The policy `igw`: inverse-gap weighting over optimistic values, with a floor.
//!
//! Every allowed candidate has a known probability above 0, so that what was logged can later be asked "and if
//! another policy had chosen?"; yet where one candidate is clearly best it is chosen nearly always, for a person on
//! call wants the trouble gone and not an experiment.
//!
//! # Source
//! Foster and Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression oracles", ICML 2020. The
//! weighting there is over mean estimates; over optimistic ones it lost less in every pilot.

use serde::{Deserialize, Serialize};
use workflow::id::CandidateId;
use workflow::{Digest, Estimates, canonical_json};

use crate::greedy::best;
use crate::policy::Policy;

/// The share of all probability that floors may take together.
const MOST_FLOOR: f64 = 0.25;

/// Inverse-gap weighting: a candidate `g` below the best has `1 / (K + γ g)`, the best has the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Igw {
    /// `γ = gamma √(1 + N)` after N observations of the candidates: the more was seen, the less is tried.
    pub gamma: f64,
    /// The least probability of an allowed candidate, as long as all floors together take no more than a quarter.
    pub floor: f64,
}

impl Default for Igw {
    fn default() -> Self {
        Self { gamma: 200.0, floor: 0.005 }
    }
}

impl Igw {
    /// The floor among so many candidates.
    pub fn floor_of(&self, candidates: usize) -> f64 {
        self.floor.clamp(0.0, MOST_FLOOR / candidates as f64)
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
        // Summed by id, so that the order in which candidates were proposed does not reach the last bit.
        let mut by_id: Vec<usize> = (0..allowed.len()).collect();
        by_id.sort_by(|a, b| allowed[*a].0.cmp(allowed[*b].0));
        let seen: f64 = by_id
            .iter()
            .map(|i| allowed[*i].1.observations)
            .filter(|n| n.is_finite() && *n > 0.0)
            .sum();
        let gamma = self.gamma * (1.0 + seen).sqrt();

        let mut weights = vec![0.0; allowed.len()];
        let mut given = 0.0;
        for i in by_id {
            if i != best {
                let gap = scored[best].1 - scored[i].1;
                // What is not finite is the worst there is; it keeps the floor alone.
                weights[i] = if gap.is_finite() { 1.0 / (count + gamma * gap) } else { 0.0 };
                given += weights[i];
            }
        }
        weights[best] = 1.0 - given;
        let floor = self.floor_of(allowed.len());
        let share = 1.0 - count * floor;
        weights.into_iter().map(|weight| floor + share * weight).collect()
    }
}
