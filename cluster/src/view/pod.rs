use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Container, ObjectCondition, containers, count, items, text};
use crate::Object;

/// A view of a Pod.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    object: &'a Object,
}

/// The lifecycle phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodPhase {
    /// Accepted by the cluster, but not all containers have started.
    Pending,
    /// Bound to a node, and at least one container has started.
    Running,
    /// All containers terminated successfully.
    Succeeded,
    /// All containers terminated, at least one with an error.
    Failed,
    /// The state is unknown because the node does not report.
    Unknown,
}

/// A view of the status of one container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContainerStatus<'a> {
    value: &'a Value,
}

/// The current or last state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState<'a> {
    /// The container has not started, or has not restarted yet.
    Waiting {
        /// Machine-readable reason: `CrashLoopBackOff`, `ImagePullBackOff`.
        reason: &'a str,
        /// Human-readable details.
        message: &'a str,
    },
    /// The container is running.
    Running {
        /// Time of the start.
        started_at: Option<Timestamp>,
    },
    /// The container terminated.
    Terminated {
        /// Machine-readable reason: `OOMKilled`, `Error`, `Completed`.
        reason: &'a str,
        /// Termination message.
        message: &'a str,
        /// Exit code of the process.
        exit_code: i64,
        /// Time of the termination.
        finished_at: Option<Timestamp>,
    },
}

impl<'a> Pod<'a> {
    /// Returns a view of `object` if it is a Pod.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "Pod").then_some(Self { object })
    }

    /// Returns the underlying object.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// Returns the lifecycle phase.
    pub fn phase(&self) -> PodPhase {
        match self.object.at("/status/phase").and_then(Value::as_str) {
            None | Some("Pending") => PodPhase::Pending,
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some(_) => PodPhase::Unknown,
        }
    }

    /// Returns whether the pod succeeded or failed; its containers do not run again.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase(), PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Returns whether the deletion of the pod was requested.
    pub fn is_terminating(&self) -> bool {
        self.object.metadata().deletion_timestamp.is_some()
    }

    /// Returns whether the pod accepts traffic (condition `Ready`).
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status == Some(true))
    }

    /// Returns the node of the pod; `None` until it is scheduled.
    pub fn node(&self) -> Option<&'a str> {
        self.object.at("/spec/nodeName").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// Returns the IP address; `None` until it is assigned.
    pub fn ip(&self) -> Option<&'a str> {
        self.object.at("/status/podIP").and_then(Value::as_str).filter(|ip| !ip.is_empty())
    }

    /// Returns the containers of the spec.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        containers(self.object)
    }

    /// Returns the statuses of the containers.
    pub fn container_statuses(&self) -> impl Iterator<Item = ContainerStatus<'a>> + use<'a> {
        items(self.object.field("status"), "containerStatuses")
            .map(|value| ContainerStatus { value })
    }

    /// Returns the statuses of the init containers.
    pub fn init_container_statuses(&self) -> impl Iterator<Item = ContainerStatus<'a>> + use<'a> {
        items(self.object.field("status"), "initContainerStatuses")
            .map(|value| ContainerStatus { value })
    }

    /// Returns the total restart count of the containers.
    pub fn restarts(&self) -> u32 {
        self.container_statuses().map(|status| status.restarts()).fold(0, u32::saturating_add)
    }

    /// Returns a condition of the status: `Ready`, `PodScheduled`, `ContainersReady`, `Initialized`.
    pub fn condition(&self, kind: &str) -> Option<ObjectCondition<'a>> {
        ObjectCondition::of(self.object, kind)
    }

    /// Returns the machine-readable reason of a failure or eviction; empty otherwise.
    pub fn reason(&self) -> &'a str {
        self.object.at("/status/reason").and_then(Value::as_str).unwrap_or_default()
    }
}

impl<'a> ContainerStatus<'a> {
    /// Returns the name of the container.
    pub fn name(&self) -> &'a str {
        text(self.value, "name")
    }

    /// Returns the running image.
    pub fn image(&self) -> &'a str {
        text(self.value, "image")
    }

    /// Returns whether the container is ready.
    pub fn is_ready(&self) -> bool {
        self.value.get("ready").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Returns the restart count.
    pub fn restarts(&self) -> u32 {
        count(Some(self.value), "restartCount", 0)
    }

    /// Returns the current state.
    pub fn state(&self) -> Option<ContainerState<'a>> {
        self.value.get("state").and_then(state)
    }

    /// Returns the state of the previous, terminated instance.
    pub fn last_state(&self) -> Option<ContainerState<'a>> {
        self.value.get("lastState").and_then(state)
    }

    /// Returns the reason of the waiting state; `None` if the container is not waiting.
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
    let terminated = value.get("terminated")?;
    Some(ContainerState::Terminated {
        reason: text(terminated, "reason"),
        message: text(terminated, "message"),
        exit_code: terminated.get("exitCode").and_then(Value::as_i64).unwrap_or(0),
        finished_at: time(terminated, "finishedAt"),
    })
}
