use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::view::selector;
use crate::{
    ContainerState, ContainerStatus, EndpointSlice, Object, ObjectCondition, Pod, PodPhase, Service,
};

/// Health of an object, ordered from worst to best.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum HealthLevel {
    /// The object does not exist.
    Missing,
    /// The object serves no traffic.
    Failing,
    /// The object serves traffic, but deviates from its desired state.
    Degraded,
    /// The object serves traffic in its desired state.
    Healthy,
}

/// Health of an object with the supporting findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Overall level.
    pub level: HealthLevel,
    /// Number of ready replicas (of a Service: endpoints); may exceed `desired` while replicas terminate.
    pub ready: u32,
    /// Number of desired replicas (of a Service: all endpoints).
    pub desired: u32,
    /// Findings for display, most severe first; empty if healthy.
    pub message: String,
}

/// Time after an OOM kill during which the pod counts as degraded.
const OOM_LOOKBACK: SignedDuration = SignedDuration::from_mins(10);

/// Time that a restarted container has to run after a crash before it counts as stable.
const STABLE_AFTER: SignedDuration = SignedDuration::from_mins(1);

impl Health {
    /// Returns the health of an object that does not exist.
    pub fn missing() -> Self {
        Self {
            level: HealthLevel::Missing,
            ready: 0,
            desired: 0,
            message: "the object does not exist".into(),
        }
    }

    /// Returns whether the level is [`HealthLevel::Healthy`].
    pub fn is_healthy(&self) -> bool {
        self.level == HealthLevel::Healthy
    }

    /// Returns whether this is worse than `other`: a lower level, or the same level with a lower share of ready replicas.
    ///
    /// The share is at most 1. Fewer desired replicas are not worse: 2 of 2 equals 3 of 3.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        // a/b < c/d computed as a·d < c·b, which avoids the division and is false if either side desires 0 replicas.
        let ready = |health: &Self| u64::from(health.ready.min(health.desired));
        self.level < other.level
            || self.level == other.level
                && ready(self) * u64::from(other.desired) < ready(other) * u64::from(self.desired)
    }
}

/// Formats as `degraded, 1 of 3 ready: …`.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            HealthLevel::Missing => "missing",
            HealthLevel::Failing => "failing",
            HealthLevel::Degraded => "degraded",
            HealthLevel::Healthy => "healthy",
        };
        write!(f, "{level}, {} of {} ready", self.ready, self.desired)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// Computes the health of `object` at the time `now`.
///
/// `related` contains the pods of a workload (owned directly, or through its ReplicaSets), or the EndpointSlices of a
/// Service. Unrelated objects are ignored: pods of other namespaces or with labels that the workload does not select, and
/// slices of other Services. If `related` is empty, a workload is assessed by its own status only.
///
/// *Deployment, StatefulSet, ReplicaSet, DaemonSet.* `desired` is `spec.replicas` (default 1; for a DaemonSet: the number
/// of nodes that it should run on), `ready` is `status.readyReplicas`.
/// - **Failing** if `desired` is 0 (`scaled to zero`: a workload without replicas serves no traffic) or `ready` is 0.
/// - **Degraded** if any of these conditions is true:
///   - fewer replicas are ready than desired;
///   - its controller has not observed the latest spec (`observedGeneration` < `generation`);
///   - the rollout of the latest template is incomplete: fewer replicas updated than desired, or replicas of an older
///     template remain (not checked for `OnDelete` or partitioned updates, nor for a ReplicaSet, which has one template);
///   - the condition `Progressing` is false (`ProgressDeadlineExceeded`), or `ReplicaFailure` is true;
///   - it is being deleted;
///   - one of its pods has a problem (see below). Finished and terminating pods are ignored.
/// - **Healthy** otherwise.
///
/// *Pod.* `desired` is 1. **Failing** if it is not ready or failed, **Degraded** if it is ready but has a problem or is
/// being deleted, **Healthy** otherwise, including a succeeded pod.
/// A pod has a problem if it is not scheduled; if a container waits for any other reason than its creation
/// (`CrashLoopBackOff`, `ImagePullBackOff`, `CreateContainerConfigError`, …) or terminated with an error; if a container
/// was OOM-killed in the last 10 minutes; if a container restarted after a crash less than a minute ago; or if it is not
/// ready.
///
/// *Service.* `ready` is the number of ready endpoints in slices with a port, `desired` is the number of all endpoints.
/// **Healthy** with at least one ready endpoint, or if its type is `ExternalName`; otherwise **Failing**.
///
/// Every other existing object is **Healthy**, with 0 of 0 ready.
pub fn health(object: &Object, related: &[Object], now: Timestamp) -> Health {
    match object.kind().kind.as_str() {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => workload(object, related, now),
        "Pod" => pod(object, now),
        "Service" => service(object, related),
        _ => Health { level: HealthLevel::Healthy, ready: 0, desired: 0, message: String::new() },
    }
}

/// Replica counts of a workload.
struct ReplicaCounts {
    desired: u32,
    ready: u32,
    current: u32,
    /// `None` if the kind does not report it, or if the update is not automatic (`OnDelete`, partitioned).
    updated: Option<u32>,
}

fn replica_counts(object: &Object) -> ReplicaCounts {
    let number = |pointer: &str, default: u64| {
        let number = object.at(pointer).and_then(Value::as_u64).unwrap_or(default);
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let is_manual_update = object.at("/spec/updateStrategy/type").and_then(Value::as_str)
        == Some("OnDelete")
        || number("/spec/updateStrategy/rollingUpdate/partition", 0) > 0;
    let kind = object.kind().kind.as_str();
    if kind == "DaemonSet" {
        return ReplicaCounts {
            desired: number("/status/desiredNumberScheduled", 0),
            ready: number("/status/numberReady", 0),
            current: number("/status/currentNumberScheduled", 0),
            updated: (!is_manual_update).then(|| number("/status/updatedNumberScheduled", 0)),
        };
    }
    let reports_updated = match kind {
        "Deployment" => true,
        // `updatedReplicas` is meaningful only during an update, while the two revisions differ.
        "StatefulSet" => {
            !is_manual_update
                && object.at("/status/currentRevision") != object.at("/status/updateRevision")
        }
        _ => false,
    };
    ReplicaCounts {
        desired: number("/spec/replicas", 1),
        ready: number("/status/readyReplicas", 0),
        current: number("/status/replicas", 0),
        updated: reports_updated.then(|| number("/status/updatedReplicas", 0)),
    }
}

fn workload(object: &Object, pods: &[Object], now: Timestamp) -> Health {
    let ReplicaCounts { desired, ready, current, updated } = replica_counts(object);
    if desired == 0 {
        let reason =
            if object.kind().kind == "DaemonSet" { "no node to run on" } else { "scaled to zero" };
        return Health { level: HealthLevel::Failing, ready, desired, message: reason.into() };
    }
    let mut findings = Vec::new();
    if object.metadata().deletion_timestamp.is_some() {
        findings.push("it is being deleted".to_string());
    }
    findings.extend(worst_pod(object, pods, now));
    for (kind, bad) in [("Progressing", false), ("ReplicaFailure", true)] {
        if let Some(condition) =
            ObjectCondition::of(object, kind).filter(|condition| condition.status == Some(bad))
        {
            findings.push(format!("{}: {}", condition.reason, condition.message));
        }
    }
    let observed = object.at("/status/observedGeneration").and_then(Value::as_i64).unwrap_or(0);
    if observed < object.metadata().generation {
        findings.push("its controller has not observed the latest spec".into());
    }
    if let Some(updated) = updated {
        if updated < desired {
            findings.push(format!(
                "{updated} of {desired} replicas are updated to the latest template"
            ));
        } else if current > updated {
            findings.push(format!("{} replicas of older templates remain", current - updated));
        }
    }
    if ready < desired {
        findings.push(format!("{ready} of {desired} replicas are ready"));
    }
    let level = match (ready, findings.is_empty()) {
        (0, _) => HealthLevel::Failing,
        (_, false) => HealthLevel::Degraded,
        (_, true) => HealthLevel::Healthy,
    };
    Health { level, ready, desired, message: findings.join("; ") }
}

/// Describes the most severe problem of the workload's pods; of equally severe ones the first by pod name.
fn worst_pod(workload: &Object, pods: &[Object], now: Timestamp) -> Option<String> {
    let selector = selector(workload);
    let is_selected = |pod: &Object| {
        pod.namespace() == workload.namespace() && selector.matches(&pod.metadata().labels)
    };
    let is_active = |pod: &Pod<'_>| !pod.is_terminating() && !pod.is_finished();
    pods.iter()
        .filter(|pod| is_selected(pod))
        .filter_map(Pod::of)
        .filter(is_active)
        .filter_map(|pod| pod_problem(pod, now).map(|problem| (problem, pod.object().name())))
        .min()
        .map(|(problem, name)| format!("pod {name}: {}", problem.message))
}

/// A problem of a pod. The field order defines the sort order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PodProblem {
    /// 0 is the most severe.
    severity: u8,
    message: String,
}

impl PodProblem {
    fn new(severity: u8, message: impl Into<String>) -> Self {
        Self { severity, message: message.into() }
    }
}

fn pod_problem(pod: Pod<'_>, now: Timestamp) -> Option<PodProblem> {
    let of_containers = pod
        .init_container_statuses()
        .chain(pod.container_statuses())
        .filter_map(|status| container_problem(status, now));
    let of_pod = [
        pod.condition("PodScheduled")
            .filter(|condition| condition.status == Some(false))
            .map(|condition| PodProblem::new(0, format!("not scheduled, {}", condition.message))),
        (!pod.is_ready()).then(|| PodProblem::new(9, "not ready")),
    ];
    of_containers.chain(of_pod.into_iter().flatten()).min()
}

fn container_problem(status: ContainerStatus<'_>, now: Timestamp) -> Option<PodProblem> {
    let name = status.name();
    let found = match status.state() {
        Some(ContainerState::Waiting {
            reason: "" | "ContainerCreating" | "PodInitializing",
            ..
        })
        | None => None,
        Some(ContainerState::Waiting { reason, .. }) => {
            Some(PodProblem::new(1, format!("container {name} is waiting: {reason}")))
        }
        Some(ContainerState::Terminated { reason, exit_code, .. }) if exit_code != 0 => Some(
            PodProblem::new(2, format!("container {name} exited with code {exit_code} ({reason})")),
        ),
        Some(ContainerState::Running { started_at: Some(start) })
            if now.duration_since(start) < STABLE_AFTER && has_crashed(status) =>
        {
            Some(PodProblem::new(
                4,
                format!("container {name} restarted less than a minute ago after a crash"),
            ))
        }
        Some(ContainerState::Terminated { .. } | ContainerState::Running { .. }) => None,
    };
    let was_killed = match status.last_state() {
        Some(ContainerState::Terminated {
            reason: "OOMKilled", finished_at: Some(end), ..
        }) => now.duration_since(end) < OOM_LOOKBACK,
        Some(
            ContainerState::Terminated { .. }
            | ContainerState::Running { .. }
            | ContainerState::Waiting { .. },
        )
        | None => false,
    };
    let killed = was_killed.then(|| PodProblem::new(3, format!("container {name} was OOM-killed")));
    found.into_iter().chain(killed).min()
}

fn has_crashed(status: ContainerStatus<'_>) -> bool {
    matches!(status.last_state(), Some(ContainerState::Terminated { exit_code, .. }) if exit_code != 0)
}

fn pod(object: &Object, now: Timestamp) -> Health {
    let Some(pod) = Pod::of(object) else { return Health::missing() };
    let health = |level, ready, message: String| Health { level, ready, desired: 1, message };
    match pod.phase() {
        PodPhase::Succeeded => return health(HealthLevel::Healthy, 1, String::new()),
        PodPhase::Failed => {
            return health(HealthLevel::Failing, 0, format!("the pod failed: {}", pod.reason()));
        }
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => {}
    }
    let deleted = pod.is_terminating().then(|| "it is being deleted".to_string());
    let problem = pod_problem(pod, now).map(|problem| problem.message);
    let findings: Vec<String> = deleted.into_iter().chain(problem).collect();
    let level = match (pod.is_ready(), findings.is_empty()) {
        (false, _) => HealthLevel::Failing,
        (true, false) => HealthLevel::Degraded,
        (true, true) => HealthLevel::Healthy,
    };
    health(level, u32::from(pod.is_ready()), findings.join("; "))
}

fn service(object: &Object, slices: &[Object]) -> Health {
    let is_external =
        Service::of(object).is_some_and(|service| service.service_type() == "ExternalName");
    let is_own = |slice: &EndpointSlice<'_>| {
        slice.object().namespace() == object.namespace() && slice.service() == Some(object.name())
    };
    let (mut ready, mut all) = (0, 0);
    for slice in slices.iter().filter_map(EndpointSlice::of).filter(is_own) {
        let has_port = slice.ports().next().is_some();
        for endpoint in slice.endpoints() {
            all += 1;
            ready += u32::from(has_port && endpoint.is_ready());
        }
    }
    let (level, reason) = match (ready, all) {
        _ if is_external => (HealthLevel::Healthy, String::new()),
        (0, 0) => (HealthLevel::Failing, "the Service has no endpoints".into()),
        (0, _) => (HealthLevel::Failing, format!("none of its {all} endpoints is ready on a port")),
        (_, _) => (HealthLevel::Healthy, String::new()),
    };
    Health { level, ready, desired: all, message: reason }
}

#[cfg(test)]
mod tests;
