//! The policies that choose among candidates, as the command line says them.

use learner::Policy;

/// Who chooses among the candidates that the guardrails allow.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Choice {
    /// Mostly the likeliest, the others as often as it pays to learn of them.
    #[default]
    Igw,
    /// Always the likeliest: nothing is learned of the others.
    Greedy,
    /// Always the first as it was proposed, whatever was learned.
    First,
}

impl Choice {
    /// The policy itself, with its usual settings.
    pub(crate) fn policy(self) -> Box<dyn Policy> {
        let name = match self {
            Self::Igw => "igw",
            Self::Greedy => "greedy",
            Self::First => "first",
        };
        learner::policy(name).expect("each of these is built in")
    }
}
