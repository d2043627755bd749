use learner::Policy;
use workflow::id::CandidateId;
use workflow::{Digest, Estimates};

/// Chooses every allowed candidate with the same probability, so that generated history is unbiased.
pub(crate) struct Uniform;

impl Policy for Uniform {
    fn name(&self) -> &str {
        "uniform"
    }

    fn digest(&self) -> Digest {
        Digest::of(b"uniform")
    }

    fn probabilities(&self, allowed: &[(&CandidateId, &Estimates)]) -> Vec<f64> {
        vec![1.0 / allowed.len() as f64; allowed.len()]
    }
}
