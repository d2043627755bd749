use serde_json::json;

use super::HealthLevel::{Degraded, Failing, Healthy, Missing};
use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

/// Returns a healthy Deployment with three replicas, patched with `change`.
fn deployment(change: Value) -> Object {
    let healthy = object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop", "generation": 4},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "api"}}},
        "status": {"observedGeneration": 4, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3, "availableReplicas": 3}}));
    crate::Patch::Merge(change).apply(&healthy).unwrap()
}

/// Returns a ready pod of that Deployment, patched with `change`.
fn pod(name: &str, change: Value) -> Object {
    let healthy = object(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "api"}},
        "status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "api", "ready": true, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}}));
    crate::Patch::Merge(change).apply(&healthy).unwrap()
}

fn with_container(status: Value) -> Value {
    let mut container = json!({"name": "api"});
    container.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    json!({"status": {"containerStatuses": [container]}})
}

#[track_caller]
fn check(
    object: &Object,
    related: &[Object],
    level: HealthLevel,
    expected_message: &str,
) -> Health {
    let health = health(object, related, now());
    assert_eq!(health.level, level, "{health}");
    assert!(health.message.contains(expected_message), "{health}");
    assert_eq!(health.message.is_empty(), level == Healthy, "{health}");
    health
}

#[test]
fn deployment_health_follows_its_status() {
    for (change, level, reason) in [
        (json!({}), Healthy, ""),
        (
            json!({"spec": {"replicas": 0}, "status": {"readyReplicas": null}}),
            Failing,
            "scaled to zero",
        ),
        (json!({"status": {"readyReplicas": null}}), Failing, "0 of 3 replicas are ready"),
        (json!({"status": null}), Failing, "0 of 3"),
        (json!({"status": {"readyReplicas": 2}}), Degraded, "2 of 3 replicas are ready"),
        (json!({"metadata": {"generation": 5}}), Degraded, "has not observed"),
        (
            json!({"status": {"updatedReplicas": 1}}),
            Degraded,
            "1 of 3 replicas are updated to the latest template",
        ),
        (json!({"status": {"replicas": 4}}), Degraded, "1 replicas of older templates"),
        (
            json!({"status": {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}]}}),
            Degraded,
            "ProgressDeadlineExceeded: m",
        ),
        (
            json!({"status": {"conditions": [{"type": "Progressing", "status": "True"}]}}),
            Healthy,
            "",
        ),
        (
            json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]}}),
            Degraded,
            "quota",
        ),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            Degraded,
            "being deleted",
        ),
    ] {
        check(&deployment(change), &[], level, reason);
    }
}

#[test]
fn stuck_surge_pod_degrades_serving_deployment() {
    // One replica, surge 1: the old pod serves, the image of the new pod cannot be pulled; all counts except `replicas` look healthy.
    let stuck = deployment(
        json!({"spec": {"replicas": 1}, "status": {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 1}}),
    );
    let new = pod(
        "api-2",
        json!({"status": {"phase": "Pending", "conditions": [], "containerStatuses": [
        {"name": "api", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}),
    );
    check(
        &stuck,
        &[pod("api-1", json!({})), new],
        Degraded,
        "pod api-2: container api is waiting: ImagePullBackOff",
    );
}

#[test]
fn pod_problems_degrade_their_workload() {
    let at = |time: &str| json!({"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": time}}, "state": {"running": {"startedAt": "2026-01-01T11:00:00Z"}}});
    let crashed = |since: &str| json!({"lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-01-01T11:50:00Z"}}, "state": {"running": {"startedAt": since}}});
    for (change, level, reason) in [
        (json!({}), Healthy, ""),
        (
            with_container(json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}})),
            Degraded,
            "CrashLoopBackOff",
        ),
        (
            with_container(json!({"state": {"waiting": {"reason": "CreateContainerConfigError"}}})),
            Degraded,
            "CreateContainerConfigError",
        ),
        (
            with_container(json!({"state": {"waiting": {"reason": "ContainerCreating"}}})),
            Healthy,
            "",
        ),
        (
            with_container(json!({"state": {"terminated": {"reason": "Error", "exitCode": 1}}})),
            Degraded,
            "exited with code 1",
        ),
        (with_container(at("2026-01-01T11:51:00Z")), Degraded, "OOM-killed"),
        (with_container(at("2026-01-01T11:49:00Z")), Healthy, ""),
        (
            with_container(crashed("2026-01-01T11:59:30Z")),
            Degraded,
            "restarted less than a minute ago",
        ),
        (with_container(crashed("2026-01-01T11:58:00Z")), Healthy, ""),
        (
            json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            Degraded,
            "not ready",
        ),
        (
            json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node fits"}]}}),
            Degraded,
            "not scheduled, no node fits",
        ),
        (
            json!({"status": {"initContainerStatuses": [{"name": "init", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
            Degraded,
            "container init is waiting",
        ),
        // Pods that are finished, terminating or not selected by the workload.
        (json!({"status": {"phase": "Failed", "conditions": []}}), Healthy, ""),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": []}}),
            Healthy,
            "",
        ),
        (
            json!({"metadata": {"labels": {"app": "other"}}, "status": {"conditions": []}}),
            Healthy,
            "",
        ),
        (json!({"metadata": {"namespace": "bank"}, "status": {"conditions": []}}), Healthy, ""),
    ] {
        check(&deployment(json!({})), &[pod("a", json!({})), pod("b", change)], level, reason);
    }
}

#[test]
fn message_is_independent_of_pod_order() {
    let waiting = |name, reason: &str| {
        pod(name, with_container(json!({"state": {"waiting": {"reason": reason}}})))
    };
    let mut pods = vec![
        waiting("c", "ErrImagePull"),
        waiting("a", "ErrImagePull"),
        pod("b", json!({"status": {"conditions": []}})),
    ];
    let first = health(&deployment(json!({})), &pods, now());
    pods.reverse();
    assert_eq!(first, health(&deployment(json!({})), &pods, now()));
    assert!(first.message.starts_with("pod a:"), "{first}");
}

#[test]
fn other_workload_kinds_follow_the_same_rules() {
    let set = |kind: &str, spec: Value, status: Value| {
        object(
            json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x", "namespace": "shop"}, "spec": spec, "status": status}),
        )
    };
    check(
        &set("ReplicaSet", json!({"replicas": 1}), json!({"replicas": 1, "readyReplicas": 1})),
        &[],
        Healthy,
        "",
    );
    check(&set("ReplicaSet", json!({"replicas": 0}), json!({})), &[], Failing, "scaled to zero");
    let updating = json!({"replicas": 2, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"});
    check(&set("StatefulSet", json!({"replicas": 2}), updating.clone()), &[], Degraded, "1 of 2");
    check(
        &set(
            "StatefulSet",
            json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}),
            updating.clone(),
        ),
        &[],
        Healthy,
        "",
    );
    check(
        &set(
            "StatefulSet",
            json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
            updating,
        ),
        &[],
        Healthy,
        "",
    );
    let daemon = json!({"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 3});
    let health = check(&set("DaemonSet", json!({}), daemon), &[], Degraded, "2 of 3");
    assert_eq!((health.ready, health.desired), (2, 3));
    check(&set("DaemonSet", json!({}), json!({})), &[], Failing, "no node to run on");
}

#[test]
fn pod_health_follows_its_own_status() {
    check(&pod("a", json!({})), &[], Healthy, "");
    check(&pod("a", json!({"status": {"conditions": []}})), &[], Failing, "not ready");
    check(
        &pod("a", json!({"status": {"phase": "Failed", "reason": "Evicted"}})),
        &[],
        Failing,
        "Evicted",
    );
    check(&pod("a", json!({"status": {"phase": "Succeeded", "conditions": []}})), &[], Healthy, "");
    check(
        &pod("a", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        &[],
        Degraded,
        "being deleted",
    );
}

#[test]
fn service_health_follows_its_endpoints() {
    let service = |spec: Value| {
        object(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "shop"}, "spec": spec}),
        )
    };
    let slice = |of: &str, ports: Value, ready: &[bool]| {
        let endpoints: Vec<Value> = ready
            .iter()
            .map(|ready| json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}))
            .collect();
        object(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": of, "namespace": "shop", "labels": {"kubernetes.io/service-name": of}}, "ports": ports, "endpoints": endpoints}))
    };
    let api = service(json!({}));
    let port = json!([{"port": 80}]);
    check(&api, &[], Failing, "no endpoints");
    check(&api, &[slice("other", port.clone(), &[true])], Failing, "no endpoints");
    check(&api, &[slice("api", port.clone(), &[false, false])], Failing, "none of its 2 endpoints");
    check(&api, &[slice("api", json!([]), &[true])], Failing, "none of its 1 endpoints");
    let health = check(&api, &[slice("api", port, &[false, true])], Healthy, "");
    assert_eq!((health.ready, health.desired), (1, 2));
    check(&service(json!({"type": "ExternalName"})), &[], Healthy, "");
}

#[test]
fn other_existing_objects_are_healthy() {
    check(
        &object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})),
        &[],
        Healthy,
        "",
    );
    assert_eq!(Health::missing().level, Missing);
}

#[test]
fn is_worse_than_compares_levels_then_shares() {
    let health = |level, ready, desired| Health { level, ready, desired, message: String::new() };
    for (worse, better) in [
        (health(Missing, 0, 0), health(Failing, 0, 3)),
        (health(Failing, 0, 0), health(Degraded, 1, 3)),
        (health(Degraded, 3, 3), health(Healthy, 1, 1)),
        (health(Degraded, 1, 3), health(Degraded, 2, 3)),
        (health(Degraded, 1, 3), health(Degraded, 1, 2)),
    ] {
        assert!(
            worse.is_worse_than(&better) && !better.is_worse_than(&worse),
            "{worse} against {better}"
        );
    }
    for (a, b) in [
        (health(Healthy, 2, 2), health(Healthy, 3, 3)),
        (health(Healthy, 4, 3), health(Healthy, 3, 3)),
        (health(Failing, 0, 0), health(Failing, 0, 3)),
        (health(Degraded, 1, 2), health(Degraded, 2, 4)),
    ] {
        assert!(!a.is_worse_than(&b) && !b.is_worse_than(&a), "{a} against {b}");
    }
}
