use cluster::Object;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::container::TerminatedContainer;
use super::{ContainerPhase, ContainerRuntime, PodRuntime};
use crate::world::rfc3339_seconds as time;

/// Returns the status of a pod as its kubelet reports it.
pub(super) fn status(pod: &Object, runtime: &PodRuntime, now: Timestamp) -> Value {
    let has_started = runtime.containers.iter().all(|container| container.has_started);
    let unready: Vec<&str> = runtime
        .containers
        .iter()
        .filter(|one| !is_ready(one))
        .map(|one| one.name.as_str())
        .collect();
    json!({
        "phase": if has_started { "Running" } else { "Pending" },
        "conditions": [
            condition(pod, "PodScheduled", &[], now),
            condition(pod, "Initialized", &[], now),
            condition(pod, "ContainersReady", &unready, now),
            condition(pod, "Ready", &unready, now),
        ],
        "podIP": runtime.ip,
        "podIPs": [{"ip": runtime.ip}],
        "startTime": time(runtime.started),
        "qosClass": "Burstable",
        "containerStatuses": runtime.containers.iter().map(|container| container_status(pod, container)).collect::<Vec<_>>(),
    })
}

fn is_ready(container: &ContainerRuntime) -> bool {
    container.running().is_some_and(|running| running.is_ready)
}

fn condition(pod: &Object, kind: &str, unready: &[&str], now: Timestamp) -> Value {
    let status = if unready.is_empty() { "True" } else { "False" };
    let mut old = pod.at("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let old = old.find(|condition| condition["type"] == kind && condition["status"] == status);
    let since = old.map_or_else(|| Value::from(time(now)), |old| old["lastTransitionTime"].clone());
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since});
    if !unready.is_empty() {
        condition["reason"] = "ContainersNotReady".into();
        condition["message"] =
            format!("containers with unready status: [{}]", unready.join(" ")).into();
    }
    condition
}

fn container_status(pod: &Object, container: &ContainerRuntime) -> Value {
    let image = &container.image;
    let state = match &container.phase {
        ContainerPhase::New | ContainerPhase::Pulling { failures: 0, .. } => {
            waiting("ContainerCreating", String::new())
        }
        ContainerPhase::PullFailed { is_backing_off: false, .. } => waiting(
            "ErrImagePull",
            format!(
                "rpc error: code = NotFound desc = failed to resolve reference {image:?}: {image}: not found"
            ),
        ),
        ContainerPhase::PullFailed { .. } | ContainerPhase::Pulling { .. } => {
            waiting("ImagePullBackOff", format!("Back-off pulling image {image:?}"))
        }
        ContainerPhase::ConfigError { message, .. } => {
            waiting("CreateContainerConfigError", message.clone())
        }
        ContainerPhase::BackOff { pause, .. } => {
            waiting("CrashLoopBackOff", back_off_message(pod, container, *pause))
        }
        ContainerPhase::Running(running) => {
            json!({"running": {"startedAt": time(running.started)}})
        }
    };
    json!({
        "name": container.name,
        "image": image,
        "imageID": if container.has_started { image.as_str() } else { "" },
        "ready": is_ready(container),
        "started": container.running().is_some(),
        "restartCount": container.restarts,
        "state": state,
        "lastState": container.last_terminated.as_ref().map_or(json!({}), terminated),
    })
}

fn waiting(reason: &str, message: String) -> Value {
    let mut waiting = json!({"reason": reason});
    if !message.is_empty() {
        waiting["message"] = message.into();
    }
    json!({"waiting": waiting})
}

fn back_off_message(pod: &Object, container: &ContainerRuntime, pause: SignedDuration) -> String {
    let (name, namespace, uid) =
        (pod.name(), pod.namespace().unwrap_or_default(), &pod.metadata().uid);
    format!(
        "back-off {}s restarting failed container={} pod={name}_{namespace}({uid})",
        pause.as_secs(),
        container.name
    )
}

fn terminated(container: &TerminatedContainer) -> Value {
    let mut terminated = json!({"reason": container.reason, "exitCode": container.exit_code, "startedAt": time(container.started), "finishedAt": time(container.finished)});
    if !container.message.is_empty() {
        terminated["message"] = container.message.clone().into();
    }
    json!({"terminated": terminated})
}
