//! The policy `first`: chooses the first allowed candidate, as a static list of runbooks does.

use workflow::id::CandidateId;
use workflow::{Digest, Estimates};

use crate::policy::Policy;

/// Chooses the first allowed candidate, in the given order, with probability 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstCandidate;

impl Policy for FirstCandidate {
    fn name(&self) -> &str {
        "first"
    }

    fn digest(&self) -> Digest {
        Digest::of(b"first/1")
    }

    fn probabilities(&self, allowed: &[(&CandidateId, &Estimates)]) -> Vec<f64> {
        (0..allowed.len()).map(|i| if i == 0 { 1.0 } else { 0.0 }).collect()
    }
}
