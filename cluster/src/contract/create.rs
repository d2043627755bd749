use serde_json::json;

use super::Fixture;
use super::test_namespace::{TestNamespace, UNKNOWN_UID, accepted, conflict, not_found};
use crate::{Agent, Mode, Object, Preconditions, Request, Verb, WriteReply};

pub(super) async fn create_sets_uid_version_and_creation_time(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "new").await;
    let created = accepted(ns.create(&ns.config_map("c", json!({})), Mode::Commit).await);
    let other = accepted(ns.create(&ns.config_map("d", json!({})), Mode::Commit).await);
    assert!(!created.metadata().uid.is_empty() && !created.metadata().resource_version.is_empty());
    assert!(created.metadata().creation_timestamp.is_some());
    assert_ne!(created.metadata().uid, other.metadata().uid);
    assert_ne!(created.metadata().resource_version, other.metadata().resource_version);
}

pub(super) async fn create_ignores_server_assigned_metadata(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "server-assigned").await;
    let object = ns.config_map("c", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.uid = UNKNOWN_UID.into();
    metadata.creation_timestamp = "2001-01-01T00:00:00Z".parse().ok();
    let created = accepted(ns.create(&object.with_metadata(metadata.clone()), Mode::Commit).await);
    assert_ne!(created.metadata().uid, UNKNOWN_UID);
    assert_ne!(created.metadata().creation_timestamp, metadata.creation_timestamp);
}

pub(super) async fn create_of_existing_name_is_a_conflict(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "taken").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    conflict(&ns.create(&ns.config_map("c", json!({"a": "2"})), Mode::Commit).await);
    assert_eq!(
        ns.get_existing(&ns.reference("ConfigMap", "c")).await,
        created,
        "the existing object should be unchanged"
    );
}

pub(super) async fn name_is_unique_per_kind_and_namespace(fixture: &mut dyn Fixture) {
    let here = TestNamespace::new(fixture, "same-name").await;
    let there = TestNamespace::new(fixture, "same-name").await;
    here.create_as_admin(&here.config_map("c", json!({"a": "here"}))).await;
    here.create_as_admin(&here.deployment("c")).await;
    there.create_as_admin(&there.config_map("c", json!({"a": "there"}))).await;
    let of = |object: Object| object.at("/data/a").cloned();
    assert_eq!(of(here.get_existing(&here.reference("ConfigMap", "c")).await), Some(json!("here")));
    assert_eq!(
        of(there.get_existing(&there.reference("ConfigMap", "c")).await),
        Some(json!("there"))
    );
    assert_eq!(there.get(&there.reference("Deployment", "c")).await, None);
}

pub(super) async fn recreated_object_has_another_uid(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "again").await;
    let first = ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let reply =
        ns.delete(&ns.reference("ConfigMap", "c"), Preconditions::default(), Mode::Commit).await;
    assert_eq!(reply, WriteReply::Deleted);
    let second = ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    assert_ne!(first.metadata().uid, second.metadata().uid);
    assert_eq!(
        ns.get(&first.reference(ns.cluster.name())).await,
        None,
        "a reference with the uid of the deleted object should find nothing"
    );
}

pub(super) async fn create_in_unknown_namespace_is_not_found(fixture: &mut dyn Fixture) {
    let mut ns = TestNamespace::new(fixture, "nowhere").await;
    ns.namespace = "contract-never-created".into();
    let reply = ns.create(&ns.config_map("c", json!({})), Mode::Commit).await;
    assert!(
        matches!(reply, WriteReply::NotFound | WriteReply::Refused { code: 404, .. }),
        "an unknown namespace: {reply:?}"
    );
}

pub(super) async fn dry_run_create_replies_without_storing(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "dry-create").await;
    let reply = accepted(ns.create(&ns.config_map("c", json!({"a": "1"})), Mode::DryRun).await);
    assert_eq!(reply.at("/data/a"), Some(&json!("1")));
    assert_eq!(reply.name(), "c");
    assert_eq!(ns.get(&ns.reference("ConfigMap", "c")).await, None);
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
}

pub(super) async fn dry_run_create_of_existing_name_is_a_conflict(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "dry-taken").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    conflict(&ns.create(&ns.config_map("c", json!({})), Mode::DryRun).await);
}

pub(super) async fn new_deployment_has_generation_one_and_no_status(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "generation-one").await;
    let object =
        ns.deployment("d").with_field("status", json!({"replicas": 7, "readyReplicas": 7}));
    let created = accepted(ns.create(&object, Mode::Commit).await);
    assert_eq!(created.metadata().generation, 1);
    assert!(
        created.at("/status/readyReplicas").is_none_or(|ready| ready == 0),
        "a client cannot set the status on creation"
    );
}

pub(super) async fn create_sets_deployment_defaults(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "deployment-defaults").await;
    let bare = ns.deployment("d");
    let mut spec = bare.field("spec").cloned().unwrap_or_default();
    spec.as_object_mut().expect("a Deployment has a spec").remove("replicas");
    let reply = accepted(ns.create(&bare.with_field("spec", spec), Mode::DryRun).await);
    assert_eq!(reply.at("/spec/replicas"), Some(&json!(1)));
    assert_eq!(reply.at("/spec/strategy/type"), Some(&json!("RollingUpdate")));
}

pub(super) async fn create_sets_service_defaults(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "service-defaults").await;
    let service = ns.object(
        "Service",
        "s",
        json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}),
    );
    let created = accepted(ns.create(&service, Mode::Commit).await);
    assert_eq!(created.at("/spec/type"), Some(&json!("ClusterIP")));
    assert_eq!(created.at("/spec/ports/0/protocol"), Some(&json!("TCP")));
    assert_eq!(created.at("/spec/ports/0/targetPort"), Some(&json!(80)));
    assert!(
        created.at("/spec/clusterIP").is_some_and(|ip| ip.is_string()),
        "a cluster IP should be assigned"
    );
}

pub(super) async fn user_agent_is_accepted(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "agent").await;
    let object = ns.config_map("c", json!({}));
    let agent = Agent {
        run: "run_1".into(),
        step: "stp_1".into(),
        effect_key: "sha256:00".into(),
        epoch: 7,
    };
    let request = Request {
        target: ns.reference("ConfigMap", "c"),
        verb: Verb::Create(object),
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: agent.clone(),
    };
    accepted(ns.cluster.send(&request).await);
    let delete = Request {
        target: ns.reference("ConfigMap", "other"),
        verb: Verb::Delete { grace_seconds: None },
        ..request
    };
    not_found(&ns.cluster.send(&delete).await);
}

pub(super) async fn generate_name_creates_unique_names(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "generated").await;
    let object = ns.config_map("", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.rest.insert("generateName".into(), "c-".into());
    let object = object.with_metadata(metadata);
    let first = accepted(ns.create(&object, Mode::Commit).await);
    let second = accepted(ns.create(&object, Mode::Commit).await);
    for created in [&first, &second] {
        assert!(
            created.name().starts_with("c-") && created.name().len() > 2,
            "{:?}",
            created.name()
        );
        assert_eq!(ns.get_existing(&ns.reference("ConfigMap", created.name())).await, *created);
    }
    assert_ne!(first.name(), second.name());
}

pub(super) async fn only_one_client_creates_a_lease(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "lease").await;
    let lease = |holder: &str| {
        let spec =
            json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0});
        ns.object("Lease", "leader", json!({"spec": spec}))
    };
    accepted(ns.create(&lease("one"), Mode::Commit).await);
    conflict(&ns.create(&lease("two"), Mode::Commit).await);
    let stored = ns.get_existing(&ns.reference("Lease", "leader")).await;
    assert_eq!(stored.at("/spec/holderIdentity"), Some(&json!("one")));
}
