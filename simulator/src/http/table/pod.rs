//! The row of a pod.

use cluster::Object;
use jiff::Timestamp;
use serde_json::Value;

use super::cell::{age, list, or, since, text};
use super::column::{Column, always, wide};

pub(super) const COLUMNS: &[Column] = &[
    always("Name"),
    always("Ready"),
    always("Status"),
    always("Restarts"),
    always("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];

/// The aggregated status of a pod's containers.
struct PodSummary {
    ready: usize,
    restarts: i64,
    last_restart: String,
    status: String,
}

pub(super) fn cells(pod: &Object, now: Timestamp) -> Vec<Value> {
    let init = list(pod, "/spec/initContainers");
    let total =
        list(pod, "/spec/containers").len() + init.iter().filter(|one| is_sidecar(one)).count();
    let summary = summarize(pod);
    let restarts = match summary.restarts {
        0 => "0".to_string(),
        count if summary.last_restart.is_empty() => count.to_string(),
        count => format!("{count} ({} ago)", since(&summary.last_restart, now)),
    };
    vec![
        pod.name().into(),
        format!("{}/{total}", summary.ready).into(),
        summary.status.into(),
        restarts.into(),
        age(pod, now),
        or(text(pod, "/status/podIP"), "<none>").into(),
        or(text(pod, "/spec/nodeName"), "<none>").into(),
        or(text(pod, "/status/nominatedNodeName"), "<none>").into(),
        readiness_gates(pod),
    ]
}

fn summarize(pod: &Object) -> PodSummary {
    let phase = text(pod, "/status/phase");
    let mut status = or(text(pod, "/status/reason"), phase).to_string();
    let conditions = list(pod, "/status/conditions");
    if conditions
        .iter()
        .any(|one| one["type"] == "PodScheduled" && one["reason"] == "SchedulingGated")
    {
        status = "SchedulingGated".into();
    }
    let mut summary = PodSummary { ready: 0, restarts: 0, last_restart: String::new(), status };
    let is_initializing = add_init_containers(pod, &mut summary);
    let is =
        |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
    if !is_initializing || is("Initialized") {
        add_containers(pod, &mut summary, is("Ready"));
    }
    let is_terminating = pod.metadata().deletion_timestamp.is_some();
    if is_terminating && text(pod, "/status/reason") == "NodeLost" {
        summary.status = "Unknown".into();
    } else if is_terminating && !matches!(phase, "Succeeded" | "Failed") {
        summary.status = "Terminating".into();
    }
    summary
}

/// Adds the init containers to the summary. Returns whether the pod is still initializing.
fn add_init_containers(pod: &Object, summary: &mut PodSummary) -> bool {
    let specs = list(pod, "/spec/initContainers");
    let (mut sidecar_restarts, mut sidecar_last) = (0, String::new());
    let mut is_initializing = false;
    for (i, container) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
        summary.restarts += container["restartCount"].as_i64().unwrap_or_default();
        keep_latest(&mut summary.last_restart, container);
        let is_sidecar =
            specs.iter().any(|spec| spec["name"] == container["name"] && is_sidecar(spec));
        if is_sidecar {
            sidecar_restarts += container["restartCount"].as_i64().unwrap_or_default();
            keep_latest(&mut sidecar_last, container);
        }
        let terminated = container.pointer("/state/terminated");
        if terminated.is_some_and(|terminated| terminated["exitCode"] == 0) {
            continue;
        }
        if is_sidecar && container["started"] == true {
            summary.ready += usize::from(container["ready"] == true);
            continue;
        }
        let waiting = container.pointer("/state/waiting/reason").and_then(Value::as_str);
        summary.status = match (terminated, waiting) {
            (Some(terminated), _) => format!("Init:{}", termination_status(terminated)),
            (None, Some(reason)) if !reason.is_empty() && reason != "PodInitializing" => {
                format!("Init:{reason}")
            }
            (None, _) => format!("Init:{i}/{}", specs.len()),
        };
        is_initializing = true;
        break;
    }
    if !is_initializing {
        (summary.restarts, summary.last_restart) = (sidecar_restarts, sidecar_last);
    }
    is_initializing
}

fn add_containers(pod: &Object, summary: &mut PodSummary, is_pod_ready: bool) {
    let (mut is_running, mut failed) = (false, String::new());
    for container in list(pod, "/status/containerStatuses").iter().rev() {
        summary.restarts += container["restartCount"].as_i64().unwrap_or_default();
        keep_latest(&mut summary.last_restart, container);
        let waiting = container.pointer("/state/waiting/reason").and_then(Value::as_str);
        let terminated = container.pointer("/state/terminated");
        match (waiting.filter(|reason| !reason.is_empty()), terminated) {
            (Some(reason), _) => summary.status = reason.into(),
            (None, Some(terminated)) => {
                summary.status = termination_status(terminated);
                if terminated["exitCode"] != 0 {
                    failed.clone_from(&summary.status);
                }
            }
            (None, None)
                if container["ready"] == true && container.pointer("/state/running").is_some() =>
            {
                is_running = true;
                summary.ready += 1;
            }
            (None, None) => {}
        }
    }
    // A running container takes precedence over completed ones.
    if summary.status == "Completed" {
        if is_running && is_pod_ready {
            summary.status = "Running".into();
        } else if !failed.is_empty() {
            summary.status = failed;
        } else if is_running {
            summary.status = "NotReady".into();
        }
    }
}

/// Returns the status of a terminated container.
fn termination_status(terminated: &Value) -> String {
    let signal = terminated["signal"].as_i64().unwrap_or_default();
    match terminated["reason"].as_str() {
        Some(reason) if !reason.is_empty() => reason.into(),
        Some(_) | None if signal != 0 => format!("Signal:{signal}"),
        Some(_) | None => {
            format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or_default())
        }
    }
}

/// Keeps the later of two termination times. RFC 3339 timestamps compare as strings.
fn keep_latest(last: &mut String, container: &Value) {
    if let Some(at) = container.pointer("/lastState/terminated/finishedAt").and_then(Value::as_str)
        && at > last.as_str()
    {
        *last = at.into();
    }
}

fn is_sidecar(spec: &Value) -> bool {
    spec["restartPolicy"] == "Always"
}

fn readiness_gates(pod: &Object) -> Value {
    let readiness_gates = list(pod, "/spec/readinessGates");
    if readiness_gates.is_empty() {
        return "<none>".into();
    }
    let conditions = list(pod, "/status/conditions");
    let is_met = |gate: &&Value| {
        conditions.iter().any(|one| one["type"] == gate["conditionType"] && one["status"] == "True")
    };
    format!("{}/{}", readiness_gates.iter().filter(is_met).count(), readiness_gates.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(spec: Value, status: Value) -> String {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec, "status": status});
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let cells = cells(&Object::from_value(pod).unwrap(), now);
        cells[1..4].iter().map(|cell| cell.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pod_status_summarizes_containers() {
        let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let running =
            json!({"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}});
        let crashed = json!({"name": "b", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:04:00Z", "exitCode": 1}}});
        assert_eq!(
            row(spec.clone(), json!({"phase": "Running", "containerStatuses": [running, crashed]})),
            "1/2 CrashLoopBackOff 3 (60s ago)"
        );
        assert_eq!(row(spec, json!({"phase": "Pending"})), "0/2 Pending 0");
        let spec = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]});
        let waiting = json!({"name": "i", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}});
        assert_eq!(
            row(spec, json!({"phase": "Pending", "initContainerStatuses": [waiting]})),
            "0/1 Init:ImagePullBackOff 0"
        );
    }
}
