use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Condition, Container, containers, count, items, text};
use crate::Object;

/// Reads a Pod.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    object: &'a Object,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodPhase {
    /// Accepted, not all containers have started.
    Pending,
    /// On a node, at least one container started.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// What the node says of one container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContainerStatus<'a> {
    value: &'a Value,
}

/// What a container is doing, or what it did last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState<'a> {
    /// Not started yet, or not again.
    Waiting {
        /// Why, in one word: `CrashLoopBackOff`, `ImagePullBackOff`.
        reason: &'a str,
        /// Why, for people.
        message: &'a str,
    },
    /// Running.
    Running {
        /// Since when.
        started_at: Option<Timestamp>,
    },
    /// Ended.
    Terminated {
        /// Why, in one word: `OOMKilled`, `Error`, `Completed`.
        reason: &'a str,
        /// What it said last.
        message: &'a str,
        /// Exit code.
        exit_code: i64,
        /// When.
        finished_at: Option<Timestamp>,
    },
}

impl<'a> Pod<'a> {
    /// Views `object`, if it is a Pod.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "Pod").then_some(Self { object })
    }

    /// The object itself.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// Where it is in its life.
    pub fn phase(&self) -> PodPhase {
        match self.object.at("/status/phase").and_then(Value::as_str) {
            None | Some("Pending") => PodPhase::Pending,
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some(_) => PodPhase::Unknown,
        }
    }

    /// Whether it has ended, well or badly: it runs nothing any more, and never will.
    pub fn is_over(&self) -> bool {
        matches!(self.phase(), PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Whether its deletion was asked for.
    pub fn is_terminating(&self) -> bool {
        self.object.metadata().deletion_timestamp.is_some()
    }

    /// Whether it takes traffic: its condition `Ready` holds.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.holds == Some(true))
    }

    /// The node that it runs on; absent until it is scheduled.
    pub fn node(&self) -> Option<&'a str> {
        self.object.at("/spec/nodeName").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// Its address; absent until it has one.
    pub fn ip(&self) -> Option<&'a str> {
        self.object.at("/status/podIP").and_then(Value::as_str).filter(|ip| !ip.is_empty())
    }

    /// Its containers, as asked for.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        containers(self.object)
    }

    /// What the node says of its containers.
    pub fn statuses(&self) -> impl Iterator<Item = ContainerStatus<'a>> + use<'a> {
        items(self.object.field("status"), "containerStatuses")
            .map(|value| ContainerStatus { value })
    }

    /// What the node says of its init containers.
    pub fn init_statuses(&self) -> impl Iterator<Item = ContainerStatus<'a>> + use<'a> {
        items(self.object.field("status"), "initContainerStatuses")
            .map(|value| ContainerStatus { value })
    }

    /// How often its containers were started again, together.
    pub fn restarts(&self) -> u32 {
        self.statuses().map(|status| status.restarts()).fold(0, u32::saturating_add)
    }

    /// A condition of its status: `Ready`, `PodScheduled`, `ContainersReady`, `Initialized`.
    pub fn condition(&self, kind: &str) -> Option<Condition<'a>> {
        Condition::of(self.object, kind)
    }

    /// Why it failed or was evicted, in one word; empty if it did not.
    pub fn reason(&self) -> &'a str {
        self.object.at("/status/reason").and_then(Value::as_str).unwrap_or_default()
    }
}

impl<'a> ContainerStatus<'a> {
    /// Name of the container.
    pub fn name(&self) -> &'a str {
        text(self.value, "name")
    }

    /// The image that runs.
    pub fn image(&self) -> &'a str {
        text(self.value, "image")
    }

    /// Whether it takes traffic.
    pub fn is_ready(&self) -> bool {
        self.value.get("ready").and_then(Value::as_bool).unwrap_or(false)
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u32 {
        count(Some(self.value), "restartCount", 0)
    }

    /// What it is doing.
    pub fn state(&self) -> Option<ContainerState<'a>> {
        self.value.get("state").and_then(state)
    }

    /// How its life before this one ended.
    pub fn last_state(&self) -> Option<ContainerState<'a>> {
        self.value.get("lastState").and_then(state)
    }

    /// Why it waits, in one word, if it does.
    pub fn waiting_reason(&self) -> Option<&'a str> {
        match self.state()? {
            ContainerState::Waiting { reason, .. } => Some(reason),
            ContainerState::Running { .. } | ContainerState::Terminated { .. } => None,
        }
    }
}

fn state(value: &Value) -> Option<ContainerState<'_>> {
    let time = |value: &Value, field| text(value, field).parse::<Timestamp>().ok();
    if let Some(waiting) = value.get("waiting") {
        return Some(ContainerState::Waiting {
            reason: text(waiting, "reason"),
            message: text(waiting, "message"),
        });
    }
    if let Some(running) = value.get("running") {
        return Some(ContainerState::Running { started_at: time(running, "startedAt") });
    }
    let ended = value.get("terminated")?;
    Some(ContainerState::Terminated {
        reason: text(ended, "reason"),
        message: text(ended, "message"),
        exit_code: ended.get("exitCode").and_then(Value::as_i64).unwrap_or(0),
        finished_at: time(ended, "finishedAt"),
    })
}
