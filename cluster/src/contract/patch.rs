use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{
    TestNamespace, UNKNOWN_UID, accepted, conflict, invalid, json_patch, not_found, refused,
    uid_is, version_is,
};
use crate::{Mode, Object, ObjectRef, Patch, Preconditions, Verb, WriteReply};

/// A ConfigMap `c` with the keys a and b.
async fn with_config(fixture: &dyn Fixture, what: &str) -> (TestNamespace, ObjectRef, Object) {
    let ns = TestNamespace::new(fixture, what).await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "1", "b": "2"}))).await;
    let target = ns.reference("ConfigMap", "c");
    (ns, target, created)
}

async fn with_deployment(fixture: &dyn Fixture, what: &str) -> (TestNamespace, ObjectRef) {
    let ns = TestNamespace::new(fixture, what).await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let target = ns.reference("Deployment", "d");
    (ns, target)
}

fn merge(patch: Value) -> Verb {
    Verb::Patch { patch: Patch::Merge(patch), subresource: None }
}

fn strategic(container: Value) -> Patch {
    Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
}

pub(super) async fn merge_patch_sets_fields(fixture: &mut dyn Fixture) {
    let (ns, target, _) = with_config(fixture, "merge").await;
    accepted(ns.merge(&target, json!({"data": {"a": "9", "c": "3"}})).await);
    assert_eq!(
        ns.get_existing(&target).await.field("data"),
        Some(&json!({"a": "9", "b": "2", "c": "3"}))
    );
}

pub(super) async fn merge_patch_null_removes_fields(fixture: &mut dyn Fixture) {
    let (ns, target, _) = with_config(fixture, "merge-null").await;
    accepted(ns.merge(&target, json!({"data": {"a": null, "never": null}})).await);
    assert_eq!(ns.get_existing(&target).await.field("data"), Some(&json!({"b": "2"})));
}

pub(super) async fn merge_patch_replaces_lists(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "merge-list").await;
    let containers = json!([{"name": "other", "image": "registry.k8s.io/pause:3.9"}]);
    accepted(
        ns.merge(&target, json!({"spec": {"template": {"spec": {"containers": containers}}}}))
            .await,
    );
    let stored = ns.get_existing(&target).await;
    assert_eq!(stored.at("/spec/template/spec/containers/0/name"), Some(&json!("other")));
    assert_eq!(stored.at("/spec/template/spec/containers/1"), None);
}

pub(super) async fn json_patch_applies_operations(fixture: &mut dyn Fixture) {
    let (ns, target, _) = with_config(fixture, "json").await;
    let patch = json_patch(json!([
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "add", "path": "/metadata/annotations", "value": {"example.com/note": "x"}},
        {"op": "replace", "path": "/metadata/annotations/example.com~1note", "value": "y"}]));
    accepted(ns.patch(&target, patch).await);
    let stored = ns.get_existing(&target).await;
    assert_eq!(stored.field("data"), Some(&json!({"a": "9", "c": "3"})));
    assert_eq!(
        stored.metadata().annotations.get("example.com/note").map(String::as_str),
        Some("y")
    );
}

pub(super) async fn json_patch_with_failed_test_stores_nothing(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "json-test").await;
    let patch = |value: &str| {
        json_patch(
            json!([{"op": "replace", "path": "/data/b", "value": "9"}, {"op": "test", "path": "/data/a", "value": value}]),
        )
    };
    invalid(&ns.patch(&target, patch("other")).await);
    assert_eq!(ns.get_existing(&target).await, created);
    accepted(ns.patch(&target, patch("1")).await);
}

pub(super) async fn json_patch_with_missing_path_is_refused(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "json-missing-path").await;
    for operation in [
        json!({"op": "remove", "path": "/data/never"}),
        json!({"op": "add", "path": "/never/below", "value": "1"}),
        json!({"op": "move", "from": "/data/never", "path": "/data/c"}),
    ] {
        refused(&ns.patch(&target, json_patch(json!([operation]))).await);
    }
    assert_eq!(ns.get_existing(&target).await, created);
}

pub(super) async fn strategic_patch_merges_lists_by_name(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "strategic").await;
    accepted(
        ns.patch(&target, strategic(json!({"name": "main", "env": [{"name": "B", "value": "9"}]})))
            .await,
    );
    accepted(
        ns.patch(&target, strategic(json!({"name": "side", "image": "registry.k8s.io/pause:3.9"})))
            .await,
    );
    let stored = ns.get_existing(&target).await;
    let main = crate::Container::named(&stored, "main").expect("the container is kept");
    assert_eq!(main.image(), "registry.k8s.io/pause:3.10", "fields that the patch omits are kept");
    let value = |name: &str| {
        main.env().find(|variable| variable.name == name).map(|variable| variable.source)
    };
    assert_eq!(value("A"), Some(crate::EnvSource::Value("1")));
    assert_eq!(value("B"), Some(crate::EnvSource::Value("9")));
    assert!(
        crate::Container::named(&stored, "side").is_some(),
        "a container of another name is added"
    );
}

pub(super) async fn strategic_patch_delete_directive_removes_elements(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "strategic-delete").await;
    accepted(
        ns.patch(
            &target,
            strategic(json!({"name": "main", "env": [{"name": "A", "$patch": "delete"}]})),
        )
        .await,
    );
    let stored = ns.get_existing(&target).await;
    let env: Vec<_> = crate::containers(&stored)
        .flat_map(|container| container.env())
        .map(|variable| variable.name)
        .collect();
    assert_eq!(env, ["B"]);
}

pub(super) async fn merge_patch_changes_labels_and_annotations(fixture: &mut dyn Fixture) {
    let (ns, target, _) = with_config(fixture, "labels").await;
    accepted(ns.merge(&target, json!({"metadata": {"labels": {"tier": "web"}, "annotations": {"example.com/note": "free text, ünicode"}}})).await);
    let stored = ns.get_existing(&target).await;
    assert_eq!(stored.metadata().labels.get("tier").map(String::as_str), Some("web"));
    assert_eq!(
        stored.metadata().annotations.get("example.com/note").map(String::as_str),
        Some("free text, ünicode")
    );
    assert_eq!(stored.metadata().labels.len(), 2, "labels that the patch omits are kept");
    accepted(ns.merge(&target, json!({"metadata": {"labels": {"tier": null}}})).await);
    assert_eq!(ns.get_existing(&target).await.metadata().labels.get("tier"), None);
}

pub(super) async fn patch_of_missing_object_is_not_found(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "patch-absent").await;
    let target = ns.reference("ConfigMap", "nothing");
    not_found(&ns.merge(&target, json!({"data": {"a": "1"}})).await);
    not_found(
        &ns.patch(&target, json_patch(json!([{"op": "add", "path": "/data", "value": {}}]))).await,
    );
    assert_eq!(ns.get(&target).await, None);
}

pub(super) async fn patch_replies_with_stored_object(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "patch-reply").await;
    let reply = accepted(ns.merge(&target, json!({"data": {"a": "9"}})).await);
    assert_eq!(ns.get_existing(&target).await, reply);
    assert_eq!(reply.metadata().uid, created.metadata().uid, "a patch keeps the uid");
    assert_eq!(reply.metadata().creation_timestamp, created.metadata().creation_timestamp);
}

pub(super) async fn each_change_gets_a_new_resource_version(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "versions").await;
    let mut seen = vec![created.metadata().resource_version.clone()];
    for n in 0..5 {
        let reply = accepted(ns.merge(&target, json!({"data": {"a": format!("new {n}")}})).await);
        seen.push(reply.metadata().resource_version.clone());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6, "{seen:?}");
}

pub(super) async fn no_op_patch_keeps_resource_version(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "no-change").await;
    for patch in [json!({"data": {"a": "1"}}), json!({}), json!({"data": {"never": null}})] {
        let reply = accepted(ns.merge(&target, patch.clone()).await);
        assert_eq!(
            reply.metadata().resource_version,
            created.metadata().resource_version,
            "{patch}"
        );
    }
}

pub(super) async fn patch_with_stale_version_is_a_conflict(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "stale-version").await;
    let patched = accepted(ns.merge(&target, json!({"data": {"a": "2"}})).await);
    let stale = version_is(&created.metadata().resource_version);
    for (verb, mode) in [
        (merge(json!({"data": {"a": "3"}})), Mode::Commit),
        (merge(json!({"data": {"a": "3"}})), Mode::DryRun),
        (
            Verb::Patch {
                patch: json_patch(json!([{"op": "replace", "path": "/data/a", "value": "3"}])),
                subresource: None,
            },
            Mode::Commit,
        ),
    ] {
        conflict(&ns.send(&target, verb, stale.clone(), mode).await);
    }
    assert_eq!(ns.get_existing(&target).await, patched);
}

pub(super) async fn patch_with_other_uid_is_a_conflict(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "stale-uid").await;
    for verb in [
        merge(json!({"data": {"a": "3"}})),
        Verb::Patch {
            patch: json_patch(json!([{"op": "replace", "path": "/data/a", "value": "3"}])),
            subresource: None,
        },
    ] {
        conflict(&ns.send(&target, verb, uid_is(UNKNOWN_UID), Mode::Commit).await);
    }
    assert_eq!(ns.get_existing(&target).await, created);
}

pub(super) async fn stale_version_in_patch_body_is_a_conflict(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "stale-within").await;
    accepted(ns.merge(&target, json!({"data": {"a": "2"}})).await);
    let version = &created.metadata().resource_version;
    conflict(
        &ns.merge(&target, json!({"metadata": {"resourceVersion": version}, "data": {"a": "3"}}))
            .await,
    );
}

pub(super) async fn matching_preconditions_allow_the_patch(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "preconditions").await;
    let both = Preconditions {
        uid: Some(created.metadata().uid.clone()),
        resource_version: Some(created.metadata().resource_version.clone()),
    };
    accepted(
        ns.send(&target, merge(json!({"data": {"a": "3"}})), both.clone(), Mode::Commit).await,
    );
    let reply = ns.send(&target, merge(json!({"data": {"a": "4"}})), both, Mode::Commit).await;
    assert!(
        matches!(reply, WriteReply::Conflict { .. }),
        "the same preconditions match only once: {reply:?}"
    );
}

pub(super) async fn dry_run_patch_replies_without_storing(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "dry-patch").await;
    let reply = accepted(
        ns.send(
            &target,
            merge(json!({"data": {"a": "9"}})),
            Preconditions::default(),
            Mode::DryRun,
        )
        .await,
    );
    assert_eq!(reply.at("/data/a"), Some(&json!("9")));
    assert_eq!(ns.get_existing(&target).await, created);
    let missing = ns.reference("ConfigMap", "nothing");
    not_found(
        &ns.send(&missing, merge(json!({"data": {}})), Preconditions::default(), Mode::DryRun)
            .await,
    );
}

pub(super) async fn generation_counts_spec_changes_only(fixture: &mut dyn Fixture) {
    let (ns, target) = with_deployment(fixture, "generation").await;
    let after = async |patch: Value| accepted(ns.merge(&target, patch).await).metadata().generation;
    assert_eq!(
        after(json!({"metadata": {"labels": {"tier": "web"}}})).await,
        1,
        "a label does not count"
    );
    assert_eq!(after(json!({"spec": {"minReadySeconds": 5}})).await, 2);
    assert_eq!(after(json!({"spec": {"minReadySeconds": 5}})).await, 2, "no change");
    assert_eq!(
        after(json!({"spec": {"minReadySeconds": 6}, "metadata": {"labels": {"tier": "db"}}}))
            .await,
        3
    );
}

pub(super) async fn only_one_client_acquires_a_lease(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "lease-taken").await;
    let spec = json!({"spec": {"holderIdentity": "previous", "leaseDurationSeconds": 15}});
    let seen = ns.create_as_admin(&ns.object("Lease", "leader", spec)).await;
    let target = ns.reference("Lease", "leader");
    let take =
        |holder: &str| merge(json!({"spec": {"holderIdentity": holder, "leaseTransitions": 1}}));
    let expected = version_is(&seen.metadata().resource_version);
    accepted(ns.send(&target, take("one"), expected.clone(), Mode::Commit).await);
    conflict(&ns.send(&target, take("two"), expected, Mode::Commit).await);
    assert_eq!(ns.get_existing(&target).await.at("/spec/holderIdentity"), Some(&json!("one")));
}

pub(super) async fn creation_timestamp_is_immutable(fixture: &mut dyn Fixture) {
    let (ns, target, created) = with_config(fixture, "creation-time").await;
    let patch =
        json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}, "data": {"a": "2"}});
    let after = accepted(ns.merge(&target, patch).await);
    assert_eq!(after.metadata().creation_timestamp, created.metadata().creation_timestamp);
}
