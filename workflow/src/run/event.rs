use cluster::{Digest, Health, ObjectRef, ReadReply, Request, WriteReply};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::RunStatus;
use super::{StopLevel, StopScope};
use crate::alert::AlertStatus;
use crate::expression::Truth;
use crate::id::{EffectId, RunId};
use crate::manifest::RetryOn;
use crate::plan::Plan;

/// A recorded change of one run. Live state and replayed state are folded from the same events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum Event {
    /// The run was started.
    Started {
        /// The whole plan, so that a run never needs another record to be replayed.
        plan: Box<Plan>,
        /// Version of the state machine that makes the decisions.
        machine: u32,
        /// Objects whose health must not drop during the run.
        guarded: Vec<ObjectRef>,
        /// The operator or component that requested the run.
        actor: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// The run left the queue: its targets are locked, and the limit on concurrent runs allows it.
    Admitted {
        /// When the event was decided.
        at: Timestamp,
    },
    /// Health was measured before the first change.
    BaselineMeasured {
        /// Health of the guarded objects. Absent for an object that could not be read.
        health: Vec<(ObjectRef, Option<Health>)>,
    },
    /// An attempt of a step started.
    StepStarted {
        /// The step.
        step: String,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// When the event was decided.
        at: Timestamp,
    },
    /// A step is skipped.
    StepSkipped {
        /// The step.
        step: String,
        /// Why it is skipped.
        message: String,
    },
    /// A condition was evaluated.
    ConditionEvaluated {
        /// The step. Absent for the success conditions of the workflow.
        step: Option<String>,
        /// The list that the condition belongs to.
        phase: Phase,
        /// Index in that list, from 0.
        index: usize,
        /// Result of the evaluation.
        result: Truth,
        /// Digest of the objects that were read.
        read_digest: Digest,
        /// When the event was decided.
        at: Timestamp,
    },
    /// A step waits for approval by an operator.
    ApprovalRequested {
        /// The step.
        step: String,
        /// What the operator is asked to approve.
        message: String,
        /// Without a decision until then, the step is rejected.
        expires_at: Timestamp,
    },
    /// A step was approved or rejected. `actor` is empty if the request expired.
    ApprovalDecided {
        /// The step.
        step: String,
        /// Whether the step was approved.
        is_approved: bool,
        /// The operator who decided. Empty if the request expired.
        actor: String,
    },
    /// Objects were read for the action of a step or for its compensation.
    Observed {
        /// The step.
        step: String,
        /// One reply per query, in order.
        replies: Vec<ReadReply>,
        /// When the event was decided.
        at: Timestamp,
    },
    /// The wait that an action asked for is over.
    WaitEnded {
        /// The step.
        step: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// A read failed and is retried.
    ReadFailed {
        /// The step. Absent for the baseline measurement.
        step: Option<String>,
        /// Error of the read.
        message: String,
        /// When the read is retried.
        retry_at: Timestamp,
        /// When the event was decided.
        at: Timestamp,
    },
    /// A change is about to be sent. The event is durable before the request is sent.
    IntentWritten {
        /// The step.
        step: String,
        /// Id of the effect that sends the change.
        effect: EffectId,
        /// Effect key: identifies the intended change across attempts.
        key: String,
        /// Number of the attempt for this key, from 1.
        attempt: u32,
        /// The whole request.
        request: Request,
        /// When the event was decided.
        at: Timestamp,
    },
    /// A change was answered, or an unknown result was resolved by reading the object.
    EffectAnswered {
        /// Effect key of the change.
        key: String,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// The reply of the cluster. If a read resolved it, the unknown reply that came before.
        reply: WriteReply,
        /// The read that resolved an unknown reply. Absent if the cluster itself answered, or if the result is unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<ReadReply>,
        /// Whether the change was applied, as far as known.
        applied: Applied,
        /// When the event was decided.
        at: Timestamp,
    },
    /// The action of a step has finished.
    ActionDone {
        /// The step.
        step: String,
        /// Output for later steps.
        output: Value,
        /// State captured before the change, used by the compensation.
        prior: Value,
    },
    /// Health was measured after a step.
    HealthMeasured {
        /// The step.
        step: String,
        /// Health of the guarded objects. Absent for an object that could not be read.
        health: Vec<(ObjectRef, Option<Health>)>,
        /// When the event was decided.
        at: Timestamp,
    },
    /// The health of an object dropped below its baseline.
    Regressed {
        /// The step after which it dropped.
        step: String,
        /// The object.
        object: ObjectRef,
        /// Health before the run.
        before: Health,
        /// Health now.
        now: Health,
    },
    /// Every alert of the incident has resolved, or one fires again. Steps that have not started are re-evaluated.
    AlertChanged {
        /// The new status.
        status: AlertStatus,
        /// When the event was decided.
        at: Timestamp,
    },
    /// A step succeeded: its post-conditions are true.
    StepSucceeded {
        /// The step.
        step: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An attempt failed and is retried.
    RetryScheduled {
        /// The step.
        step: String,
        /// Class of the failure.
        on: RetryOn,
        /// Error of the attempt.
        message: String,
        /// When the next attempt starts.
        retry_at: Timestamp,
    },
    /// A step failed and is not retried.
    StepFailed {
        /// The step.
        step: String,
        /// Error of the attempt.
        message: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An operator paused the run.
    Paused {
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An operator resumed the run.
    Resumed {
        /// Who requested it.
        actor: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An emergency stop was applied to the run.
    StopApplied {
        /// Level of the stop.
        level: StopLevel,
        /// Who set the stop.
        actor: String,
        /// Justification given by the actor.
        reason: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// The last emergency stop that applied to the run was cleared.
    StopCleared {
        /// Who cleared the stop.
        actor: String,
        /// Justification given by the actor.
        reason: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An operator cancelled the run: applied changes are rolled back, then the run ends.
    CancelRequested {
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
    },
    /// The run ends as soon as no change is in flight. Nothing is rolled back.
    AbortStarted {
        /// Explanation in one sentence.
        message: String,
    },
    /// Rollback started: applied steps are compensated in reverse order.
    RollbackStarted {
        /// Explanation in one sentence.
        message: String,
        /// Status of the run once the rollback is complete.
        final_status: RunStatus,
    },
    /// An attempt to compensate a step started.
    CompensationStarted {
        /// The step.
        step: String,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An attempt to compensate a step failed and is retried.
    CompensationRetryScheduled {
        /// The step.
        step: String,
        /// Error of the attempt.
        message: String,
        /// When the next attempt starts.
        retry_at: Timestamp,
    },
    /// A step was compensated, or needed no compensation.
    StepCompensated {
        /// The step.
        step: String,
        /// What was done: `reverted`, `nothing to undo`, `changed concurrently: not reverted`.
        message: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// A step could not be compensated.
    CompensationFailed {
        /// The step.
        step: String,
        /// What could not be reverted: object, field, our value, current value.
        remaining: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// It is unknown whether a change was applied. An operator must check.
    HumanInterventionRequired {
        /// The step.
        step: String,
        /// Explanation in one sentence.
        message: String,
    },
    /// The run ended.
    Ended {
        /// Final status.
        status: RunStatus,
        /// Explanation in one sentence.
        message: String,
        /// Whether the engine should make a new decision for the incident.
        requests_replan: bool,
        /// When the event was decided.
        at: Timestamp,
    },
}

/// List of conditions of a step or workflow.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// `when`: whether the step runs.
    When,
    /// Preconditions: must be true before the action.
    Pre,
    /// Post-conditions: must become true after the action.
    Post,
    /// Success conditions of the workflow: must be true at the end of the run.
    Success,
}

/// Whether a change was applied.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Applied {
    /// The change was applied.
    Yes,
    /// The change was not applied.
    No,
    /// Unknown, to be resolved by reading the object.
    Unknown,
}

/// A recorded change that concerns more than one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum FleetEvent {
    /// A run locked an object. No other run changes it.
    Locked {
        /// The object.
        object: ObjectRef,
        /// The run.
        run: RunId,
    },
    /// A run released the lock on an object.
    Unlocked {
        /// The object.
        object: ObjectRef,
        /// The run that had locked it.
        run: RunId,
    },
    /// A change was counted against the rate limit of a scope.
    RateLimitReserved {
        /// `global`, or the key of a target.
        scope: String,
        /// The object that is changed.
        object: ObjectRef,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An emergency stop was set.
    Stopped {
        /// Scope of the stop.
        scope: StopScope,
        /// Level of the stop.
        level: StopLevel,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An emergency stop was cleared.
    StopCleared {
        /// Scope of the stop.
        scope: StopScope,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
        /// When the event was decided.
        at: Timestamp,
    },
}

impl FleetEvent {
    /// Returns the stream of the event (design D1).
    pub fn stream(&self) -> String {
        match self {
            Self::Locked { object, .. } | Self::Unlocked { object, .. } => lock_stream(object),
            Self::RateLimitReserved { scope, .. } => format!("budget/{scope}"),
            Self::Stopped { .. } | Self::StopCleared { .. } => "stop".into(),
        }
    }
}

/// Returns the stream of the lock on an object.
pub fn lock_stream(object: &ObjectRef) -> String {
    let path =
        format!("{}/{}/{}", object.kind, object.namespace.as_deref().unwrap_or(""), object.name);
    format!("lock/{}/{}", object.cluster, object.uid.as_deref().unwrap_or(&path))
}
