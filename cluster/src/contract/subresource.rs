use serde_json::json;

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted, conflict, invalid, not_found, version_is};
use crate::{Mode, ObjectRef, Patch, Preconditions, Verb, WriteReply};

async fn with_deployment(fixture: &dyn Fixture, what: &str) -> (TestNamespace, ObjectRef) {
    let ns = TestNamespace::new(fixture, what).await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let target = ns.reference("Deployment", "d");
    (ns, target)
}

pub(super) async fn patch_ignores_status(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "status-beside").await;
    let condition = json!([{"type": "Contract", "status": "True"}]);
    let reply = accepted(
        ns.merge(
            &target,
            json!({"status": {"conditions": condition}, "spec": {"minReadySeconds": 5}}),
        )
        .await,
    );
    assert_eq!(reply.at("/spec/minReadySeconds"), Some(&json!(5)));
    assert_eq!(
        crate::ObjectCondition::of(&reply, "Contract"),
        None,
        "the status of the patch should be ignored"
    );
}

pub(super) async fn status_patch_changes_status_only(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "status").await;
    let condition = json!([{"type": "Contract", "status": "True", "reason": "Test", "message": "set by the contract test"}]);
    let patch = json!({"status": {"conditions": condition}, "spec": {"minReadySeconds": 5}});
    let reply = accepted(ns.patch_at(&target, "status", patch, Preconditions::default()).await);
    assert!(crate::ObjectCondition::of(&reply, "Contract").is_some());
    assert!(
        reply.at("/spec/minReadySeconds").is_none_or(|seconds| seconds == 0),
        "the spec of the patch should be ignored"
    );
    assert_eq!(reply.metadata().generation, 1, "the status does not count in the generation");
}

pub(super) async fn scale_patch_sets_replicas(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "scale").await;
    let reply = ns
        .patch_at(&target, "scale", json!({"spec": {"replicas": 2}}), Preconditions::default())
        .await;
    assert!(matches!(reply, WriteReply::Accepted(_)), "{reply:?}");
    let stored = ns.get_existing(&target).await;
    assert_eq!(stored.at("/spec/replicas"), Some(&json!(2)));
    assert_eq!(stored.metadata().generation, 2, "replicas are a part of the spec");
    assert!(stored.at("/spec/template").is_some(), "the rest of the spec stays");
    accepted(
        ns.patch_at(&target, "scale", json!({"spec": {"replicas": 0}}), Preconditions::default())
            .await,
    );
    assert_eq!(ns.get_existing(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

pub(super) async fn scale_rejects_negative_replicas(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "scale-negative").await;
    invalid(
        &ns.patch_at(&target, "scale", json!({"spec": {"replicas": -1}}), Preconditions::default())
            .await,
    );
}

pub(super) async fn scale_checks_preconditions(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "scale-stale").await;
    let first = ns.get_existing(&target).await.metadata().resource_version.clone();
    accepted(ns.merge(&target, json!({"spec": {"minReadySeconds": 5}})).await);
    conflict(
        &ns.patch_at(&target, "scale", json!({"spec": {"replicas": 1}}), version_is(&first)).await,
    );
    assert_eq!(ns.get_existing(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

pub(super) async fn scale_of_missing_object_is_not_found(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "scale-absent").await;
    let target = ns.reference("Deployment", "nothing");
    not_found(
        &ns.patch_at(&target, "scale", json!({"spec": {"replicas": 1}}), Preconditions::default())
            .await,
    );
}

pub(super) async fn scale_works_for_replica_sets(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "scale-set").await;
    let deployment = ns.deployment("r");
    let spec = deployment.field("spec").cloned().unwrap_or_default();
    ns.create_as_admin(&ns.object("ReplicaSet", "r", json!({"spec": spec}))).await;
    let target = ns.reference("ReplicaSet", "r");
    let one = json!({"spec": {"replicas": 1}});
    accepted(ns.patch_at(&target, "scale", one, Preconditions::default()).await);
    assert_eq!(ns.get_existing(&target).await.at("/spec/replicas"), Some(&json!(1)));
}

pub(super) async fn dry_run_scale_stores_nothing(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "scale-dry").await;
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let verb = Verb::Patch { patch, subresource: Some("scale".into()) };
    let reply = accepted(ns.send(&target, verb, Preconditions::default(), Mode::DryRun).await);
    assert_eq!(reply.at("/spec/replicas"), Some(&json!(3)));
    assert_eq!(ns.get_existing(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

pub(super) async fn scale_of_kind_without_scale_is_not_found(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "scale-none").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let one = json!({"spec": {"replicas": 1}});
    let target = ns.reference("ConfigMap", "c");
    let reply = ns.patch_at(&target, "scale", one, Preconditions::default()).await;
    assert!(
        matches!(reply, WriteReply::NotFound | WriteReply::Refused { code: 404 | 405, .. }),
        "{reply:?}"
    );
}

pub(super) async fn status_patch_checks_preconditions(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "status-stale").await;
    let first = ns.get_existing(&target).await.metadata().resource_version.clone();
    accepted(ns.merge(&target, json!({"spec": {"minReadySeconds": 5}})).await);
    let patch = json!({"status": {"collisionCount": 7}});
    conflict(&ns.patch_at(&target, "status", patch, version_is(&first)).await);
}

pub(super) async fn status_patch_updates_pod_status(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "status-pod").await;
    ns.pod(fixture, "p").await;
    let target = ns.reference("Pod", "p");
    assert_eq!(ns.get_existing(&target).await.at("/status/phase"), Some(&json!("Pending")));
    ns.mark_pod_ready(&target).await;
    fixture.wait(2).await;
    let pod = ns.get_existing(&target).await;
    assert_eq!(pod.at("/status/phase"), Some(&json!("Running")));
    assert_eq!(
        crate::ObjectCondition::of(&pod, "Ready").and_then(|ready| ready.status),
        Some(true)
    );
}
