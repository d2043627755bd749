use cluster::{Object, ObjectRef};
use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn deployment() -> Object {
    object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cart", "namespace": "shop", "uid": "d1", "generation": 3, "annotations": {"deployment.kubernetes.io/revision": "3"}},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "cart", "tier": "web"}}, "spec": {"containers": [{
            "name": "main", "image": "reg/cart:2", "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"limits": {"memory": "64Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            "env": [{"name": "MODE", "value": "fast"},
                {"name": "DB", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "db"}}},
                {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "opt", "optional": true}}}]}]}}},
        "status": {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2, "readyReplicas": 2,
            "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}}))
}

fn replica_set(name: &str, revision: &str) -> Object {
    object(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "uid": "d1", "controller": true}]},
        "spec": {}}))
}

fn pod(name: &str, set: &str, status: Value) -> Object {
    object(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": set, "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "reg/cart:2", "readinessProbe": {"httpGet": {"port": 8080}}}]},
        "status": status}))
}

fn service(selector: Value, target: Value) -> Object {
    object(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"selector": selector, "ports": [{"name": "web", "port": 80, "targetPort": target}]}}),
    )
}

fn slice(ready: &[bool]) -> Object {
    let endpoints: Vec<Value> =
        ready.iter().enumerate().map(|(i, ready)| json!({"addresses": [format!("10.0.0.{i}")], "conditions": {"ready": ready}})).collect();
    object(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "cart-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "cart"}}, "endpoints": endpoints}))
}

fn of(facts: &Facts, kind: &str, predicate: Predicate) -> Vec<(String, Value)> {
    let subject = ObjectRef::builtin(
        "c",
        kind,
        Some("shop"),
        if kind == "ConfigMap" { "conf" } else { "cart" },
    );
    facts.of(&subject, predicate).map(|fact| (fact.key.clone(), fact.value.clone())).collect()
}

#[test]
fn pod_status_facts_are_attributed_to_workload() {
    let waiting = json!({"containerStatuses": [{"name": "main", "restartCount": 4, "ready": false,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]});
    let serving = json!({"containerStatuses": [{"name": "main", "restartCount": 1, "ready": true, "state": {"running": {}}}]});
    let unready = json!({"containerStatuses": [{"name": "main", "restartCount": 0, "ready": false, "state": {"running": {}}}]});
    let objects = [
        deployment(),
        replica_set("s3", "3"),
        pod("p1", "s3", waiting),
        pod("p2", "s3", serving),
        pod("p3", "s3", unready),
    ];
    let facts = observe("c", &objects);
    assert_eq!(
        of(&facts, "Deployment", Predicate::Waiting),
        [("main".into(), json!("CrashLoopBackOff"))]
    );
    assert_eq!(
        of(&facts, "Deployment", Predicate::Terminated),
        [("main".into(), json!("OOMKilled"))]
    );
    assert_eq!(of(&facts, "Deployment", Predicate::Restarts), [("".into(), json!(5))]);
    assert_eq!(
        of(&facts, "Deployment", Predicate::ProbePasses),
        [("main".into(), json!(false)), ("main".into(), json!(true))]
    );
}

#[test]
fn deployment_facts_cover_template_and_revisions() {
    let facts = observe(
        "c",
        &[deployment(), replica_set("s1", "1"), replica_set("s2", "2"), replica_set("s3", "3")],
    );
    assert_eq!(of(&facts, "Deployment", Predicate::Ready), [("".into(), json!(false))]);
    assert_eq!(of(&facts, "Deployment", Predicate::RolloutStuck), [("".into(), json!(true))]);
    assert_eq!(
        of(&facts, "Deployment", Predicate::RevisionAvailable),
        [("".into(), json!(1)), ("latest".into(), json!(2))]
    );
    assert_eq!(
        of(&facts, "Deployment", Predicate::MemoryLimit),
        [("main".into(), json!(64 << 20))]
    );
    assert_eq!(of(&facts, "Deployment", Predicate::ProbePort), [("main".into(), json!(8080))]);
    assert_eq!(of(&facts, "Deployment", Predicate::Env), [("main/MODE".into(), json!("fast"))]);
    let read: Vec<String> = of(&facts, "Deployment", Predicate::ReferencesKey)
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(read, ["ConfigMap/conf/db", "ConfigMap/conf/opt"]);
}

#[test]
fn key_is_missing_only_if_workload_requires_it() {
    let config = object(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"}, "data": {"other": "x"}}),
    );
    let facts = observe("c", &[deployment(), config]);
    assert_eq!(
        of(&facts, "ConfigMap", Predicate::HasKey),
        [("db".into(), json!(false)), ("other".into(), json!(true))]
    );
    assert!(
        of(&observe("c", &[deployment()]), "ConfigMap", Predicate::HasKey).is_empty(),
        "a key of an unknown object is not missing"
    );
}

#[test]
fn service_is_reachable_if_port_is_declared_and_endpoint_is_ready() {
    let check = |selector: Value, target: Value, slices: &[Object], reachable: &[bool]| {
        let mut objects = vec![deployment(), service(selector.clone(), target.clone())];
        objects.extend_from_slice(slices);
        let found: Vec<Value> = of(&observe("c", &objects), "Service", Predicate::Reachable)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(
            found,
            reachable.iter().map(|reachable| json!(reachable)).collect::<Vec<_>>(),
            "{selector} {target}"
        );
    };
    let right = json!({"app": "cart"});
    check(right.clone(), json!("http"), &[slice(&[true])], &[true]);
    check(right.clone(), json!(8080), &[slice(&[true, false])], &[true]);
    check(right.clone(), json!(9090), &[slice(&[true])], &[false]);
    check(right.clone(), json!("grpc"), &[slice(&[true])], &[false]);
    check(right.clone(), json!(8080), &[slice(&[false])], &[false]);
    check(json!({"app": "other"}), json!(8080), &[slice(&[])], &[false]);
    check(right, json!(8080), &[], &[]);
}

#[test]
fn service_facts_cover_selection_and_target_ports() {
    let facts = observe(
        "c",
        &[
            deployment(),
            service(json!({"app": "cart"}), json!("http")),
            slice(&[true, true, false]),
        ],
    );
    assert_eq!(of(&facts, "Service", Predicate::Selects), [("cart".into(), json!(true))]);
    assert_eq!(of(&facts, "Service", Predicate::TargetPort), [("web".into(), json!(8080))]);
    assert_eq!(of(&facts, "Service", Predicate::Endpoints), [("".into(), json!(2))]);
}
