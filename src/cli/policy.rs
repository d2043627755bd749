//! The policies that choose among candidates, as command-line values.

use learner::Policy;

/// The policy that chooses among the candidates that the guardrails allow.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum PolicyName {
    /// Inverse gap weighting: usually the candidate with the best estimate; the others with a probability inversely
    /// proportional to the gap between their estimate and the best one.
    #[default]
    Igw,
    /// Always the candidate with the best estimate, without exploration.
    Greedy,
    /// Always the first proposed candidate, regardless of the estimates.
    First,
}

impl PolicyName {
    /// Returns the policy with its default settings.
    pub(crate) fn policy(self) -> Box<dyn Policy> {
        let name = match self {
            Self::Igw => "igw",
            Self::Greedy => "greedy",
            Self::First => "first",
        };
        learner::policy(name).expect("a built-in policy")
    }
}
