//! The row of a pod: one word for all that its containers do.

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

/// What the containers of a pod amount to.
struct Sum {
    ready: usize,
    restarts: i64,
    last_restart: String,
    status: String,
}

pub(super) fn cells(pod: &Object, now: Timestamp) -> Vec<Value> {
    let init = list(pod, "/spec/initContainers");
    let total =
        list(pod, "/spec/containers").len() + init.iter().filter(|one| is_sidecar(one)).count();
    let sum = sum(pod);
    let restarts = match sum.restarts {
        0 => "0".to_string(),
        count if sum.last_restart.is_empty() => count.to_string(),
        count => format!("{count} ({} ago)", since(&sum.last_restart, now)),
    };
    vec![
        pod.name().into(),
        format!("{}/{total}", sum.ready).into(),
        sum.status.into(),
        restarts.into(),
        age(pod, now),
        or(text(pod, "/status/podIP"), "<none>").into(),
        or(text(pod, "/spec/nodeName"), "<none>").into(),
        or(text(pod, "/status/nominatedNodeName"), "<none>").into(),
        gates(pod),
    ]
}

fn sum(pod: &Object) -> Sum {
    let phase = text(pod, "/status/phase");
    let mut status = or(text(pod, "/status/reason"), phase).to_string();
    let conditions = list(pod, "/status/conditions");
    if conditions
        .iter()
        .any(|one| one["type"] == "PodScheduled" && one["reason"] == "SchedulingGated")
    {
        status = "SchedulingGated".into();
    }
    let mut sum = Sum { ready: 0, restarts: 0, last_restart: String::new(), status };
    let is_initializing = take_init_containers(pod, &mut sum);
    let is =
        |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
    if !is_initializing || is("Initialized") {
        take_containers(pod, &mut sum, is("Ready"));
    }
    let is_going = pod.metadata().deletion_timestamp.is_some();
    if is_going && text(pod, "/status/reason") == "NodeLost" {
        sum.status = "Unknown".into();
    } else if is_going && !matches!(phase, "Succeeded" | "Failed") {
        sum.status = "Terminating".into();
    }
    sum
}

/// Takes in the containers that run first; says whether they are still at it.
fn take_init_containers(pod: &Object, sum: &mut Sum) -> bool {
    let specs = list(pod, "/spec/initContainers");
    let (mut sidecar_restarts, mut sidecar_last) = (0, String::new());
    let mut is_initializing = false;
    for (i, container) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
        sum.restarts += container["restartCount"].as_i64().unwrap_or_default();
        later(&mut sum.last_restart, container);
        let is_sidecar =
            specs.iter().any(|spec| spec["name"] == container["name"] && is_sidecar(spec));
        if is_sidecar {
            sidecar_restarts += container["restartCount"].as_i64().unwrap_or_default();
            later(&mut sidecar_last, container);
        }
        let ended = container.pointer("/state/terminated");
        if ended.is_some_and(|ended| ended["exitCode"] == 0) {
            continue;
        }
        if is_sidecar && container["started"] == true {
            sum.ready += usize::from(container["ready"] == true);
            continue;
        }
        let waiting = container.pointer("/state/waiting/reason").and_then(Value::as_str);
        sum.status = match (ended, waiting) {
            (Some(ended), _) => format!("Init:{}", end(ended)),
            (None, Some(reason)) if !reason.is_empty() && reason != "PodInitializing" => {
                format!("Init:{reason}")
            }
            (None, _) => format!("Init:{i}/{}", specs.len()),
        };
        is_initializing = true;
        break;
    }
    if !is_initializing {
        (sum.restarts, sum.last_restart) = (sidecar_restarts, sidecar_last);
    }
    is_initializing
}

fn take_containers(pod: &Object, sum: &mut Sum, is_pod_ready: bool) {
    let (mut is_running, mut failed) = (false, String::new());
    for container in list(pod, "/status/containerStatuses").iter().rev() {
        sum.restarts += container["restartCount"].as_i64().unwrap_or_default();
        later(&mut sum.last_restart, container);
        let waiting = container.pointer("/state/waiting/reason").and_then(Value::as_str);
        let ended = container.pointer("/state/terminated");
        match (waiting.filter(|reason| !reason.is_empty()), ended) {
            (Some(reason), _) => sum.status = reason.into(),
            (None, Some(ended)) => {
                sum.status = end(ended);
                if ended["exitCode"] != 0 {
                    failed.clone_from(&sum.status);
                }
            }
            (None, None)
                if container["ready"] == true && container.pointer("/state/running").is_some() =>
            {
                is_running = true;
                sum.ready += 1;
            }
            (None, None) => {}
        }
    }
    // One that runs still outweighs those that are done.
    if sum.status == "Completed" {
        if is_running && is_pod_ready {
            sum.status = "Running".into();
        } else if !failed.is_empty() {
            sum.status = failed;
        } else if is_running {
            sum.status = "NotReady".into();
        }
    }
}

/// How a container ended, in a word.
fn end(ended: &Value) -> String {
    let signal = ended["signal"].as_i64().unwrap_or_default();
    match ended["reason"].as_str() {
        Some(reason) if !reason.is_empty() => reason.into(),
        Some(_) | None if signal != 0 => format!("Signal:{signal}"),
        Some(_) | None => format!("ExitCode:{}", ended["exitCode"].as_i64().unwrap_or_default()),
    }
}

/// Keeps the later of two times at which a container ended; written times order as they are.
fn later(last: &mut String, container: &Value) {
    if let Some(at) = container.pointer("/lastState/terminated/finishedAt").and_then(Value::as_str)
        && at > last.as_str()
    {
        *last = at.into();
    }
}

fn is_sidecar(spec: &Value) -> bool {
    spec["restartPolicy"] == "Always"
}

fn gates(pod: &Object) -> Value {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let conditions = list(pod, "/status/conditions");
    let is_open = |gate: &&Value| {
        conditions.iter().any(|one| one["type"] == gate["conditionType"] && one["status"] == "True")
    };
    format!("{}/{}", gates.iter().filter(is_open).count(), gates.len()).into()
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
    fn one_word_says_what_the_containers_do() {
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
