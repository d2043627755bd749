//! The levels of autonomy as command-line values.

use workflow::guardrail::Autonomy;

/// What Chiron does without an approval.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum AutonomyLevel {
    /// Gathers evidence and proposes nothing.
    Observe,
    /// Proposes plans and runs none.
    Suggest,
    /// Runs a plan only after an operator approved it.
    Approve,
    /// Runs low-risk plans without approval; other plans need approval.
    AutoLowRisk,
    /// Runs plans without approval.
    Auto,
}

impl AutonomyLevel {
    /// Returns the autonomy as in guardrails.
    pub(crate) fn autonomy(self) -> Autonomy {
        match self {
            Self::Observe => Autonomy::Observe,
            Self::Suggest => Autonomy::Suggest,
            Self::Approve => Autonomy::Approve,
            Self::AutoLowRisk => Autonomy::AutoLowRisk,
            Self::Auto => Autonomy::Auto,
        }
    }
}
