use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, accepted, invalid, json_patch, refused};
use crate::{Mode, Preconditions, Verb};

pub(super) async fn bad_names_are_refused(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "bad-names").await;
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
        invalid(&ground.create(&ground.config_map(name, json!({})), Mode::Apply).await);
    }
    accepted(ground.create(&ground.config_map("a.dotted-name.1", json!({})), Mode::Apply).await);
}

pub(super) async fn bad_labels_are_refused(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "bad-labels").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    let long = "a".repeat(64);
    for (key, value) in [
        ("tier", "white space"),
        ("-tier", "web"),
        ("a/b/c", "web"),
        ("tier", long.as_str()),
        ("tier", "-web"),
    ] {
        let reply = ground
            .merge(&ground.name("ConfigMap", "c"), json!({"metadata": {"labels": {key: value}}}))
            .await;
        invalid(&reply);
    }
    accepted(
        ground
            .merge(
                &ground.name("ConfigMap", "c"),
                json!({"metadata": {"labels": {"example.com/tier": ""}}}),
            )
            .await,
    );
}

pub(super) async fn an_object_of_another_namespace_is_refused(world: &mut dyn Fixture) {
    let here = Ground::new(world, "here").await;
    let there = Ground::new(world, "there").await;
    let stray = there.config_map("c", json!({}));
    let reply = here
        .send(
            &here.name("ConfigMap", "c"),
            Verb::Create(stray),
            Preconditions::default(),
            Mode::Apply,
        )
        .await;
    refused(&reply);
    assert_eq!(here.get(&here.name("ConfigMap", "c")).await, None);
    assert_eq!(there.get(&there.name("ConfigMap", "c")).await, None);
}

pub(super) async fn config_data_must_be_text(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "config-data").await;
    refused(&ground.create(&ground.config_map("c", json!({"a": 1})), Mode::Apply).await);
    refused(&ground.create(&ground.config_map("c", json!({"bad key": "1"})), Mode::Apply).await);
    ground.make(&ground.config_map("c", json!({"good.key-1": "1"}))).await;
    refused(
        &ground.merge(&ground.name("ConfigMap", "c"), json!({"data": {"a": {"b": "c"}}})).await,
    );
}

pub(super) async fn a_deployment_must_select_its_own_pods(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "selects-its-own").await;
    for selector in [json!({"matchLabels": {"app": "other"}}), json!({}), Value::Null] {
        let object = ground.deployment("d");
        let mut spec = object.field("spec").cloned().unwrap_or_default();
        spec["selector"] = selector;
        invalid(&ground.create(&object.with_field("spec", spec), Mode::Apply).await);
    }
}

pub(super) async fn a_deployment_must_have_containers(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "no-containers").await;
    let object = ground.deployment("d");
    let mut spec = object.field("spec").cloned().unwrap_or_default();
    spec["template"]["spec"]["containers"] = json!([]);
    invalid(&ground.create(&object.with_field("spec", spec), Mode::Apply).await);
}

pub(super) async fn containers_have_names_of_their_own(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "container-names").await;
    ground.make(&ground.deployment("d")).await;
    let add = |container: Value| {
        json_patch(
            json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": container}]),
        )
    };
    let target = ground.name("Deployment", "d");
    invalid(
        &ground
            .patch(&target, add(json!({"name": "main", "image": "registry.k8s.io/pause:3.10"})))
            .await,
    );
    invalid(
        &ground
            .patch(&target, add(json!({"name": "", "image": "registry.k8s.io/pause:3.10"})))
            .await,
    );
    invalid(&ground.patch(&target, add(json!({"name": "side"}))).await);
    accepted(
        ground
            .patch(&target, add(json!({"name": "side", "image": "registry.k8s.io/pause:3.10"})))
            .await,
    );
}

pub(super) async fn replicas_are_not_negative(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "negative").await;
    ground.make(&ground.deployment("d")).await;
    let target = ground.name("Deployment", "d");
    invalid(&ground.merge(&target, json!({"spec": {"replicas": -1}})).await);
    refused(&ground.merge(&target, json!({"spec": {"replicas": "three"}})).await);
    let verb = Verb::Patch {
        patch: crate::Patch::Merge(json!({"spec": {"replicas": -1}})),
        subresource: None,
    };
    invalid(&ground.send(&target, verb, Preconditions::default(), Mode::DryRun).await);
}

pub(super) async fn the_selector_of_a_deployment_stays(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "selector-stays").await;
    ground.make(&ground.deployment("d")).await;
    let patch = json!({"spec": {"selector": {"matchLabels": {"v": "2"}}, "template": {"metadata": {"labels": {"v": "2"}}}}});
    invalid(&ground.merge(&ground.name("Deployment", "d"), patch).await);
}

pub(super) async fn service_ports_must_be_ports(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "service-ports").await;
    let service = |ports: Value| {
        ground.object("Service", "s", json!({"spec": {"selector": {"app": "x"}, "ports": ports}}))
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
        invalid(&ground.create(&service(ports), Mode::Apply).await);
    }
    accepted(ground.create(&service(json!([{"name": "a", "port": 80, "targetPort": "http"}, {"name": "b", "port": 81}])), Mode::Apply).await);
}

pub(super) async fn an_immutable_config_map_keeps_its_data(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "immutable").await;
    ground
        .make(&ground.config_map("c", json!({"a": "1"})).with_field("immutable", json!(true)))
        .await;
    let target = ground.name("ConfigMap", "c");
    invalid(&ground.merge(&target, json!({"data": {"a": "2"}})).await);
    invalid(&ground.merge(&target, json!({"immutable": false})).await);
    accepted(ground.merge(&target, json!({"metadata": {"labels": {"tier": "web"}}})).await);
}

pub(super) async fn an_object_keeps_its_name(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "keeps-name").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    refused(
        &ground.merge(&ground.name("ConfigMap", "c"), json!({"metadata": {"name": "d"}})).await,
    );
    refused(
        &ground
            .merge(&ground.name("ConfigMap", "c"), json!({"metadata": {"namespace": "default"}}))
            .await,
    );
    assert_eq!(ground.get(&ground.name("ConfigMap", "d")).await, None);
}

pub(super) async fn a_refused_change_changes_nothing(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "refused").await;
    let made = ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    refused(
        &ground.merge(&ground.name("ConfigMap", "c"), json!({"data": {"a": "2", "b": 3}})).await,
    );
    assert_eq!(ground.found(&ground.name("ConfigMap", "c")).await, made);
}

pub(super) async fn the_address_of_a_service_stays(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "address").await;
    let service = json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}});
    let made = ground.make(&ground.object("Service", "s", service)).await;
    let target = ground.name("Service", "s");
    invalid(
        &ground
            .merge(
                &target,
                json!({"spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}}),
            )
            .await,
    );
    assert_eq!(ground.found(&target).await.at("/spec/clusterIP"), made.at("/spec/clusterIP"));
}

pub(super) async fn a_secret_keeps_its_type(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "secret-type").await;
    ground.make(&ground.object("Secret", "s", json!({"type": "Opaque"}))).await;
    let target = ground.name("Secret", "s");
    invalid(&ground.merge(&target, json!({"type": "example.com/other"})).await);
}

pub(super) async fn a_pod_keeps_all_but_its_images(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "pod-spec").await;
    ground.pod(world, "p").await;
    let target = ground.name("Pod", "p");
    let container = |fields: Value| {
        let mut container = json!({"name": "main"});
        let fields = fields.as_object().cloned().unwrap_or_default();
        container.as_object_mut().expect("written above as an object").extend(fields);
        crate::Patch::Strategic(json!({"spec": {"containers": [container]}}))
    };
    invalid(&ground.patch(&target, container(json!({"command": ["sh"]}))).await);
    let after = accepted(
        ground.patch(&target, container(json!({"image": "registry.k8s.io/pause:3.9"}))).await,
    );
    assert_eq!(after.at("/spec/containers/0/image"), Some(&json!("registry.k8s.io/pause:3.9")));
}

pub(super) async fn config_data_has_a_bound(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "large-data").await;
    let most = "x".repeat(1024 * 1024);
    let too_much = ground.config_map("c", json!({"a": most, "b": "x"}));
    invalid(&ground.create(&too_much, Mode::Apply).await);
    accepted(ground.create(&ground.config_map("c", json!({"a": most})), Mode::Apply).await);
}

pub(super) async fn annotations_have_a_bound(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "large-annotations").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    let patch = json!({"metadata": {"annotations": {"a": "x".repeat(256 * 1024)}}});
    invalid(&ground.merge(&ground.name("ConfigMap", "c"), patch).await);
}

pub(super) async fn an_owner_has_a_uid(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-uid").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": ""});
    let patch = json!({"metadata": {"ownerReferences": [owner]}});
    invalid(&ground.merge(&ground.name("ConfigMap", "c"), patch).await);
}
