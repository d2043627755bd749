use cluster::{Digest, Health, ObjectRef, Reply, Request};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StopLevel, StopScope};
use crate::alert::AlertStatus;
use crate::expression::Verdict;
use crate::id::{EffectId, RunId};
use crate::manifest::RetryOn;
use crate::plan::Plan;
use crate::run::RunStatus;

/// A recorded change of one run. Live runs and replays are both folded from these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum Event {
    /// The run began.
    Started {
        /// The plan, whole: a run never looks it up again.
        plan: Box<Plan>,
        /// Version of the machine that decides.
        machine: u32,
        /// Objects whose health must not fall.
        guarded: Vec<ObjectRef>,
        /// Who or what asked for it.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The run's turn has come: its targets are locked, and fewer runs than allowed are under way.
    Admitted {
        /// When.
        at: Timestamp,
    },
    /// Health before anything was done.
    BaselineMeasured {
        /// Of the guarded objects; absent where it could not be read.
        health: Vec<(ObjectRef, Option<Health>)>,
    },
    /// An attempt on a step began.
    StepStarted {
        /// The step.
        step: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// When.
        at: Timestamp,
    },
    /// A step will not be done.
    StepSkipped {
        /// The step.
        step: String,
        /// Why.
        why: String,
    },
    /// A condition was judged.
    ConditionJudged {
        /// The step; absent for the workflow's success conditions.
        step: Option<String>,
        /// Which of its conditions.
        phase: Phase,
        /// Place in the list of that phase, from 0.
        index: usize,
        /// The verdict.
        verdict: Verdict,
        /// Digest of what was read.
        read: Digest,
        /// When.
        at: Timestamp,
    },
    /// A person is asked to say yes to a step.
    ApprovalAsked {
        /// The step.
        step: String,
        /// What is asked.
        reason: String,
        /// No answer until then is a no.
        expires_at: Timestamp,
    },
    /// A person answered, or did not in time (`by` is empty).
    ApprovalAnswered {
        /// The step.
        step: String,
        /// Yes or no.
        is_approved: bool,
        /// Who.
        by: String,
    },
    /// Objects were read for a step's action (or for its compensation).
    Observed {
        /// The step.
        step: String,
        /// The replies, in order.
        replies: Vec<Reply>,
        /// When.
        at: Timestamp,
    },
    /// What was asked for could not be read: it is asked for again.
    ReadFailed {
        /// The step; absent for the health before the run.
        step: Option<String>,
        /// What was seen.
        why: String,
        /// When it is asked for again.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A change is about to be sent: durable before it is.
    IntentWritten {
        /// The step.
        step: String,
        /// Id of the effect that sends it.
        effect: EffectId,
        /// Effect key: one per intended change, the same over attempts.
        key: String,
        /// Which attempt on this key, from 1.
        attempt: u32,
        /// The change, whole.
        request: Request,
        /// When.
        at: Timestamp,
    },
    /// A change was answered, or an unknown answer was resolved by reading.
    EffectAnswered {
        /// Effect key.
        key: String,
        /// Which attempt.
        attempt: u32,
        /// The answer.
        reply: Reply,
        /// Whether it was applied: yes, no, or not known yet.
        applied: Applied,
        /// When.
        at: Timestamp,
    },
    /// The step's action has done all that it does.
    ActionDone {
        /// The step.
        step: String,
        /// What it gives to later steps.
        output: Value,
        /// State captured before, for the compensation.
        prior: Value,
    },
    /// Health was measured after a step.
    HealthMeasured {
        /// The step.
        step: String,
        /// Of the guarded objects.
        health: Vec<(ObjectRef, Option<Health>)>,
        /// When.
        at: Timestamp,
    },
    /// Health of an object fell below where it started.
    Regressed {
        /// The step after which it did.
        step: String,
        /// The object.
        object: ObjectRef,
        /// Before.
        before: Health,
        /// Now.
        now: Health,
    },
    /// No alert of the run's incident fires any more, or one does again. What has not begun is looked at in this light.
    AlertChanged {
        /// What holds from now on.
        status: AlertStatus,
        /// When.
        at: Timestamp,
    },
    /// A step did what it says.
    StepSucceeded {
        /// The step.
        step: String,
        /// When.
        at: Timestamp,
    },
    /// An attempt failed and another follows.
    RetryScheduled {
        /// The step.
        step: String,
        /// The kind of failure.
        on: RetryOn,
        /// What failed.
        why: String,
        /// When the next attempt begins.
        until: Timestamp,
    },
    /// A step failed for good.
    StepFailed {
        /// The step.
        step: String,
        /// What failed.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// The run is paused.
    Paused {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The run goes on.
    Resumed {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// An emergency stop holds the run.
    Held {
        /// How hard.
        level: StopLevel,
        /// Who stopped.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// No emergency stop holds the run any more.
    Released {
        /// Who lifted the stop.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The run is to end, undoing what was applied.
    CancelAsked {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The run is to end as soon as no change is in flight; nothing is undone.
    AbortStarted {
        /// Why.
        why: String,
    },
    /// What was applied is being undone, in reverse order.
    UnwindStarted {
        /// Why.
        why: String,
        /// The status in which the run ends once that is done.
        then: RunStatus,
    },
    /// The compensation of a step began.
    CompensationStarted {
        /// The step.
        step: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// When.
        at: Timestamp,
    },
    /// An attempt to undo a step failed and another follows.
    CompensationRetryScheduled {
        /// The step.
        step: String,
        /// What failed.
        why: String,
        /// When the next attempt begins.
        until: Timestamp,
    },
    /// A step was undone, or needed no undoing.
    StepCompensated {
        /// The step.
        step: String,
        /// What was done: `reverted`, `nothing to undo`, `drifted since us: left as it is`.
        how: String,
        /// When.
        at: Timestamp,
    },
    /// A step could not be undone.
    CompensationFailed {
        /// The step.
        step: String,
        /// What remains: object, field, ours, theirs.
        residue: String,
        /// When.
        at: Timestamp,
    },
    /// It cannot be told whether a change was applied: a person must look.
    HumanNeeded {
        /// The step.
        step: String,
        /// Why.
        why: String,
    },
    /// The run ended.
    Ended {
        /// How.
        status: RunStatus,
        /// Why, in one sentence.
        why: String,
        /// Whether the engine should make a new decision on the incident.
        wants_next_plan: bool,
        /// When.
        at: Timestamp,
    },
}

/// Which of a step's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Whether the step is done at all.
    When,
    /// What must hold before.
    Pre,
    /// What must hold after.
    Post,
    /// What must hold at the end of the run.
    Success,
}

/// Whether a change was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Applied {
    /// It was.
    Yes,
    /// It was not.
    No,
    /// It is not known: to be resolved by reading.
    Unknown,
}

/// A recorded change across runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum FleetEvent {
    /// A run holds an object: no other run changes it.
    Locked {
        /// The object.
        object: ObjectRef,
        /// The run.
        run: RunId,
    },
    /// The object is free again.
    Unlocked {
        /// The object.
        object: ObjectRef,
        /// The run that held it.
        run: RunId,
    },
    /// A change was counted against the budget of a scope.
    Budgeted {
        /// `global`, or the key of a target.
        scope: String,
        /// The object changed.
        object: ObjectRef,
        /// When.
        at: Timestamp,
    },
    /// Emergency stop.
    Stopped {
        /// Where.
        scope: StopScope,
        /// How hard.
        level: StopLevel,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The stop was lifted.
    Lifted {
        /// Where.
        scope: StopScope,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

impl FleetEvent {
    /// The stream that it belongs to (design D1).
    pub fn stream(&self) -> String {
        match self {
            Self::Locked { object, .. } | Self::Unlocked { object, .. } => lock_stream(object),
            Self::Budgeted { scope, .. } => format!("budget/{scope}"),
            Self::Stopped { .. } | Self::Lifted { .. } => "stop".into(),
        }
    }
}

/// The stream of the lock on an object.
pub(super) fn lock_stream(object: &ObjectRef) -> String {
    let place =
        format!("{}/{}/{}", object.kind, object.namespace.as_deref().unwrap_or(""), object.name);
    format!("lock/{}/{}", object.cluster, object.uid.as_deref().unwrap_or(&place))
}
