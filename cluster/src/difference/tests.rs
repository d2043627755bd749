use serde_json::json;

use super::*;
use crate::Patch;

fn deployment() -> Object {
    Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop", "uid": "u1", "labels": {"app": "api"}, "generation": 1},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "api"}}, "template": {
            "metadata": {"labels": {"app": "api"}},
            "spec": {"containers": [
                {"name": "side", "image": "side:1"},
                {"name": "api", "image": "api:1", "args": ["-x"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "ports": [{"containerPort": 80}], "resources": {"limits": {"memory": "1Gi", "cpu": "1"}}}]}}},
        "status": {"readyReplicas": 2}}))
    .unwrap()
}

fn changed(object: &Object, pointer: &str, value: Value) -> Object {
    let operation =
        json!({"type": "json", "patch": [{"op": "add", "path": pointer, "value": value}]});
    serde_json::from_value::<Patch>(operation).unwrap().apply(object).unwrap()
}

fn removed(object: &Object, pointer: &str) -> Object {
    let operation = json!({"type": "json", "patch": [{"op": "remove", "path": pointer}]});
    serde_json::from_value::<Patch>(operation).unwrap().apply(object).unwrap()
}

/// Returns each difference as `path at pointer: before -> after`.
fn diff(before: &Object, after: &Object) -> Vec<String> {
    let show =
        |value: Option<Value>| value.map_or_else(|| "-".to_string(), |value| value.to_string());
    difference("c", Some(before), Some(after))
        .into_iter()
        .map(|difference| match difference.change {
            ObjectChange::Created => "created".into(),
            ObjectChange::Deleted => "deleted".into(),
            ObjectChange::Field { pointer, path, before, after } => {
                format!("{path} at {pointer}: {} -> {}", show(before), show(after))
            }
        })
        .collect()
}

const API: &str = "/spec/template/spec/containers/1";

#[test]
fn difference_reports_pointer_and_display_path() {
    for (pointer, value, expected) in [
        ("/spec/replicas", json!(0), "spec.replicas at /spec/replicas: 2 -> 0"),
        (
            "/spec/template/spec/containers/1/image",
            json!("api:2"),
            "spec.template.spec.containers[api].image at /spec/template/spec/containers/1/image: \"api:1\" -> \"api:2\"",
        ),
        (
            "/spec/template/spec/containers/1/env/0/value",
            json!("9"),
            "spec.template.spec.containers[api].env[A].value at /spec/template/spec/containers/1/env/0/value: \"1\" -> \"9\"",
        ),
        (
            "/spec/template/spec/containers/1/args",
            json!([]),
            "spec.template.spec.containers[api].args at /spec/template/spec/containers/1/args: [\"-x\"] -> []",
        ),
        (
            "/spec/template/spec/containers/1/ports/0/containerPort",
            json!(81),
            "spec.template.spec.containers[api].ports[81].containerPort at /spec/template/spec/containers/1/ports/0/containerPort: 80 -> 81",
        ),
        (
            "/spec/template/spec/containers/1/resources/limits/memory",
            json!("8Mi"),
            "spec.template.spec.containers[api].resources.limits.memory at /spec/template/spec/containers/1/resources/limits/memory: \"1Gi\" -> \"8Mi\"",
        ),
        (
            "/metadata/labels/a.b~1c",
            json!("d"),
            "metadata.labels[\"a.b/c\"] at /metadata/labels/a.b~1c: - -> \"d\"",
        ),
        ("/spec/paused", json!(true), "spec.paused at /spec/paused: - -> true"),
    ] {
        assert_eq!(diff(&deployment(), &changed(&deployment(), pointer, value)), [expected]);
    }
}

#[test]
fn added_and_removed_elements_are_reported_whole() {
    let before = deployment();
    let after = changed(
        &before,
        &format!("{API}/env"),
        json!([{"name": "C", "value": "3"}, {"name": "B", "value": "2"}]),
    );
    let env = "spec.template.spec.containers[api].env";
    assert_eq!(
        diff(&before, &after),
        [
            format!("{env}[C] at {API}/env/0: - -> {}", json!({"name": "C", "value": "3"})),
            format!("{env}[A] at {API}/env/0: {} -> -", json!({"name": "A", "value": "1"})),
        ]
    );
    let bare = removed(&before, &format!("{API}/env"));
    assert_eq!(diff(&before, &bare).len(), 2, "an absent list counts as empty");
}

#[test]
fn order_of_named_elements_is_ignored() {
    let before = deployment();
    let env = json!([{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]);
    assert_eq!(diff(&before, &changed(&before, &format!("{API}/env"), env)), [""; 0]);
}

#[test]
fn pointer_uses_index_of_later_version() {
    let before = deployment();
    let after = changed(
        &removed(&before, "/spec/template/spec/containers/0"),
        "/spec/template/spec/containers/0/image",
        json!("api:2"),
    );
    let changes = diff(&before, &after);
    assert!(
        changes[0].contains("at /spec/template/spec/containers/0/image: \"api:1\""),
        "{changes:?}"
    );
    assert!(
        changes[1].starts_with(
            "spec.template.spec.containers[side] at /spec/template/spec/containers/0: {"
        ),
        "{changes:?}"
    );
    assert_eq!(changes.len(), 2);
}

#[test]
fn cluster_maintained_fields_are_ignored() {
    let before = deployment();
    for (pointer, value) in [
        ("/status/readyReplicas", json!(0)),
        ("/metadata/generation", json!(9)),
        ("/metadata/uid", json!("u2")),
        ("/metadata/resourceVersion", json!("99")),
        ("/metadata/managedFields", json!([{}])),
        ("/metadata/creationTimestamp", json!("2026-01-01T00:00:00Z")),
        (
            "/metadata/annotations",
            json!({"deployment.kubernetes.io/revision": "7", "kubectl.kubernetes.io/last-applied-configuration": "{}"}),
        ),
        (
            "/spec/template/metadata/annotations",
            json!({"kubectl.kubernetes.io/restartedAt": "now"}),
        ),
        ("/spec/template/metadata/labels/pod-template-hash", json!("abc")),
        ("/spec/template/metadata/creationTimestamp", json!(null)),
        ("/spec/template/spec/containers/1/resources/limits/cpu", json!("1000m")),
        ("/spec/replicas", json!(2.0)),
    ] {
        assert_eq!(diff(&before, &changed(&before, pointer, value)), [""; 0], "{pointer}");
    }
}

#[test]
fn config_map_keys_are_reported_one_by_one() {
    let config = |data: Value| {
        Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})).unwrap()
    };
    let full = config(json!({"app.conf": "x", "mode": "fast"}));
    let expected = [
        "data[\"app.conf\"] at /data/app.conf: \"x\" -> -",
        "data.mode at /data/mode: \"fast\" -> -",
    ];
    assert_eq!(diff(&full, &config(json!({}))), expected);
    assert_eq!(diff(&full, &config(json!(null))), expected);
    assert_eq!(diff(&full, &full.without_field("data")), expected);
}

#[test]
fn service_ports_are_compared_and_assigned_addresses_ignored() {
    let service = |spec: Value| {
        Object::from_value(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}),
        )
        .unwrap()
    };
    let before = service(
        json!({"clusterIP": "10.0.0.1", "selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 8080}]}),
    );
    let after = service(
        json!({"clusterIP": "10.0.0.2", "selector": {"app": "api", "v": "2"}, "ports": [{"port": 80, "targetPort": 9999}]}),
    );
    assert_eq!(
        diff(&before, &after),
        [
            "spec.ports[80].targetPort at /spec/ports/0/targetPort: 8080 -> 9999",
            "spec.selector.v at /spec/selector/v: - -> \"2\""
        ]
    );
    let headless = changed(&before, "/spec/clusterIP", json!("None"));
    assert_eq!(
        diff(&before, &headless),
        ["spec.clusterIP at /spec/clusterIP: \"10.0.0.1\" -> \"None\""]
    );
}

#[test]
fn created_and_deleted_objects_are_reported() {
    let object = deployment();
    let changes = |before, after| {
        difference("c", before, after)
            .into_iter()
            .map(|d| (d.change, d.object.uid))
            .collect::<Vec<_>>()
    };
    assert_eq!(changes(None, Some(&object)), [(ObjectChange::Created, Some("u1".into()))]);
    assert_eq!(changes(Some(&object), None), [(ObjectChange::Deleted, Some("u1".into()))]);
    assert_eq!(changes(None, None), []);
    assert_eq!(changes(Some(&object), Some(&deployment())), []);
}

#[test]
fn difference_json_round_trips() {
    let changes = difference(
        "c",
        Some(&deployment()),
        Some(&changed(&deployment(), "/spec/paused", json!(true))),
    );
    let text = serde_json::to_string(&changes).unwrap();
    assert!(text.contains(r#""change":{"change":"field","pointer":"/spec/paused","path":"spec.paused","after":true}"#), "{text}");
    assert_eq!(serde_json::from_str::<Vec<Difference>>(&text).unwrap(), changes);
}
