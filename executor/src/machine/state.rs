use cluster::{Reply, Request};
use jiff::Timestamp;
use serde::Serialize;
use workflow::Verdict;
use workflow::id::EffectId;
use workflow::run::RunStatus;

/// Whether steps may begin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Gate {
    /// The run waits for its turn.
    Queued,
    /// Health before anything was done is being measured.
    Baseline { ask: Ask, tries: u32 },
    /// They may.
    Open,
}

/// How the run comes to its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Ending {
    /// It does not yet: steps are being done.
    Going,
    /// As soon as no change is in flight; nothing is undone.
    Aborting,
    /// What was applied is undone first.
    Unwinding {
        then: RunStatus,
        wants_next_plan: bool,
        /// Who cancelled in the middle of it, and why: it holds after the compensation under way.
        hold_after: Option<(String, String)>,
    },
}

/// A question to the driver: its id, and the moment before which it is not asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Ask {
    pub(super) id: EffectId,
    pub(super) not_before: Timestamp,
}

/// A condition that is being judged until it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Watch {
    /// Place in its list.
    pub(super) index: usize,
    /// The next judgement.
    pub(super) ask: Ask,
    pub(super) polls: u32,
    /// The last judgement.
    pub(super) last: Option<(Verdict, Timestamp)>,
    /// Since when it has been true without a break.
    pub(super) true_since: Option<Timestamp>,
    /// Whether it was true for as long as asked: it is judged no more.
    pub(super) is_met: bool,
}

impl Watch {
    /// The last judgement, where it was made at `deadline` or later and was not true.
    pub(super) fn missed(&self, deadline: Timestamp) -> Option<String> {
        match &self.last {
            Some((Verdict::False, at)) if *at >= deadline => Some("it is not true".into()),
            Some((Verdict::Unknown { reason }, at)) if *at >= deadline => {
                Some(format!("it is not known: {reason}"))
            }
            Some((Verdict::True | Verdict::False | Verdict::Unknown { .. }, _)) | None => None,
        }
    }
}

/// Where a step stands, in the machine's own detail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Stage {
    /// Steps that it needs are not over.
    Pending,
    /// Whether it is done at all is being judged.
    When(Ask),
    /// It begins as soon as nothing holds the run.
    Ready,
    /// The alert ended before it began: health is being measured, to see whether it is still needed.
    Doubted(Ask),
    /// A person is asked before it.
    Approving { expires_at: Timestamp },
    /// A person said no, or nothing in time.
    Declined { why: String },
    /// `when` is not true.
    Unwanted { why: String },
    /// What must hold before it is being judged.
    Pre(Vec<Watch>),
    /// Its action is under way.
    Acting(Doing),
    /// What must hold after it is being judged.
    Post(Vec<Watch>),
    /// Health is being measured: nothing may be worse than before the run.
    Guard { ask: Ask, polls: u32, worse: Option<Worse> },
    /// Everything was shown; it has only to be said.
    Proven,
    /// Another attempt follows.
    Backoff { until: Timestamp },
    /// It succeeded, was skipped or failed for good.
    Over,
    /// Its compensation is under way.
    Undoing(Doing),
    /// Another attempt to undo it follows.
    UndoBackoff { until: Timestamp },
    /// It was undone, or that failed for good.
    Undone,
}

/// What the last measurement found to be worse.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Worse {
    pub(super) at: Timestamp,
    /// Place among the guarded objects.
    pub(super) index: usize,
    /// Its health then; absent where it could not be read.
    pub(super) now: Option<cluster::Health>,
}

/// Where an action stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Doing {
    /// The catalogue says what comes next; a read goes under this ask, and so does a change.
    Asking(Ask),
    /// A person is asked in the middle of it.
    Person { expires_at: Timestamp },
    /// The intent is durable, the answer is awaited.
    Sent { intent: Intent, at: Timestamp },
    /// The answer is not known: the target is read.
    Resolving { ask: Ask, intent: Intent, lost: Reply, since: Timestamp, needs_human: bool },
}

/// A change whose intent was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Intent {
    pub(super) effect: EffectId,
    pub(super) key: String,
    pub(super) attempt: u32,
    pub(super) request: Request,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct StepState {
    pub(super) stage: Stage,
    /// From when the time allowed for the present attempt, verification or undo is counted.
    pub(super) clock: Timestamp,
    /// Replies of the present attempt's action.
    pub(super) replies: Vec<Reply>,
    /// Replies of the present attempt to undo it.
    pub(super) undo_replies: Vec<Reply>,
    /// Changes that were applied, over all attempts.
    pub(super) applied: u32,
    /// Changes that were applied to undo it.
    pub(super) undo_applied: u32,
    /// Whether a change was left without knowing whether it was applied.
    pub(super) is_unknown: bool,
    /// Whether the action ended, so that the state before it is known.
    pub(super) is_done: bool,
    /// Whether it told a state before it that differs from the one after.
    pub(super) has_prior: bool,
    pub(super) is_approved: bool,
    /// Whether it was left out because the alert ended and all is well.
    pub(super) is_unneeded: bool,
    /// Whether an object's health fell after it.
    pub(super) is_regressed: bool,
    /// Conflicts met, over all attempts.
    pub(super) conflicts: u32,
    /// Reads that failed in a row, and since when.
    pub(super) failed_reads: u32,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) undo_attempts: u32,
}

impl StepState {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            stage: Stage::Pending,
            clock: at,
            replies: Vec::new(),
            undo_replies: Vec::new(),
            applied: 0,
            undo_applied: 0,
            is_unknown: false,
            is_done: false,
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

    /// The action or compensation under way.
    pub(super) fn doing(&self) -> Option<&Doing> {
        match &self.stage {
            Stage::Acting(doing) | Stage::Undoing(doing) => Some(doing),
            Stage::Pending
            | Stage::When(_)
            | Stage::Ready
            | Stage::Doubted(_)
            | Stage::Approving { .. }
            | Stage::Declined { .. }
            | Stage::Unwanted { .. }
            | Stage::Pre(_)
            | Stage::Post(_)
            | Stage::Guard { .. }
            | Stage::Proven
            | Stage::Backoff { .. }
            | Stage::Over
            | Stage::UndoBackoff { .. }
            | Stage::Undone => None,
        }
    }

    pub(super) fn needs_human(&self) -> bool {
        matches!(self.doing(), Some(Doing::Resolving { needs_human: true, .. }))
    }

    /// Whether nothing is under way: not begun, over or undone.
    pub(super) fn is_quiet(&self) -> bool {
        match self.stage {
            Stage::Pending | Stage::Over | Stage::Undone => true,
            Stage::When(_)
            | Stage::Ready
            | Stage::Doubted(_)
            | Stage::Approving { .. }
            | Stage::Declined { .. }
            | Stage::Unwanted { .. }
            | Stage::Pre(_)
            | Stage::Acting(_)
            | Stage::Post(_)
            | Stage::Guard { .. }
            | Stage::Proven
            | Stage::Backoff { .. }
            | Stage::Undoing(_)
            | Stage::UndoBackoff { .. } => false,
        }
    }

    /// Whether something of it may have to be undone.
    pub(super) fn is_applied(&self) -> bool {
        self.applied > 0 || self.is_unknown || self.has_prior
    }
}
