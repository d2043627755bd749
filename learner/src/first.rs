//! The policy `first`: whatever was proposed first and is allowed. What a static list of templates does.

use workflow::id::CandidateId;
use workflow::{Digest, Estimates};

use crate::policy::Policy;

/// Chooses the first allowed candidate in the order given, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct First;

impl Policy for First {
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
