use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Status of a run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Steps are being executed.
    Running,
    /// Paused by an operator or an emergency stop: nothing new is started.
    Paused,
    /// A step waits for approval.
    AwaitingApproval,
    /// Applied changes are being rolled back.
    Compensating,
    /// The run cannot continue without an operator.
    NeedsHuman,
    /// All steps succeeded or were skipped.
    Succeeded,
    /// The run failed, and not all applied changes were rolled back.
    Failed,
    /// The run failed, and all applied changes were rolled back.
    RolledBack,
    /// An operator cancelled the run.
    Cancelled,
}

impl RunStatus {
    /// Returns whether the run has ended.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::RolledBack | Self::Cancelled => true,
            Self::Running
            | Self::Paused
            | Self::AwaitingApproval
            | Self::Compensating
            | Self::NeedsHuman => false,
        }
    }
}

/// Status of a step.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// Not started.
    Pending,
    /// Waits for approval.
    AwaitingApproval,
    /// The action is being executed.
    Running,
    /// The action has finished; the post-conditions are not true yet.
    Verifying,
    /// Waits for the next attempt.
    Waiting,
    /// The post-conditions are true.
    Succeeded,
    /// Deliberately not executed.
    Skipped,
    /// Failed without further attempts.
    Failed,
    /// The compensation is being executed.
    Compensating,
    /// The compensation has finished.
    Compensated,
    /// The compensation failed.
    CompensationFailed,
    /// It is unknown whether a change was applied. An operator must check.
    NeedsHuman,
}
