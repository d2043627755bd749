use serde_json::json;

use super::Fixture;
use super::ground::{Ground, NOBODY, absent, accepted, conflict};
use crate::{Agent, Mode, Object, Preconditions, Reply, Request, Verb};

pub(super) async fn a_new_object_gets_uid_version_and_time(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "new").await;
    let made = accepted(ground.create(&ground.config_map("c", json!({})), Mode::Apply).await);
    let other = accepted(ground.create(&ground.config_map("d", json!({})), Mode::Apply).await);
    assert!(!made.metadata().uid.is_empty() && !made.metadata().resource_version.is_empty());
    assert!(made.metadata().creation_timestamp.is_some());
    assert_ne!(made.metadata().uid, other.metadata().uid);
    assert_ne!(made.metadata().resource_version, other.metadata().resource_version);
}

pub(super) async fn what_only_the_cluster_may_say_is_not_taken_from_a_client(
    world: &mut dyn Fixture,
) {
    let ground = Ground::new(world, "forged").await;
    let object = ground.config_map("c", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.uid = NOBODY.into();
    metadata.creation_timestamp = "2001-01-01T00:00:00Z".parse().ok();
    let made = accepted(ground.create(&object.with_metadata(metadata.clone()), Mode::Apply).await);
    assert_ne!(made.metadata().uid, NOBODY);
    assert_ne!(made.metadata().creation_timestamp, metadata.creation_timestamp);
}

pub(super) async fn a_name_that_is_taken_is_a_conflict(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "taken").await;
    let made = ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    conflict(&ground.create(&ground.config_map("c", json!({"a": "2"})), Mode::Apply).await);
    assert_eq!(
        ground.found(&ground.name("ConfigMap", "c")).await,
        made,
        "the first stays as it was"
    );
}

pub(super) async fn one_name_serves_two_kinds_and_two_namespaces(world: &mut dyn Fixture) {
    let here = Ground::new(world, "same-name").await;
    let there = Ground::new(world, "same-name").await;
    here.make(&here.config_map("c", json!({"a": "here"}))).await;
    here.make(&here.deployment("c")).await;
    there.make(&there.config_map("c", json!({"a": "there"}))).await;
    let of = |object: Object| object.at("/data/a").cloned();
    assert_eq!(of(here.found(&here.name("ConfigMap", "c")).await), Some(json!("here")));
    assert_eq!(of(there.found(&there.name("ConfigMap", "c")).await), Some(json!("there")));
    assert_eq!(there.get(&there.name("Deployment", "c")).await, None);
}

pub(super) async fn an_object_made_again_is_another_one(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "again").await;
    let first = ground.make(&ground.config_map("c", json!({}))).await;
    let reply =
        ground.delete(&ground.name("ConfigMap", "c"), Preconditions::default(), Mode::Apply).await;
    assert_eq!(reply, Reply::Deleted);
    let second = ground.make(&ground.config_map("c", json!({}))).await;
    assert_ne!(first.metadata().uid, second.metadata().uid);
    assert_eq!(
        ground.get(&first.reference(ground.cluster.name())).await,
        None,
        "the first incarnation is gone for good"
    );
}

pub(super) async fn an_unknown_namespace_takes_no_object(world: &mut dyn Fixture) {
    let mut ground = Ground::new(world, "nowhere").await;
    ground.namespace = "contract-never-made".into();
    let reply = ground.create(&ground.config_map("c", json!({})), Mode::Apply).await;
    assert!(
        matches!(reply, Reply::Absent | Reply::Refused { code: 404, .. }),
        "an unknown namespace: {reply:?}"
    );
}

pub(super) async fn a_dry_run_makes_nothing_and_answers_as_if(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "dry-create").await;
    let answer =
        accepted(ground.create(&ground.config_map("c", json!({"a": "1"})), Mode::DryRun).await);
    assert_eq!(answer.at("/data/a"), Some(&json!("1")));
    assert_eq!(answer.name(), "c");
    assert_eq!(ground.get(&ground.name("ConfigMap", "c")).await, None);
    ground.make(&ground.config_map("c", json!({}))).await;
}

pub(super) async fn a_dry_run_meets_a_taken_name(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "dry-taken").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    conflict(&ground.create(&ground.config_map("c", json!({})), Mode::DryRun).await);
}

pub(super) async fn a_new_deployment_starts_at_generation_one_without_status(
    world: &mut dyn Fixture,
) {
    let ground = Ground::new(world, "generation-one").await;
    let object =
        ground.deployment("d").with_field("status", json!({"replicas": 7, "readyReplicas": 7}));
    let made = accepted(ground.create(&object, Mode::Apply).await);
    assert_eq!(made.metadata().generation, 1);
    assert!(
        made.at("/status/readyReplicas").is_none_or(|ready| ready == 0),
        "a client cannot say that it is ready"
    );
}

pub(super) async fn a_deployment_gets_its_defaults(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "deployment-defaults").await;
    let bare = ground.deployment("d");
    let mut spec = bare.field("spec").cloned().unwrap_or_default();
    spec.as_object_mut().expect("a Deployment has a spec").remove("replicas");
    let answer = accepted(ground.create(&bare.with_field("spec", spec), Mode::DryRun).await);
    assert_eq!(answer.at("/spec/replicas"), Some(&json!(1)));
    assert_eq!(answer.at("/spec/strategy/type"), Some(&json!("RollingUpdate")));
}

pub(super) async fn a_service_gets_its_defaults(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "service-defaults").await;
    let service = ground.object(
        "Service",
        "s",
        json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}),
    );
    let made = accepted(ground.create(&service, Mode::Apply).await);
    assert_eq!(made.at("/spec/type"), Some(&json!("ClusterIP")));
    assert_eq!(made.at("/spec/ports/0/protocol"), Some(&json!("TCP")));
    assert_eq!(made.at("/spec/ports/0/targetPort"), Some(&json!(80)));
    assert!(made.at("/spec/clusterIP").is_some_and(|ip| ip.is_string()), "it gets an address");
}

pub(super) async fn the_agent_is_accepted(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "agent").await;
    let object = ground.config_map("c", json!({}));
    let agent = Agent {
        run: "run_1".into(),
        step: "stp_1".into(),
        effect_key: "sha256:00".into(),
        epoch: 7,
    };
    let request = Request {
        target: ground.name("ConfigMap", "c"),
        verb: Verb::Create(object),
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: agent.clone(),
    };
    accepted(ground.cluster.send(&request).await);
    let gone = Request {
        target: ground.name("ConfigMap", "other"),
        verb: Verb::Delete { grace_seconds: None },
        ..request
    };
    absent(&ground.cluster.send(&gone).await);
}

pub(super) async fn a_generated_name_is_a_new_one(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "generated").await;
    let object = ground.config_map("", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.rest.insert("generateName".into(), "c-".into());
    let object = object.with_metadata(metadata);
    let first = accepted(ground.create(&object, Mode::Apply).await);
    let second = accepted(ground.create(&object, Mode::Apply).await);
    for made in [&first, &second] {
        assert!(made.name().starts_with("c-") && made.name().len() > 2, "{:?}", made.name());
        assert_eq!(ground.found(&ground.name("ConfigMap", made.name())).await, *made);
    }
    assert_ne!(first.name(), second.name());
}

pub(super) async fn a_lease_is_made_by_one_only(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "lease").await;
    let lease = |holder: &str| {
        let spec =
            json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0});
        ground.object("Lease", "leader", json!({"spec": spec}))
    };
    accepted(ground.create(&lease("one"), Mode::Apply).await);
    conflict(&ground.create(&lease("two"), Mode::Apply).await);
    let stored = ground.found(&ground.name("Lease", "leader")).await;
    assert_eq!(stored.at("/spec/holderIdentity"), Some(&json!("one")));
}
