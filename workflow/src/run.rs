//! A run: its inputs, its events, its effects, and the one view that is folded from the events.

mod event;
mod view;

use cluster::{Digest, Health, ObjectRef, Reply, Request};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::AlertStatus;
use crate::condition::Condition;
use crate::expression::Verdict;
use crate::id::{EffectId, RunId};
use crate::plan::Plan;

pub use event::{Applied, Event, FleetEvent, Phase};
pub use view::{EffectView, RunStatus, RunView, StepStatus, StepView};

/// What can come into a run, or into the fleet of them.
#[derive(Clone, Debug, PartialEq)]
pub enum RunInput {
    /// A plan is to run.
    Submit {
        /// Id of the run to be.
        run: RunId,
        /// The plan, approved where it needed to be.
        plan: Box<Plan>,
        /// Objects whose health must not fall below where it stands now: the targets' workloads and their neighbours.
        guarded: Vec<ObjectRef>,
        /// Who or what asked for it.
        by: String,
    },
    /// A person controls a run.
    Control {
        /// The run.
        run: RunId,
        /// What they want.
        control: Control,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Emergency stop.
    Stop {
        /// Where.
        scope: StopScope,
        /// How hard.
        level: StopLevel,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The stop is lifted.
    Resume {
        /// Where.
        scope: StopScope,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Objects were read for a run.
    Observed {
        /// The run.
        run: RunId,
        /// The effect that asked.
        effect: EffectId,
        /// One reply per read, in order.
        replies: Vec<Reply>,
    },
    /// A change was answered.
    Answered {
        /// The run.
        run: RunId,
        /// The effect that asked.
        effect: EffectId,
        /// The answer.
        reply: Reply,
    },
    /// A condition was judged.
    Judged {
        /// The run.
        run: RunId,
        /// The effect that asked.
        effect: EffectId,
        /// The verdict.
        verdict: Verdict,
        /// Digest of what was read.
        read: Digest,
    },
    /// Health was measured.
    Measured {
        /// The run.
        run: RunId,
        /// The effect that asked.
        effect: EffectId,
        /// Health, in the order asked; absent where it could not be read.
        health: Vec<(ObjectRef, Option<Health>)>,
    },
    /// No alert of the run's incident fires any more, or one does again.
    Alert {
        /// The run.
        run: RunId,
        /// What holds from now on.
        status: AlertStatus,
    },
    /// Time has passed: deadlines that lie before now are due.
    Due,
}

/// What a person can want of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "control")]
pub enum Control {
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
    /// End it, undoing what was applied.
    Cancel,
    /// Say yes to a step.
    ApproveStep {
        /// The step.
        step: String,
    },
    /// Say no to a step.
    RejectStep {
        /// The step.
        step: String,
    },
}

/// Where an emergency stop holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "scope")]
pub enum StopScope {
    /// Everywhere.
    Global,
    /// In one run.
    Run {
        /// The run.
        run: RunId,
    },
}

/// How hard an emergency stop is (`execution-semantics` 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StopLevel {
    /// Finish the current request, verify, hold.
    L1,
    /// No new intents from now on; requests on the wire end or become unknown.
    L2,
}

/// Something that a driver must do. Performing one twice is safe by construction: reads are reads, and a change
/// carries its key and preconditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "effect")]
pub enum Effect {
    /// Read objects, as stored now.
    Read {
        /// Its id.
        id: EffectId,
        /// For which run.
        run: RunId,
        /// What to read, in order.
        queries: Vec<ObjectQuery>,
    },
    /// Send one change, once.
    Send {
        /// Its id.
        id: EffectId,
        /// For which run.
        run: RunId,
        /// The change.
        request: Request,
    },
    /// Read what a condition names and judge it.
    Judge {
        /// Its id.
        id: EffectId,
        /// For which run.
        run: RunId,
        /// The condition, every hole filled.
        condition: Condition,
        /// Values of `params`, `steps` and `incident` for the check.
        bindings: crate::expression::Bindings,
    },
    /// Measure health.
    Measure {
        /// Its id.
        id: EffectId,
        /// For which run.
        run: RunId,
        /// Of which objects.
        objects: Vec<ObjectRef>,
        /// The moment at which their health is judged: that at which the effect was handed out.
        at: Timestamp,
    },
}

impl Effect {
    /// Its id.
    pub fn id(&self) -> &EffectId {
        match self {
            Self::Read { id, .. }
            | Self::Send { id, .. }
            | Self::Judge { id, .. }
            | Self::Measure { id, .. } => id,
        }
    }

    /// The run that asked for it.
    pub fn run(&self) -> &RunId {
        match self {
            Self::Read { run, .. }
            | Self::Send { run, .. }
            | Self::Judge { run, .. }
            | Self::Measure { run, .. } => run,
        }
    }
}

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum ObjectQuery {
    /// One object.
    One(ObjectRef),
    /// A list.
    Many(cluster::ListQuery),
}

/// What a driver must do, and when it must come back at the latest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending {
    /// Effects to perform, in order. Each is handed out once; after a restart all open ones are handed out again.
    pub effects: Vec<Effect>,
    /// When the next deadline is due.
    pub deadline: Option<Timestamp>,
}
