//! Runs: inputs, recorded events, effects, and the view folded from the events.

mod event;
mod status;
mod view;

use cluster::{Digest, Health, ObjectRef, ReadReply, Request, WriteReply};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::AlertStatus;
use crate::condition::Condition;
use crate::expression::Truth;
use crate::id::{EffectId, RunId};
use crate::plan::Plan;

pub use cluster::ObjectQuery;
pub use event::{Applied, Event, FleetEvent, Phase, lock_stream};
pub use status::{RunStatus, StepStatus};
pub use view::{EffectView, RunView, StepView};

/// Input of the executor.
#[derive(Clone, Debug, PartialEq)]
pub enum RunInput {
    /// Start a run of a plan.
    Submit {
        /// Id of the new run.
        run: RunId,
        /// The plan, approved if approval was required.
        plan: Box<Plan>,
        /// Objects whose health must not drop below its current level: the workloads of the targets and their neighbours.
        guarded: Vec<ObjectRef>,
        /// The operator or component that requested the run.
        actor: String,
    },
    /// An operator controls a run.
    Control {
        /// The run.
        run: RunId,
        /// The requested control.
        control: Control,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
    },
    /// Set an emergency stop.
    Stop {
        /// Scope of the stop.
        scope: StopScope,
        /// Level of the stop.
        level: StopLevel,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
    },
    /// Clear an emergency stop.
    ClearStop {
        /// Scope of the stop.
        scope: StopScope,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
    },
    /// Objects were read for a run.
    Observed {
        /// The run.
        run: RunId,
        /// The effect that requested it.
        effect: EffectId,
        /// One reply per query, in order.
        replies: Vec<ReadReply>,
    },
    /// A change was answered.
    ChangeAnswered {
        /// The run.
        run: RunId,
        /// The effect that requested it.
        effect: EffectId,
        /// The reply of the cluster.
        reply: WriteReply,
    },
    /// A condition was evaluated.
    ConditionEvaluated {
        /// The run.
        run: RunId,
        /// The effect that requested it.
        effect: EffectId,
        /// Result of the evaluation.
        result: Truth,
        /// Digest of the objects that were read.
        read_digest: Digest,
    },
    /// Health was measured.
    HealthMeasured {
        /// The run.
        run: RunId,
        /// The effect that requested it.
        effect: EffectId,
        /// Health in the order of the request. Absent for an object that could not be read.
        health: Vec<(ObjectRef, Option<Health>)>,
    },
    /// Every alert of the run's incident has resolved, or one fires again.
    AlertChanged {
        /// The run.
        run: RunId,
        /// The new status.
        status: AlertStatus,
    },
    /// Deadlines may have passed.
    Due,
}

/// A request of an operator to control a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "control")]
pub enum Control {
    /// Start nothing new until the run is resumed.
    Pause,
    /// Continue a paused run.
    Resume,
    /// Roll back applied changes, then end the run.
    Cancel,
    /// Approve a step.
    ApproveStep {
        /// The step.
        step: String,
    },
    /// Reject a step.
    RejectStep {
        /// The step.
        step: String,
    },
}

/// Scope of an emergency stop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "scope")]
pub enum StopScope {
    /// All runs.
    Global,
    /// One run.
    Run {
        /// The run.
        run: RunId,
    },
}

/// Level of an emergency stop (`execution-semantics` 8).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum StopLevel {
    /// Finish and verify the current request, then start nothing new.
    L1,
    /// Record no new intents. Requests in flight are answered or their result becomes unknown.
    L2,
}

/// A side effect that a driver must perform. Performing an effect twice is safe: a read changes nothing, and a change
/// carries its key and preconditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "effect")]
pub enum Effect {
    /// Read the current state of objects.
    Read {
        /// Id of the effect.
        id: EffectId,
        /// The run that requested it.
        run: RunId,
        /// The queries, in order.
        queries: Vec<ObjectQuery>,
    },
    /// Send one change exactly one time.
    Send {
        /// Id of the effect.
        id: EffectId,
        /// The run that requested it.
        run: RunId,
        /// The request.
        request: Request,
    },
    /// Read the objects named by a condition and evaluate it.
    Evaluate {
        /// Id of the effect.
        id: EffectId,
        /// The run that requested it.
        run: RunId,
        /// The condition, all placeholders filled.
        condition: Condition,
        /// Values of `params`, `steps` and `incident` for the evaluation.
        bindings: crate::expression::Variables,
    },
    /// Measure health.
    Measure {
        /// Id of the effect.
        id: EffectId,
        /// The run that requested it.
        run: RunId,
        /// The objects.
        objects: Vec<ObjectRef>,
        /// Time for which health is computed: when the effect was issued.
        at: Timestamp,
    },
}

impl Effect {
    /// Returns the id of the effect.
    pub fn id(&self) -> &EffectId {
        match self {
            Self::Read { id, .. }
            | Self::Send { id, .. }
            | Self::Evaluate { id, .. }
            | Self::Measure { id, .. } => id,
        }
    }

    /// Returns the run that requested the effect.
    pub fn run(&self) -> &RunId {
        match self {
            Self::Read { run, .. }
            | Self::Send { run, .. }
            | Self::Evaluate { run, .. }
            | Self::Measure { run, .. } => run,
        }
    }
}

/// The effects that a driver must perform, and the next deadline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending {
    /// Effects to perform, in order. Each is issued once; after a restart every open effect is issued again.
    pub effects: Vec<Effect>,
    /// Latest time at which the driver must send [`RunInput::Due`].
    pub deadline: Option<Timestamp>,
}
