use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::view::selector;
use crate::{
    Condition, ContainerState, ContainerStatus, EndpointSlice, Object, Pod, PodPhase, Service,
};

/// How well an object does what it is there for; worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthLevel {
    /// There is no such object.
    Missing,
    /// It serves nothing.
    Failing,
    /// It serves, but not as asked.
    Degraded,
    /// It serves as asked.
    Healthy,
}

/// How well an object does what it is there for, and why we say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// In one word.
    pub level: HealthLevel,
    /// How many of its replicas (a Service: endpoints) are ready; may exceed `desired` while replicas go.
    pub ready: u32,
    /// How many should be.
    pub desired: u32,
    /// The worst things seen, for people; empty if healthy.
    pub reason: String,
}

/// How long a container that was killed for want of memory is held against its pod.
const OUT_OF_MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// How long a container that crashed and started again must run before it is believed.
const PROVEN: SignedDuration = SignedDuration::from_mins(1);

impl Health {
    /// The health of an object that is not there.
    pub fn missing() -> Self {
        Self {
            level: HealthLevel::Missing,
            ready: 0,
            desired: 0,
            reason: "there is no such object".into(),
        }
    }

    /// Whether the object serves as asked.
    pub fn is_healthy(&self) -> bool {
        self.level == HealthLevel::Healthy
    }

    /// Whether this is worse than `other`: a lower level, or the same level with a lower share of ready replicas.
    ///
    /// More ready replicas than asked for count as all. Fewer asked for is not worse: 2 of 2 is not below 3 of 3.
    pub fn is_below(&self, other: &Self) -> bool {
        // a/b < c/d as a·d < c·b, which needs no division and is false where one side asked for none.
        let part = |health: &Self| u64::from(health.ready.min(health.desired));
        self.level < other.level
            || self.level == other.level
                && part(self) * u64::from(other.desired) < part(other) * u64::from(self.desired)
    }
}

/// As people write it: `degraded, 1 of 3 ready: …`.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            HealthLevel::Missing => "missing",
            HealthLevel::Failing => "failing",
            HealthLevel::Degraded => "degraded",
            HealthLevel::Healthy => "healthy",
        };
        write!(f, "{level}, {} of {} ready", self.ready, self.desired)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// Judges the health of `object` as it is `now`.
///
/// `around` holds the pods of a workload (owned directly, or through its ReplicaSets), or the EndpointSlices of a
/// Service. More may stand in it: pods of other namespaces or with labels that the workload does not select, and slices
/// of other Services, are left out. With an empty `around` a workload is judged by its own status alone.
///
/// *Deployment, StatefulSet, ReplicaSet, DaemonSet.* Desired is `spec.replicas` (1 where absent; a DaemonSet: the nodes
/// that it should run on), ready is `status.readyReplicas`.
/// - **Failing**: nothing desired (`scaled to zero`: what serves nothing is not healthy), or nothing ready.
/// - **Degraded**, if any of these is so:
///   - fewer ready than desired;
///   - its controller has not seen the last change of its spec (`observedGeneration` < `generation`);
///   - its last template does not run everywhere: fewer updated than desired, or replicas of an older one remain
///     (not for `OnDelete` or partitioned updates, nor for a ReplicaSet, which has one template only);
///   - condition `Progressing` is false (`ProgressDeadlineExceeded`), or `ReplicaFailure` is true;
///   - it is being deleted;
///   - one of its pods is in trouble (below). Pods that ended or are being deleted do not count.
/// - **Healthy** otherwise.
///
/// *Pod.* One desired. **Failing** if it is not ready or failed, **Degraded** if it is ready but in trouble or being
/// deleted, else **Healthy**; so is one that ended well.
/// A pod is in trouble if it is not scheduled; if a container waits for anything but to be created
/// (`CrashLoopBackOff`, `ImagePullBackOff`, `CreateContainerConfigError`, …) or has ended badly; if one was killed for
/// want of memory in the last 10 minutes; if one that crashed runs again for less than a minute; or if it is not ready.
///
/// *Service.* Ready are its ready endpoints in slices with a port, desired are all its endpoints. **Healthy** with one
/// or more ready, or if it is an `ExternalName`; else **Failing**.
///
/// Every other object is there, and therefore **Healthy** with none ready of none desired.
pub fn health(object: &Object, around: &[Object], now: Timestamp) -> Health {
    match object.kind().kind.as_str() {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => workload(object, around, now),
        "Pod" => pod(object, now),
        "Service" => service(object, around),
        _ => Health { level: HealthLevel::Healthy, ready: 0, desired: 0, reason: String::new() },
    }
}

/// The figures that the judgement of a workload rests on.
struct Figures {
    desired: u32,
    ready: u32,
    current: u32,
    /// None where the kind does not say, or the update is not meant to go on by itself.
    updated: Option<u32>,
}

fn figures(object: &Object) -> Figures {
    let number = |pointer: &str, absent: u64| {
        let number = object.at(pointer).and_then(Value::as_u64).unwrap_or(absent);
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let is_by_hand = object.at("/spec/updateStrategy/type").and_then(Value::as_str)
        == Some("OnDelete")
        || number("/spec/updateStrategy/rollingUpdate/partition", 0) > 0;
    let kind = object.kind().kind.as_str();
    if kind == "DaemonSet" {
        return Figures {
            desired: number("/status/desiredNumberScheduled", 0),
            ready: number("/status/numberReady", 0),
            current: number("/status/currentNumberScheduled", 0),
            updated: (!is_by_hand).then(|| number("/status/updatedNumberScheduled", 0)),
        };
    }
    let says_updated = match kind {
        "Deployment" => true,
        // Its status keeps the two revisions apart only while an update goes on.
        "StatefulSet" => {
            !is_by_hand
                && object.at("/status/currentRevision") != object.at("/status/updateRevision")
        }
        _ => false,
    };
    Figures {
        desired: number("/spec/replicas", 1),
        ready: number("/status/readyReplicas", 0),
        current: number("/status/replicas", 0),
        updated: says_updated.then(|| number("/status/updatedReplicas", 0)),
    }
}

fn workload(object: &Object, pods: &[Object], now: Timestamp) -> Health {
    let Figures { desired, ready, current, updated } = figures(object);
    if desired == 0 {
        let reason =
            if object.kind().kind == "DaemonSet" { "no node to run on" } else { "scaled to zero" };
        return Health { level: HealthLevel::Failing, ready, desired, reason: reason.into() };
    }
    let mut findings = Vec::new();
    if object.metadata().deletion_timestamp.is_some() {
        findings.push("it is being deleted".to_string());
    }
    findings.extend(worst_pod(object, pods, now));
    for (kind, bad) in [("Progressing", false), ("ReplicaFailure", true)] {
        if let Some(condition) =
            Condition::of(object, kind).filter(|condition| condition.holds == Some(bad))
        {
            findings.push(format!("{}: {}", condition.reason, condition.message));
        }
    }
    let observed = object.at("/status/observedGeneration").and_then(Value::as_i64).unwrap_or(0);
    if observed < object.metadata().generation {
        findings.push("its controller has not seen the last change of its spec".into());
    }
    if let Some(updated) = updated {
        if updated < desired {
            findings.push(format!("{updated} of {desired} replicas are of the last template"));
        } else if current > updated {
            findings.push(format!("{} replicas of an older template remain", current - updated));
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
    Health { level, ready, desired, reason: findings.join("; ") }
}

/// What is wrong with the workload's worst pod; of several equally bad ones the first by name.
fn worst_pod(workload: &Object, pods: &[Object], now: Timestamp) -> Option<String> {
    let own = selector(workload);
    let is_own = |pod: &Object| {
        pod.namespace() == workload.namespace() && own.matches(&pod.metadata().labels)
    };
    let lives = |pod: &Pod<'_>| !pod.is_terminating() && !pod.is_over();
    pods.iter()
        .filter(|pod| is_own(pod))
        .filter_map(Pod::of)
        .filter(lives)
        .filter_map(|pod| trouble(pod, now).map(|trouble| (trouble, pod.object().name())))
        .min()
        .map(|(Trouble(_, what), name)| format!("pod {name}: {what}"))
}

/// How bad (0 is worst) and what.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Trouble(u8, String);

fn trouble(pod: Pod<'_>, now: Timestamp) -> Option<Trouble> {
    let of_containers = pod
        .init_statuses()
        .chain(pod.statuses())
        .filter_map(|status| container_trouble(status, now));
    let of_pod = [
        pod.condition("PodScheduled")
            .filter(|condition| condition.holds == Some(false))
            .map(|condition| Trouble(0, format!("not scheduled, {}", condition.message))),
        (!pod.is_ready()).then(|| Trouble(9, "not ready".into())),
    ];
    of_containers.chain(of_pod.into_iter().flatten()).min()
}

fn container_trouble(status: ContainerStatus<'_>, now: Timestamp) -> Option<Trouble> {
    let name = status.name();
    let found = match status.state() {
        Some(ContainerState::Waiting {
            reason: "" | "ContainerCreating" | "PodInitializing",
            ..
        })
        | None => None,
        Some(ContainerState::Waiting { reason, .. }) => {
            Some(Trouble(1, format!("container {name} waits: {reason}")))
        }
        Some(ContainerState::Terminated { reason, exit_code, .. }) if exit_code != 0 => {
            Some(Trouble(2, format!("container {name} ended with {exit_code} ({reason})")))
        }
        Some(ContainerState::Running { started_at: Some(start) })
            if now.duration_since(start) < PROVEN && has_crashed(status) =>
        {
            Some(Trouble(4, format!("container {name} crashed and has only just started again")))
        }
        Some(ContainerState::Terminated { .. } | ContainerState::Running { .. }) => None,
    };
    let was_killed = match status.last_state() {
        Some(ContainerState::Terminated {
            reason: "OOMKilled", finished_at: Some(end), ..
        }) => now.duration_since(end) < OUT_OF_MEMORY,
        Some(
            ContainerState::Terminated { .. }
            | ContainerState::Running { .. }
            | ContainerState::Waiting { .. },
        )
        | None => false,
    };
    let killed =
        was_killed.then(|| Trouble(3, format!("container {name} was killed for want of memory")));
    found.into_iter().chain(killed).min()
}

fn has_crashed(status: ContainerStatus<'_>) -> bool {
    matches!(status.last_state(), Some(ContainerState::Terminated { exit_code, .. }) if exit_code != 0)
}

fn pod(object: &Object, now: Timestamp) -> Health {
    let Some(pod) = Pod::of(object) else { return Health::missing() };
    let judged = |level, ready, reason: String| Health { level, ready, desired: 1, reason };
    match pod.phase() {
        PodPhase::Succeeded => return judged(HealthLevel::Healthy, 1, String::new()),
        PodPhase::Failed => {
            return judged(HealthLevel::Failing, 0, format!("it failed: {}", pod.reason()));
        }
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => {}
    }
    let deleted = pod.is_terminating().then(|| "it is being deleted".to_string());
    let trouble = trouble(pod, now).map(|Trouble(_, what)| what);
    let findings: Vec<String> = deleted.into_iter().chain(trouble).collect();
    let level = match (pod.is_ready(), findings.is_empty()) {
        (false, _) => HealthLevel::Failing,
        (true, false) => HealthLevel::Degraded,
        (true, true) => HealthLevel::Healthy,
    };
    judged(level, u32::from(pod.is_ready()), findings.join("; "))
}

fn service(object: &Object, slices: &[Object]) -> Health {
    let is_external =
        Service::of(object).is_some_and(|service| service.service_type() == "ExternalName");
    let own = |slice: &EndpointSlice<'_>| {
        slice.object().namespace() == object.namespace() && slice.service() == Some(object.name())
    };
    let (mut ready, mut all) = (0, 0);
    for slice in slices.iter().filter_map(EndpointSlice::of).filter(own) {
        let has_port = slice.ports().next().is_some();
        for endpoint in slice.endpoints() {
            all += 1;
            ready += u32::from(has_port && endpoint.is_ready());
        }
    }
    let (level, reason) = match (ready, all) {
        _ if is_external => (HealthLevel::Healthy, String::new()),
        (0, 0) => (HealthLevel::Failing, "it has no endpoint".into()),
        (0, _) => (HealthLevel::Failing, format!("none of its {all} endpoints is ready on a port")),
        (_, _) => (HealthLevel::Healthy, String::new()),
    };
    Health { level, ready, desired: all, reason }
}

#[cfg(test)]
mod tests;
