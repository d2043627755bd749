use serde_json::json;

use super::Fixture;
use super::ground::{Ground, NOBODY, absent, accepted, conflict, uid_is, version_is};
use crate::{Mode, ObjectRef, OwnerReference, Preconditions, Reply, Verb};

/// Waits up to two minutes for an object to go.
async fn gone(world: &mut dyn Fixture, ground: &Ground, target: &ObjectRef) -> bool {
    for _ in 0..24 {
        if ground.get(target).await.is_none() {
            return true;
        }
        world.settle(5).await;
    }
    false
}

pub(super) async fn a_deleted_object_is_absent(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "delete").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    ground.make(&ground.config_map("d", json!({}))).await;
    let target = ground.name("ConfigMap", "c");
    assert_eq!(ground.delete(&target, Preconditions::default(), Mode::Apply).await, Reply::Deleted);
    assert_eq!(ground.get(&target).await, None);
    assert_eq!(super::ground::names(&ground.list("ConfigMap").await.items), ["d"]);
}

pub(super) async fn deletion_of_an_absent_object_meets_absence(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "delete-absent").await;
    absent(
        &ground
            .delete(&ground.name("ConfigMap", "nothing"), Preconditions::default(), Mode::Apply)
            .await,
    );
    absent(
        &ground
            .delete(&ground.name("ConfigMap", "nothing"), Preconditions::default(), Mode::DryRun)
            .await,
    );
}

pub(super) async fn deletion_with_a_stale_uid_is_a_conflict(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "delete-uid").await;
    let made = ground.make(&ground.config_map("c", json!({}))).await;
    let target = ground.name("ConfigMap", "c");
    conflict(&ground.delete(&target, uid_is(NOBODY), Mode::Apply).await);
    assert!(ground.get(&target).await.is_some());
    assert_eq!(
        ground.delete(&target, uid_is(&made.metadata().uid), Mode::Apply).await,
        Reply::Deleted
    );
}

pub(super) async fn deletion_with_a_stale_version_is_a_conflict(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "delete-version").await;
    let made = ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    let target = ground.name("ConfigMap", "c");
    let moved_on = accepted(ground.merge(&target, json!({"data": {"a": "2"}})).await);
    conflict(
        &ground.delete(&target, version_is(&made.metadata().resource_version), Mode::Apply).await,
    );
    assert_eq!(ground.found(&target).await, moved_on);
    assert_eq!(
        ground
            .delete(&target, version_is(&moved_on.metadata().resource_version), Mode::Apply)
            .await,
        Reply::Deleted
    );
}

pub(super) async fn a_dry_run_deletes_nothing(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "dry-delete").await;
    let made = ground.make(&ground.config_map("c", json!({}))).await;
    let target = ground.name("ConfigMap", "c");
    assert_eq!(
        ground.delete(&target, Preconditions::default(), Mode::DryRun).await,
        Reply::Deleted
    );
    assert_eq!(ground.found(&target).await, made);
    conflict(&ground.delete(&target, uid_is(NOBODY), Mode::DryRun).await);
}

pub(super) async fn owned_objects_go_with_their_owner(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owned").await;
    let owner = ground.make(&ground.config_map("owner", json!({}))).await;
    for (name, uid) in [("child", Some(owner.metadata().uid.clone())), ("stranger", None)] {
        let object = ground.config_map(name, json!({}));
        let mut metadata = object.metadata().clone();
        metadata.owner_references.extend(uid.map(|uid| OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name: "owner".into(),
            uid,
            controller: None,
            block_owner_deletion: None,
        }));
        ground.make(&object.with_metadata(metadata)).await;
    }
    let reply = ground
        .delete(&ground.name("ConfigMap", "owner"), Preconditions::default(), Mode::Apply)
        .await;
    assert_eq!(reply, Reply::Deleted);
    assert!(
        gone(world, &ground, &ground.name("ConfigMap", "child")).await,
        "the child should go with its owner"
    );
    assert!(
        ground.get(&ground.name("ConfigMap", "stranger")).await.is_some(),
        "what it does not own stays"
    );
}

pub(super) async fn a_finalizer_holds_an_object_until_it_is_removed(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "finalizer").await;
    let object = ground.config_map("c", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.finalizers = vec!["example.com/hold".into()];
    ground.make(&object.with_metadata(metadata)).await;
    let target = ground.name("ConfigMap", "c");
    assert_eq!(ground.delete(&target, Preconditions::default(), Mode::Apply).await, Reply::Deleted);
    let held = ground.found(&target).await;
    assert!(held.metadata().deletion_timestamp.is_some(), "it is marked");
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": null}})).await);
    assert!(gone(world, &ground, &target).await, "nothing holds it any more");
}

pub(super) async fn a_namespace_takes_its_objects_with_it(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "namespace").await;
    ground.make(&ground.config_map("c", json!({}))).await;
    let namespace = ObjectRef::builtin(ground.admin.name(), "Namespace", None, &ground.namespace);
    let request = crate::Request {
        target: namespace.clone(),
        verb: Verb::Delete { grace_seconds: None },
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: crate::Agent::default(),
    };
    assert_eq!(ground.admin.send(&request).await, Reply::Deleted);
    assert!(gone(world, &ground, &ground.name("ConfigMap", "c")).await, "the object should go");
    assert!(gone(world, &ground, &namespace).await, "the namespace should go");
}

pub(super) async fn eviction_of_an_absent_pod_meets_absence(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "evict").await;
    absent(
        &ground
            .send(&ground.name("Pod", "nobody"), Verb::Evict, Preconditions::default(), Mode::Apply)
            .await,
    );
}
