use serde_json::json;

use super::Fixture;
use super::ground::{Ground, absent, accepted, conflict, invalid, version_is};
use crate::{Mode, ObjectRef, Patch, Preconditions, Reply, Verb};

async fn with_deployment(world: &dyn Fixture, what: &str) -> (Ground, ObjectRef) {
    let ground = Ground::new(world, what).await;
    ground.make(&ground.deployment("d")).await;
    let target = ground.name("Deployment", "d");
    (ground, target)
}

pub(super) async fn the_status_is_not_changed_beside_its_subresource(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "status-beside").await;
    let condition = json!([{"type": "Contract", "status": "True"}]);
    let answer = accepted(
        ground
            .merge(
                &target,
                json!({"status": {"conditions": condition}, "spec": {"minReadySeconds": 5}}),
            )
            .await,
    );
    assert_eq!(answer.at("/spec/minReadySeconds"), Some(&json!(5)));
    assert_eq!(
        crate::Condition::of(&answer, "Contract"),
        None,
        "the status of the patch should be ignored"
    );
}

pub(super) async fn the_status_subresource_changes_the_status_only(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "status").await;
    let condition = json!([{"type": "Contract", "status": "True", "reason": "Asked", "message": "by the contract"}]);
    let patch = json!({"status": {"conditions": condition}, "spec": {"minReadySeconds": 5}});
    let answer =
        accepted(ground.patch_at(&target, "status", patch, Preconditions::default()).await);
    assert!(crate::Condition::of(&answer, "Contract").is_some());
    assert!(
        answer.at("/spec/minReadySeconds").is_none_or(|seconds| seconds == 0),
        "the spec of the patch should be ignored"
    );
    assert_eq!(answer.metadata().generation, 1, "the status is not of the spec");
}

pub(super) async fn the_scale_subresource_sets_replicas(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "scale").await;
    let reply = ground
        .patch_at(&target, "scale", json!({"spec": {"replicas": 2}}), Preconditions::default())
        .await;
    assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
    let stored = ground.found(&target).await;
    assert_eq!(stored.at("/spec/replicas"), Some(&json!(2)));
    assert_eq!(stored.metadata().generation, 2, "replicas are of the spec");
    assert!(stored.at("/spec/template").is_some(), "the rest of the spec stays");
    accepted(
        ground
            .patch_at(&target, "scale", json!({"spec": {"replicas": 0}}), Preconditions::default())
            .await,
    );
    assert_eq!(ground.found(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

pub(super) async fn the_scale_subresource_refuses_what_is_negative(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "scale-negative").await;
    invalid(
        &ground
            .patch_at(&target, "scale", json!({"spec": {"replicas": -1}}), Preconditions::default())
            .await,
    );
}

pub(super) async fn the_scale_subresource_holds_preconditions(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "scale-stale").await;
    let first = ground.found(&target).await.metadata().resource_version.clone();
    accepted(ground.merge(&target, json!({"spec": {"minReadySeconds": 5}})).await);
    conflict(
        &ground
            .patch_at(&target, "scale", json!({"spec": {"replicas": 1}}), version_is(&first))
            .await,
    );
    assert_eq!(ground.found(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

pub(super) async fn the_scale_of_an_absent_object_is_absent(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "scale-absent").await;
    let target = ground.name("Deployment", "nothing");
    absent(
        &ground
            .patch_at(&target, "scale", json!({"spec": {"replicas": 1}}), Preconditions::default())
            .await,
    );
}

pub(super) async fn a_replica_set_is_scaled_too(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "scale-set").await;
    let deployment = ground.deployment("r");
    let spec = deployment.field("spec").cloned().unwrap_or_default();
    ground.make(&ground.object("ReplicaSet", "r", json!({"spec": spec}))).await;
    let target = ground.name("ReplicaSet", "r");
    let one = json!({"spec": {"replicas": 1}});
    accepted(ground.patch_at(&target, "scale", one, Preconditions::default()).await);
    assert_eq!(ground.found(&target).await.at("/spec/replicas"), Some(&json!(1)));
}

pub(super) async fn a_dry_run_of_a_scale_stores_nothing(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "scale-dry").await;
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let verb = Verb::Patch { patch, subresource: Some("scale".into()) };
    let answer = accepted(ground.send(&target, verb, Preconditions::default(), Mode::DryRun).await);
    assert_eq!(answer.at("/spec/replicas"), Some(&json!(3)));
    assert_eq!(ground.found(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

pub(super) async fn what_has_no_scale_is_not_scaled(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "scale-none").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    let one = json!({"spec": {"replicas": 1}});
    let target = ground.name("ConfigMap", "c");
    let reply = ground.patch_at(&target, "scale", one, Preconditions::default()).await;
    assert!(matches!(reply, Reply::Absent | Reply::Refused { code: 404 | 405, .. }), "{reply:?}");
}

pub(super) async fn the_status_holds_preconditions(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "status-stale").await;
    let first = ground.found(&target).await.metadata().resource_version.clone();
    accepted(ground.merge(&target, json!({"spec": {"minReadySeconds": 5}})).await);
    let patch = json!({"status": {"collisionCount": 7}});
    conflict(&ground.patch_at(&target, "status", patch, version_is(&first)).await);
}

pub(super) async fn the_status_of_a_pod_is_written(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "status-pod").await;
    ground.pod(world, "p").await;
    let target = ground.name("Pod", "p");
    assert_eq!(ground.found(&target).await.at("/status/phase"), Some(&json!("Pending")));
    ground.serve(&target).await;
    world.settle(2).await;
    let pod = ground.found(&target).await;
    assert_eq!(pod.at("/status/phase"), Some(&json!("Running")));
    assert_eq!(crate::Condition::of(&pod, "Ready").and_then(|ready| ready.holds), Some(true));
}
