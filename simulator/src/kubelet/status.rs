use cluster::Object;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::container::Ended;
use super::{ContainerRuntime, Life, PodRuntime};
use crate::world::written as time;

/// The status of a pod as its node reports it.
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
    let state = match &container.life {
        Life::New | Life::Pulling { failures: 0, .. } => {
            waiting("ContainerCreating", String::new())
        }
        Life::PullFailed { is_shown: false, .. } => waiting(
            "ErrImagePull",
            format!(
                "rpc error: code = NotFound desc = failed to resolve reference {image:?}: {image}: not found"
            ),
        ),
        Life::PullFailed { .. } | Life::Pulling { .. } => {
            waiting("ImagePullBackOff", format!("Back-off pulling image {image:?}"))
        }
        Life::ConfigError { message, .. } => waiting("CreateContainerConfigError", message.clone()),
        Life::BackOff { pause, .. } => {
            waiting("CrashLoopBackOff", back_off_message(pod, container, *pause))
        }
        Life::Running(running) => json!({"running": {"startedAt": time(running.started)}}),
    };
    json!({
        "name": container.name,
        "image": image,
        "imageID": if container.has_started { image.as_str() } else { "" },
        "ready": is_ready(container),
        "started": container.running().is_some(),
        "restartCount": container.restarts,
        "state": state,
        "lastState": container.last.as_ref().map_or(json!({}), ended),
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

fn ended(ended: &Ended) -> Value {
    let mut terminated = json!({"reason": ended.reason, "exitCode": ended.exit_code, "startedAt": time(ended.started), "finishedAt": time(ended.finished)});
    if !ended.message.is_empty() {
        terminated["message"] = ended.message.clone().into();
    }
    json!({"terminated": terminated})
}
