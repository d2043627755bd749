use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted, invalid, json_patch, refused};
use crate::{Mode, Preconditions, Verb};

pub(super) async fn create_rejects_invalid_names(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "bad-names").await;
    let long = "a".repeat(254);
    for name in [
        "Upper",
        "under_score",
        "-first",
        "last-",
        "two..dots",
        "white space",
        "ünicode",
        long.as_str(),
    ] {
        invalid(&ns.create(&ns.config_map(name, json!({})), Mode::Commit).await);
    }
    accepted(ns.create(&ns.config_map("a.dotted-name.1", json!({})), Mode::Commit).await);
}

pub(super) async fn patch_rejects_invalid_labels(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "bad-labels").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let long = "a".repeat(64);
    for (key, value) in [
        ("tier", "white space"),
        ("-tier", "web"),
        ("a/b/c", "web"),
        ("tier", long.as_str()),
        ("tier", "-web"),
    ] {
        let reply = ns
            .merge(&ns.reference("ConfigMap", "c"), json!({"metadata": {"labels": {key: value}}}))
            .await;
        invalid(&reply);
    }
    accepted(
        ns.merge(
            &ns.reference("ConfigMap", "c"),
            json!({"metadata": {"labels": {"example.com/tier": ""}}}),
        )
        .await,
    );
}

pub(super) async fn create_rejects_object_of_another_namespace(fixture: &mut dyn Fixture) {
    let here = TestNamespace::new(fixture, "here").await;
    let there = TestNamespace::new(fixture, "there").await;
    let foreign = there.config_map("c", json!({}));
    let reply = here
        .send(
            &here.reference("ConfigMap", "c"),
            Verb::Create(foreign),
            Preconditions::default(),
            Mode::Commit,
        )
        .await;
    refused(&reply);
    assert_eq!(here.get(&here.reference("ConfigMap", "c")).await, None);
    assert_eq!(there.get(&there.reference("ConfigMap", "c")).await, None);
}

pub(super) async fn config_map_rejects_non_string_data(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "config-data").await;
    refused(&ns.create(&ns.config_map("c", json!({"a": 1})), Mode::Commit).await);
    refused(&ns.create(&ns.config_map("c", json!({"bad key": "1"})), Mode::Commit).await);
    ns.create_as_admin(&ns.config_map("c", json!({"good.key-1": "1"}))).await;
    refused(&ns.merge(&ns.reference("ConfigMap", "c"), json!({"data": {"a": {"b": "c"}}})).await);
}

pub(super) async fn deployment_selector_must_match_template(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "selects-its-own").await;
    for selector in [json!({"matchLabels": {"app": "other"}}), json!({}), Value::Null] {
        let object = ns.deployment("d");
        let mut spec = object.field("spec").cloned().unwrap_or_default();
        spec["selector"] = selector;
        invalid(&ns.create(&object.with_field("spec", spec), Mode::Commit).await);
    }
}

pub(super) async fn deployment_requires_containers(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "no-containers").await;
    let object = ns.deployment("d");
    let mut spec = object.field("spec").cloned().unwrap_or_default();
    spec["template"]["spec"]["containers"] = json!([]);
    invalid(&ns.create(&object.with_field("spec", spec), Mode::Commit).await);
}

pub(super) async fn container_names_must_be_unique(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "container-names").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let add = |container: Value| {
        json_patch(
            json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": container}]),
        )
    };
    let target = ns.reference("Deployment", "d");
    invalid(
        &ns.patch(&target, add(json!({"name": "main", "image": "registry.k8s.io/pause:3.10"})))
            .await,
    );
    invalid(
        &ns.patch(&target, add(json!({"name": "", "image": "registry.k8s.io/pause:3.10"}))).await,
    );
    invalid(&ns.patch(&target, add(json!({"name": "side"}))).await);
    accepted(
        ns.patch(&target, add(json!({"name": "side", "image": "registry.k8s.io/pause:3.10"})))
            .await,
    );
}

pub(super) async fn replicas_must_not_be_negative(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "negative").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let target = ns.reference("Deployment", "d");
    invalid(&ns.merge(&target, json!({"spec": {"replicas": -1}})).await);
    refused(&ns.merge(&target, json!({"spec": {"replicas": "three"}})).await);
    let verb = Verb::Patch {
        patch: crate::Patch::Merge(json!({"spec": {"replicas": -1}})),
        subresource: None,
    };
    invalid(&ns.send(&target, verb, Preconditions::default(), Mode::DryRun).await);
}

pub(super) async fn deployment_selector_is_immutable(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "selector-stays").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let patch = json!({"spec": {"selector": {"matchLabels": {"v": "2"}}, "template": {"metadata": {"labels": {"v": "2"}}}}});
    invalid(&ns.merge(&ns.reference("Deployment", "d"), patch).await);
}

pub(super) async fn service_rejects_invalid_ports(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "service-ports").await;
    let service = |ports: Value| {
        ns.object("Service", "s", json!({"spec": {"selector": {"app": "x"}, "ports": ports}}))
    };
    for ports in [
        json!([]),
        json!([{"port": 0}]),
        json!([{"port": 70_000}]),
        json!([{"port": 80, "targetPort": 70_000}]),
        json!([{"port": 80, "targetPort": "Not_A_Name"}]),
        json!([{"port": 80}, {"port": 81}]),
        json!([{"name": "a", "port": 80}, {"name": "a", "port": 81}]),
    ] {
        invalid(&ns.create(&service(ports), Mode::Commit).await);
    }
    accepted(
        ns.create(
            &service(
                json!([{"name": "a", "port": 80, "targetPort": "http"}, {"name": "b", "port": 81}]),
            ),
            Mode::Commit,
        )
        .await,
    );
}

pub(super) async fn immutable_config_map_rejects_changes(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "immutable").await;
    ns.create_as_admin(&ns.config_map("c", json!({"a": "1"})).with_field("immutable", json!(true)))
        .await;
    let target = ns.reference("ConfigMap", "c");
    invalid(&ns.merge(&target, json!({"data": {"a": "2"}})).await);
    invalid(&ns.merge(&target, json!({"immutable": false})).await);
    accepted(ns.merge(&target, json!({"metadata": {"labels": {"tier": "web"}}})).await);
}

pub(super) async fn name_and_namespace_are_immutable(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "keeps-name").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    refused(&ns.merge(&ns.reference("ConfigMap", "c"), json!({"metadata": {"name": "d"}})).await);
    refused(
        &ns.merge(&ns.reference("ConfigMap", "c"), json!({"metadata": {"namespace": "default"}}))
            .await,
    );
    assert_eq!(ns.get(&ns.reference("ConfigMap", "d")).await, None);
}

pub(super) async fn rejected_patch_stores_nothing(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "refused").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    refused(&ns.merge(&ns.reference("ConfigMap", "c"), json!({"data": {"a": "2", "b": 3}})).await);
    assert_eq!(ns.get_existing(&ns.reference("ConfigMap", "c")).await, created);
}

pub(super) async fn service_cluster_ip_is_immutable(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "address").await;
    let service = json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}});
    let created = ns.create_as_admin(&ns.object("Service", "s", service)).await;
    let target = ns.reference("Service", "s");
    invalid(
        &ns.merge(
            &target,
            json!({"spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}}),
        )
        .await,
    );
    assert_eq!(ns.get_existing(&target).await.at("/spec/clusterIP"), created.at("/spec/clusterIP"));
}

pub(super) async fn secret_type_is_immutable(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "secret-type").await;
    ns.create_as_admin(&ns.object("Secret", "s", json!({"type": "Opaque"}))).await;
    let target = ns.reference("Secret", "s");
    invalid(&ns.merge(&target, json!({"type": "example.com/other"})).await);
}

pub(super) async fn pod_spec_is_immutable_except_images(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "pod-spec").await;
    ns.pod(fixture, "p").await;
    let target = ns.reference("Pod", "p");
    let container = |fields: Value| {
        let mut container = json!({"name": "main"});
        let fields = fields.as_object().cloned().unwrap_or_default();
        container.as_object_mut().expect("constructed above as an object").extend(fields);
        crate::Patch::Strategic(json!({"spec": {"containers": [container]}}))
    };
    invalid(&ns.patch(&target, container(json!({"command": ["sh"]}))).await);
    let after =
        accepted(ns.patch(&target, container(json!({"image": "registry.k8s.io/pause:3.9"}))).await);
    assert_eq!(after.at("/spec/containers/0/image"), Some(&json!("registry.k8s.io/pause:3.9")));
}

pub(super) async fn config_map_data_is_limited_to_1_mib(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "large-data").await;
    let max_data = "x".repeat(1024 * 1024);
    let oversized = ns.config_map("c", json!({"a": max_data, "b": "x"}));
    invalid(&ns.create(&oversized, Mode::Commit).await);
    accepted(ns.create(&ns.config_map("c", json!({"a": max_data})), Mode::Commit).await);
}

pub(super) async fn annotations_are_limited_to_256_kib(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "large-annotations").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let patch = json!({"metadata": {"annotations": {"a": "x".repeat(256 * 1024)}}});
    invalid(&ns.merge(&ns.reference("ConfigMap", "c"), patch).await);
}

pub(super) async fn owner_reference_requires_uid(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-uid").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": ""});
    let patch = json!({"metadata": {"ownerReferences": [owner]}});
    invalid(&ns.merge(&ns.reference("ConfigMap", "c"), patch).await);
}
