//! The levels of autonomy, as the command line says them.

use workflow::guardrail::Autonomy;

/// How far Chiron goes by itself.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Freedom {
    /// Gathers evidence, proposes nothing.
    Observe,
    /// Proposes; nothing runs.
    Suggest,
    /// A person approves each plan.
    Approve,
    /// Plans of low risk run by themselves.
    AutoLowRisk,
    /// Plans run by themselves.
    Auto,
}

impl Freedom {
    /// As guardrails say it.
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
