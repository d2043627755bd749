use serde_json::json;

use super::Fixture;
use super::ground::{Ground, NOBODY, absent, accepted, conflict, uid_is, version_is};
use crate::{Mode, Object, ObjectRef, OwnerReference, Preconditions, Reply, Verb};

/// Waits up to two minutes for an object to go.
pub(super) async fn gone(world: &mut dyn Fixture, ground: &Ground, target: &ObjectRef) -> bool {
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

/// The reference by which `owner` owns another object; under another uid where one is given.
pub(super) fn owned_by(owner: &Object, uid: Option<&str>) -> OwnerReference {
    OwnerReference {
        api_version: owner.kind().api_version.clone(),
        kind: owner.kind().kind.clone(),
        name: owner.name().into(),
        uid: uid.unwrap_or(&owner.metadata().uid).into(),
        controller: None,
        block_owner_deletion: None,
    }
}

impl Ground {
    /// Makes a ConfigMap that finalizers hold.
    async fn held(&self, finalizers: &[&str]) -> ObjectRef {
        let object = self.config_map("c", json!({"a": "1"}));
        let mut metadata = object.metadata().clone();
        metadata.finalizers = finalizers.iter().map(|one| (*one).to_string()).collect();
        self.make(&object.with_metadata(metadata)).await;
        self.name("ConfigMap", "c")
    }

    async fn owned(&self, name: &str, owners: Vec<OwnerReference>) -> Object {
        let object = self.config_map(name, json!({}));
        let mut metadata = object.metadata().clone();
        metadata.owner_references = owners;
        self.make(&object.with_metadata(metadata)).await
    }

    async fn deleted(&self, target: &ObjectRef) {
        let reply = self.delete(target, Preconditions::default(), Mode::Apply).await;
        assert_eq!(reply, Reply::Deleted);
    }
}

pub(super) async fn what_is_held_can_still_be_changed(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "held-changed").await;
    let target = ground.held(&["example.com/hold"]).await;
    ground.deleted(&target).await;
    let after = accepted(ground.merge(&target, json!({"data": {"a": "2"}})).await);
    assert_eq!(after.at("/data/a"), Some(&json!("2")));
    assert!(after.metadata().deletion_timestamp.is_some(), "it is still going");
    let back = json!({"metadata": {"deletionTimestamp": null}, "data": {"a": "3"}});
    let after = accepted(ground.merge(&target, back).await);
    assert!(after.metadata().deletion_timestamp.is_some(), "and nothing brings it back");
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": null}})).await);
}

pub(super) async fn what_is_going_takes_no_new_finalizer(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "held-more").await;
    let target = ground.held(&["example.com/hold"]).await;
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    ground.deleted(&target).await;
    super::ground::invalid(&ground.merge(&target, more).await);
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": null}})).await);
    assert!(gone(world, &ground, &target).await, "nothing holds it any more");
}

pub(super) async fn a_held_object_can_be_deleted_again(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "held-again").await;
    let target = ground.held(&["example.com/hold"]).await;
    ground.deleted(&target).await;
    let first = ground.found(&target).await;
    ground.deleted(&target).await;
    let second = ground.found(&target).await;
    assert_eq!(second.metadata().deletion_timestamp, first.metadata().deletion_timestamp);
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": null}})).await);
}

pub(super) async fn the_last_of_two_finalizers_lets_go(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "held-twice").await;
    let target = ground.held(&["example.com/one", "example.com/two"]).await;
    ground.deleted(&target).await;
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": ["example.com/two"]}})).await);
    world.settle(2).await;
    assert_eq!(ground.found(&target).await.metadata().finalizers, ["example.com/two"]);
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": []}})).await);
    assert_eq!(ground.get(&target).await, None, "it goes with the very change that lets it go");
}

pub(super) async fn an_object_of_a_lost_owner_is_collected(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-lost").await;
    let owner = ground.make(&ground.config_map("owner", json!({}))).await;
    ground.deleted(&ground.name("ConfigMap", "owner")).await;
    ground.owned("child", vec![owned_by(&owner, None)]).await;
    let child = ground.name("ConfigMap", "child");
    assert!(gone(world, &ground, &child).await, "its owner was gone before it came");
}

pub(super) async fn an_object_of_two_owners_stays_with_the_second(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owners").await;
    let first = ground.make(&ground.config_map("first", json!({}))).await;
    let second = ground.make(&ground.config_map("second", json!({}))).await;
    ground.owned("child", vec![owned_by(&first, None), owned_by(&second, None)]).await;
    let child = ground.name("ConfigMap", "child");
    ground.deleted(&ground.name("ConfigMap", "first")).await;
    world.settle(5).await;
    assert!(ground.get(&child).await.is_some(), "one owner is still there");
    ground.deleted(&ground.name("ConfigMap", "second")).await;
    assert!(gone(world, &ground, &child).await, "now both are gone");
}

pub(super) async fn what_the_owned_own_goes_too(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owned-owns").await;
    let top = ground.make(&ground.config_map("top", json!({}))).await;
    let middle = ground.owned("middle", vec![owned_by(&top, None)]).await;
    ground.owned("bottom", vec![owned_by(&middle, None)]).await;
    ground.deleted(&ground.name("ConfigMap", "top")).await;
    for name in ["middle", "bottom"] {
        assert!(gone(world, &ground, &ground.name("ConfigMap", name)).await, "{name} should go");
    }
}

pub(super) async fn a_namespace_that_is_going_takes_nothing_new(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "namespace-going").await;
    let target = ground.held(&["example.com/hold"]).await;
    let namespace = ObjectRef::builtin(ground.admin.name(), "Namespace", None, &ground.namespace);
    ground.deleted(&namespace).await;
    let reply = ground.create(&ground.config_map("d", json!({})), Mode::Apply).await;
    let Reply::Refused { code: 403, message, .. } = reply else {
        panic!("should be refused with 403, but the answer is {reply:?}");
    };
    assert_eq!(
        message,
        format!(
            "configmaps \"d\" is forbidden: unable to create new content in namespace {} because it is being terminated",
            ground.namespace
        )
    );
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": null}})).await);
}
