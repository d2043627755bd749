//! State of a run and of its steps. Crate-private: other crates read [`workflow::RunView`].

use actions::Reply;
use cluster::{Request, WriteReply};
use jiff::Timestamp;
use serde::Serialize;
use workflow::expression::Truth;
use workflow::id::EffectId;
use workflow::run::RunStatus;

/// Whether the run may start steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum RunGate {
    /// The fleet has not admitted the run yet.
    Queued,
    /// Health before the first change is being measured.
    Baseline { effect_request: EffectRequest, attempts: u32 },
    /// Steps may start.
    Open,
}

/// How the run ends, once something has decided that it ends early.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Termination {
    /// The run executes its steps.
    None,
    /// The run ends as soon as no change is in flight; nothing is undone.
    Aborting,
    /// The run ends after the applied steps have been undone.
    RollingBack {
        final_status: RunStatus,
        requests_replan: bool,
        /// Actor and reason of a cancellation that arrived during the rollback: the run pauses after the compensation in
        /// progress.
        pause_after: Option<(String, String)>,
    },
}

/// Identity of an effect that the driver should perform, and the earliest time to do so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct EffectRequest {
    pub(super) id: EffectId,
    pub(super) not_before: Timestamp,
}

/// A condition that is evaluated repeatedly until it has been true for long enough.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ConditionPoll {
    /// Index of the condition in its list.
    pub(super) index: usize,
    /// The next evaluation.
    pub(super) effect_request: EffectRequest,
    /// Number of evaluations so far.
    pub(super) attempts: u32,
    /// Result and time of the last evaluation.
    pub(super) last: Option<(Truth, Timestamp)>,
    /// Start of the current uninterrupted period in which the condition is true.
    pub(super) true_since: Option<Timestamp>,
    /// Whether it was true for the required duration; it is not evaluated again.
    pub(super) is_met: bool,
}

impl ConditionPoll {
    /// Returns why the condition missed `deadline`: the last evaluation was made at the deadline or later and was not
    /// true.
    pub(super) fn deadline_error(&self, deadline: Timestamp) -> Option<String> {
        match &self.last {
            Some((Truth::False, at)) if *at >= deadline => Some("condition is false".into()),
            Some((Truth::Unknown { message }, at)) if *at >= deadline => {
                Some(format!("condition is unknown: {message}"))
            }
            Some((Truth::True | Truth::False | Truth::Unknown { .. }, _)) | None => None,
        }
    }
}

/// State of one step; finer than the status that [`workflow::RunView`] shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum StepState {
    /// A step that it depends on is not finished.
    Pending,
    /// Its `when` expression is being evaluated.
    EvaluatingWhen(EffectRequest),
    /// It starts as soon as the run is not held.
    Ready,
    /// The alert resolved before the step started: health is being measured to decide whether the step is still needed.
    Reconsidering(EffectRequest),
    /// An operator must approve it before it starts.
    AwaitingApproval {
        expires_at: Timestamp,
    },
    /// The approval was refused or expired.
    Declined {
        message: String,
    },
    /// It will be skipped: its `when` is not true, or it is no longer needed.
    Skipping {
        message: String,
    },
    CheckingPreconditions(Vec<ConditionPoll>),
    /// Its action is in progress.
    Applying(ActionProgress),
    CheckingPostconditions(Vec<ConditionPoll>),
    /// Health is being measured: no guarded object may be less healthy than before the run.
    CheckingHealth {
        effect_request: EffectRequest,
        polls: u32,
        regression: Option<Regression>,
    },
    /// All checks passed; `StepSucceeded` is not recorded yet.
    Verified,
    /// Another attempt follows.
    Backoff {
        until: Timestamp,
    },
    /// It succeeded, was skipped or failed permanently.
    Finished,
    /// Its compensation is in progress.
    Compensating(ActionProgress),
    /// Another attempt to undo it follows.
    CompensationBackoff {
        until: Timestamp,
    },
    /// It was undone, or undoing it failed permanently.
    Compensated,
}

/// A guarded object that the last measurement found to be less healthy than before the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Regression {
    pub(super) at: Timestamp,
    /// Index among the guarded objects.
    pub(super) index: usize,
    /// Measured health; `None` if it could not be read.
    pub(super) now: Option<cluster::Health>,
}

/// Progress of an action or a compensation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum ActionProgress {
    /// The catalogue determines the next operation; a read or a change is performed under this effect id.
    Preparing(EffectRequest),
    /// The action itself asked for approval.
    AwaitingApproval { expires_at: Timestamp },
    /// The intent is durable; the reply is outstanding.
    Sent { intent: Intent, at: Timestamp },
    /// Whether the change was applied is unknown: the target is read to find out.
    Resolving {
        effect_request: EffectRequest,
        intent: Intent,
        lost_reply: WriteReply,
        since: Timestamp,
        needs_operator: bool,
    },
}

/// A change whose intent is recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Intent {
    pub(super) effect: EffectId,
    pub(super) key: String,
    pub(super) attempt: u32,
    pub(super) request: Request,
}

/// What the machine knows of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct StepProgress {
    pub(super) state: StepState,
    /// Start of the time limit of the current attempt, verification or compensation.
    pub(super) clock: Timestamp,
    /// Replies of the current attempt's action.
    pub(super) replies: Vec<Reply>,
    /// Replies of the current compensation attempt.
    pub(super) undo_replies: Vec<Reply>,
    /// Number of changes applied by the action, over all attempts.
    pub(super) applied: u32,
    /// Number of changes applied by the compensation, over all attempts.
    pub(super) undo_applied: u32,
    /// Whether it is unknown if one of its changes was applied.
    pub(super) is_unknown: bool,
    /// Whether the action completed, so that the prior state is known.
    pub(super) is_action_done: bool,
    /// Whether the action reported a prior state that differs from the state after it.
    pub(super) has_prior: bool,
    pub(super) is_approved: bool,
    /// Whether it was skipped because the alert resolved and all guarded objects are healthy.
    pub(super) is_unneeded: bool,
    /// Whether the health of a guarded object fell after it.
    pub(super) is_regressed: bool,
    /// Number of conflicts, over all attempts.
    pub(super) conflicts: u32,
    /// Number of consecutive failed reads.
    pub(super) failed_reads: u32,
    /// Time of the first of those failed reads.
    pub(super) failing_since: Option<Timestamp>,
    pub(super) undo_attempts: u32,
}

impl StepProgress {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            state: StepState::Pending,
            clock: at,
            replies: Vec::new(),
            undo_replies: Vec::new(),
            applied: 0,
            undo_applied: 0,
            is_unknown: false,
            is_action_done: false,
            has_prior: false,
            is_approved: false,
            is_unneeded: false,
            is_regressed: false,
            conflicts: 0,
            failed_reads: 0,
            failing_since: None,
            undo_attempts: 0,
        }
    }

    /// Returns the progress of the action or compensation, if one is in progress.
    pub(super) fn action(&self) -> Option<&ActionProgress> {
        match &self.state {
            StepState::Applying(action) | StepState::Compensating(action) => Some(action),
            StepState::Pending
            | StepState::EvaluatingWhen(_)
            | StepState::Ready
            | StepState::Reconsidering(_)
            | StepState::AwaitingApproval { .. }
            | StepState::Declined { .. }
            | StepState::Skipping { .. }
            | StepState::CheckingPreconditions(_)
            | StepState::CheckingPostconditions(_)
            | StepState::CheckingHealth { .. }
            | StepState::Verified
            | StepState::Backoff { .. }
            | StepState::Finished
            | StepState::CompensationBackoff { .. }
            | StepState::Compensated => None,
        }
    }

    pub(super) fn needs_operator(&self) -> bool {
        matches!(self.action(), Some(ActionProgress::Resolving { needs_operator: true, .. }))
    }

    /// Whether nothing is in progress: the step has not started, is finished or is compensated.
    pub(super) fn is_idle(&self) -> bool {
        match self.state {
            StepState::Pending | StepState::Finished | StepState::Compensated => true,
            StepState::EvaluatingWhen(_)
            | StepState::Ready
            | StepState::Reconsidering(_)
            | StepState::AwaitingApproval { .. }
            | StepState::Declined { .. }
            | StepState::Skipping { .. }
            | StepState::CheckingPreconditions(_)
            | StepState::Applying(_)
            | StepState::CheckingPostconditions(_)
            | StepState::CheckingHealth { .. }
            | StepState::Verified
            | StepState::Backoff { .. }
            | StepState::Compensating(_)
            | StepState::CompensationBackoff { .. } => false,
        }
    }

    /// Whether it changed something, or may have, so that it must be undone in a rollback.
    pub(super) fn is_applied(&self) -> bool {
        self.applied > 0 || self.is_unknown || self.has_prior
    }
}
