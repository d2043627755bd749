use serde_json::json;

use super::Fixture;
use super::test_namespace::{
    TestNamespace, UNKNOWN_UID, accepted, conflict, not_found, uid_is, version_is,
};
use crate::{Mode, Object, ObjectRef, OwnerReference, Preconditions, Verb, WriteReply};

/// Waits up to two minutes until an object is deleted; returns whether it is.
pub(super) async fn wait_until_deleted(
    fixture: &mut dyn Fixture,
    ns: &TestNamespace,
    target: &ObjectRef,
) -> bool {
    for _ in 0..24 {
        if ns.get(target).await.is_none() {
            return true;
        }
        fixture.wait(5).await;
    }
    false
}

pub(super) async fn deleted_object_is_not_found(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "delete").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    ns.create_as_admin(&ns.config_map("d", json!({}))).await;
    let target = ns.reference("ConfigMap", "c");
    assert_eq!(
        ns.delete(&target, Preconditions::default(), Mode::Commit).await,
        WriteReply::Deleted
    );
    assert_eq!(ns.get(&target).await, None);
    assert_eq!(super::test_namespace::names(&ns.list("ConfigMap").await.items), ["d"]);
}

pub(super) async fn delete_of_missing_object_is_not_found(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "delete-absent").await;
    not_found(
        &ns.delete(&ns.reference("ConfigMap", "nothing"), Preconditions::default(), Mode::Commit)
            .await,
    );
    not_found(
        &ns.delete(&ns.reference("ConfigMap", "nothing"), Preconditions::default(), Mode::DryRun)
            .await,
    );
}

pub(super) async fn delete_with_other_uid_is_a_conflict(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "delete-uid").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let target = ns.reference("ConfigMap", "c");
    conflict(&ns.delete(&target, uid_is(UNKNOWN_UID), Mode::Commit).await);
    assert!(ns.get(&target).await.is_some());
    assert_eq!(
        ns.delete(&target, uid_is(&created.metadata().uid), Mode::Commit).await,
        WriteReply::Deleted
    );
}

pub(super) async fn delete_with_stale_version_is_a_conflict(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "delete-version").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    let target = ns.reference("ConfigMap", "c");
    let patched = accepted(ns.merge(&target, json!({"data": {"a": "2"}})).await);
    conflict(
        &ns.delete(&target, version_is(&created.metadata().resource_version), Mode::Commit).await,
    );
    assert_eq!(ns.get_existing(&target).await, patched);
    assert_eq!(
        ns.delete(&target, version_is(&patched.metadata().resource_version), Mode::Commit).await,
        WriteReply::Deleted
    );
}

pub(super) async fn dry_run_delete_deletes_nothing(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "dry-delete").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let target = ns.reference("ConfigMap", "c");
    assert_eq!(
        ns.delete(&target, Preconditions::default(), Mode::DryRun).await,
        WriteReply::Deleted
    );
    assert_eq!(ns.get_existing(&target).await, created);
    conflict(&ns.delete(&target, uid_is(UNKNOWN_UID), Mode::DryRun).await);
}

pub(super) async fn delete_collects_owned_objects(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owned").await;
    let owner = ns.create_as_admin(&ns.config_map("owner", json!({}))).await;
    for (name, uid) in [("child", Some(owner.metadata().uid.clone())), ("stranger", None)] {
        let object = ns.config_map(name, json!({}));
        let mut metadata = object.metadata().clone();
        metadata.owner_references.extend(uid.map(|uid| OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name: "owner".into(),
            uid,
            controller: None,
            block_owner_deletion: None,
        }));
        ns.create_as_admin(&object.with_metadata(metadata)).await;
    }
    let reply = ns
        .delete(&ns.reference("ConfigMap", "owner"), Preconditions::default(), Mode::Commit)
        .await;
    assert_eq!(reply, WriteReply::Deleted);
    assert!(
        wait_until_deleted(fixture, &ns, &ns.reference("ConfigMap", "child")).await,
        "the child should be deleted with its owner"
    );
    assert!(
        ns.get(&ns.reference("ConfigMap", "stranger")).await.is_some(),
        "other objects should remain"
    );
}

pub(super) async fn finalizer_delays_deletion(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "finalizer").await;
    let object = ns.config_map("c", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.finalizers = vec!["example.com/hold".into()];
    ns.create_as_admin(&object.with_metadata(metadata)).await;
    let target = ns.reference("ConfigMap", "c");
    assert_eq!(
        ns.delete(&target, Preconditions::default(), Mode::Commit).await,
        WriteReply::Deleted
    );
    let terminating = ns.get_existing(&target).await;
    assert!(
        terminating.metadata().deletion_timestamp.is_some(),
        "the object should have a deletion timestamp"
    );
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": null}})).await);
    assert!(
        wait_until_deleted(fixture, &ns, &target).await,
        "the object should be deleted without finalizers"
    );
}

pub(super) async fn namespace_deletion_deletes_its_objects(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "namespace").await;
    ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let namespace = ObjectRef::builtin(ns.admin.name(), "Namespace", None, &ns.namespace);
    let request = crate::Request {
        target: namespace.clone(),
        verb: Verb::Delete { grace_seconds: None },
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: crate::Agent::default(),
    };
    assert_eq!(ns.admin.send(&request).await, WriteReply::Deleted);
    assert!(
        wait_until_deleted(fixture, &ns, &ns.reference("ConfigMap", "c")).await,
        "the object should be deleted"
    );
    assert!(wait_until_deleted(fixture, &ns, &namespace).await, "the namespace should be deleted");
}

pub(super) async fn eviction_of_missing_pod_is_not_found(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "evict").await;
    not_found(
        &ns.send(
            &ns.reference("Pod", "missing"),
            Verb::Evict,
            Preconditions::default(),
            Mode::Commit,
        )
        .await,
    );
}

/// Returns an owner reference to `owner`. Default for `uid`: the uid of `owner`.
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

impl TestNamespace {
    /// Creates a ConfigMap with finalizers.
    async fn create_with_finalizers(&self, finalizers: &[&str]) -> ObjectRef {
        let object = self.config_map("c", json!({"a": "1"}));
        let mut metadata = object.metadata().clone();
        metadata.finalizers = finalizers.iter().map(|one| (*one).to_string()).collect();
        self.create_as_admin(&object.with_metadata(metadata)).await;
        self.reference("ConfigMap", "c")
    }

    async fn create_with_owners(&self, name: &str, owners: Vec<OwnerReference>) -> Object {
        let object = self.config_map(name, json!({}));
        let mut metadata = object.metadata().clone();
        metadata.owner_references = owners;
        self.create_as_admin(&object.with_metadata(metadata)).await
    }

    async fn delete_accepted(&self, target: &ObjectRef) {
        let reply = self.delete(target, Preconditions::default(), Mode::Commit).await;
        assert_eq!(reply, WriteReply::Deleted);
    }
}

pub(super) async fn terminating_object_can_be_patched(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "terminating-patch").await;
    let target = ns.create_with_finalizers(&["example.com/hold"]).await;
    ns.delete_accepted(&target).await;
    let after = accepted(ns.merge(&target, json!({"data": {"a": "2"}})).await);
    assert_eq!(after.at("/data/a"), Some(&json!("2")));
    assert!(
        after.metadata().deletion_timestamp.is_some(),
        "the object should still be terminating"
    );
    let back = json!({"metadata": {"deletionTimestamp": null}, "data": {"a": "3"}});
    let after = accepted(ns.merge(&target, back).await);
    assert!(after.metadata().deletion_timestamp.is_some(), "a deletion cannot be undone");
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": null}})).await);
}

pub(super) async fn terminating_object_rejects_new_finalizers(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "terminating-finalizer").await;
    let target = ns.create_with_finalizers(&["example.com/hold"]).await;
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    ns.delete_accepted(&target).await;
    super::test_namespace::invalid(&ns.merge(&target, more).await);
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": null}})).await);
    assert!(
        wait_until_deleted(fixture, &ns, &target).await,
        "the object should be deleted without finalizers"
    );
}

pub(super) async fn delete_of_terminating_object_is_accepted(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "terminating-delete").await;
    let target = ns.create_with_finalizers(&["example.com/hold"]).await;
    ns.delete_accepted(&target).await;
    let first = ns.get_existing(&target).await;
    ns.delete_accepted(&target).await;
    let second = ns.get_existing(&target).await;
    assert_eq!(second.metadata().deletion_timestamp, first.metadata().deletion_timestamp);
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": null}})).await);
}

pub(super) async fn removing_last_finalizer_deletes_object(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "two-finalizers").await;
    let target = ns.create_with_finalizers(&["example.com/one", "example.com/two"]).await;
    ns.delete_accepted(&target).await;
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": ["example.com/two"]}})).await);
    fixture.wait(2).await;
    assert_eq!(ns.get_existing(&target).await.metadata().finalizers, ["example.com/two"]);
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": []}})).await);
    assert_eq!(ns.get(&target).await, None, "the removal of the last finalizer deletes the object");
}

pub(super) async fn object_with_missing_owner_is_collected(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-lost").await;
    let owner = ns.create_as_admin(&ns.config_map("owner", json!({}))).await;
    ns.delete_accepted(&ns.reference("ConfigMap", "owner")).await;
    ns.create_with_owners("child", vec![owned_by(&owner, None)]).await;
    let child = ns.reference("ConfigMap", "child");
    assert!(
        wait_until_deleted(fixture, &ns, &child).await,
        "an object whose owner no longer exists should be collected"
    );
}

pub(super) async fn object_with_remaining_owner_is_kept(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owners").await;
    let first = ns.create_as_admin(&ns.config_map("first", json!({}))).await;
    let second = ns.create_as_admin(&ns.config_map("second", json!({}))).await;
    ns.create_with_owners("child", vec![owned_by(&first, None), owned_by(&second, None)]).await;
    let child = ns.reference("ConfigMap", "child");
    ns.delete_accepted(&ns.reference("ConfigMap", "first")).await;
    fixture.wait(5).await;
    assert!(ns.get(&child).await.is_some(), "one owner still exists");
    ns.delete_accepted(&ns.reference("ConfigMap", "second")).await;
    assert!(wait_until_deleted(fixture, &ns, &child).await, "both owners are deleted");
}

pub(super) async fn garbage_collection_is_transitive(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owned-owns").await;
    let top = ns.create_as_admin(&ns.config_map("top", json!({}))).await;
    let middle = ns.create_with_owners("middle", vec![owned_by(&top, None)]).await;
    ns.create_with_owners("bottom", vec![owned_by(&middle, None)]).await;
    ns.delete_accepted(&ns.reference("ConfigMap", "top")).await;
    for name in ["middle", "bottom"] {
        assert!(
            wait_until_deleted(fixture, &ns, &ns.reference("ConfigMap", name)).await,
            "{name} should be deleted"
        );
    }
}

pub(super) async fn terminating_namespace_rejects_new_objects(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "namespace-terminating").await;
    let target = ns.create_with_finalizers(&["example.com/hold"]).await;
    let namespace = ObjectRef::builtin(ns.admin.name(), "Namespace", None, &ns.namespace);
    ns.delete_accepted(&namespace).await;
    let reply = ns.create(&ns.config_map("d", json!({})), Mode::Commit).await;
    let WriteReply::Refused { code: 403, message, .. } = reply else {
        panic!("expected a refusal with 403, got {reply:?}");
    };
    assert_eq!(
        message,
        format!(
            "configmaps \"d\" is forbidden: unable to create new content in namespace {} because it is being terminated",
            ns.namespace
        )
    );
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": null}})).await);
}
