use serde_json::{Value, json};

use super::Fixture;
use super::ground::{
    Ground, NOBODY, absent, accepted, conflict, invalid, json_patch, refused, uid_is, version_is,
};
use crate::{Mode, Object, ObjectRef, Patch, Preconditions, Reply, Verb};

/// A ConfigMap `c` with the keys a and b.
async fn with_config(world: &dyn Fixture, what: &str) -> (Ground, ObjectRef, Object) {
    let ground = Ground::new(world, what).await;
    let made = ground.make(&ground.config_map("c", json!({"a": "1", "b": "2"}))).await;
    let target = ground.name("ConfigMap", "c");
    (ground, target, made)
}

async fn with_deployment(world: &dyn Fixture, what: &str) -> (Ground, ObjectRef) {
    let ground = Ground::new(world, what).await;
    ground.make(&ground.deployment("d")).await;
    let target = ground.name("Deployment", "d");
    (ground, target)
}

fn merge(patch: Value) -> Verb {
    Verb::Patch { patch: Patch::Merge(patch), subresource: None }
}

fn strategic(container: Value) -> Patch {
    Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
}

pub(super) async fn a_merge_patch_changes_what_it_names(world: &mut dyn Fixture) {
    let (ground, target, _) = with_config(world, "merge").await;
    accepted(ground.merge(&target, json!({"data": {"a": "9", "c": "3"}})).await);
    assert_eq!(
        ground.found(&target).await.field("data"),
        Some(&json!({"a": "9", "b": "2", "c": "3"}))
    );
}

pub(super) async fn a_merge_patch_removes_with_null(world: &mut dyn Fixture) {
    let (ground, target, _) = with_config(world, "merge-null").await;
    accepted(ground.merge(&target, json!({"data": {"a": null, "never": null}})).await);
    assert_eq!(ground.found(&target).await.field("data"), Some(&json!({"b": "2"})));
}

pub(super) async fn a_merge_patch_replaces_lists_whole(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "merge-list").await;
    let containers = json!([{"name": "other", "image": "registry.k8s.io/pause:3.9"}]);
    accepted(
        ground
            .merge(&target, json!({"spec": {"template": {"spec": {"containers": containers}}}}))
            .await,
    );
    let stored = ground.found(&target).await;
    assert_eq!(stored.at("/spec/template/spec/containers/0/name"), Some(&json!("other")));
    assert_eq!(stored.at("/spec/template/spec/containers/1"), None);
}

pub(super) async fn a_json_patch_changes_what_it_names(world: &mut dyn Fixture) {
    let (ground, target, _) = with_config(world, "json").await;
    let patch = json_patch(json!([
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "add", "path": "/metadata/annotations", "value": {"example.com/note": "x"}},
        {"op": "replace", "path": "/metadata/annotations/example.com~1note", "value": "y"}]));
    accepted(ground.patch(&target, patch).await);
    let stored = ground.found(&target).await;
    assert_eq!(stored.field("data"), Some(&json!({"a": "9", "c": "3"})));
    assert_eq!(
        stored.metadata().annotations.get("example.com/note").map(String::as_str),
        Some("y")
    );
}

pub(super) async fn a_json_patch_with_a_failed_test_changes_nothing(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "json-test").await;
    let patch = |value: &str| {
        json_patch(
            json!([{"op": "replace", "path": "/data/b", "value": "9"}, {"op": "test", "path": "/data/a", "value": value}]),
        )
    };
    invalid(&ground.patch(&target, patch("other")).await);
    assert_eq!(ground.found(&target).await, made);
    accepted(ground.patch(&target, patch("1")).await);
}

pub(super) async fn a_json_patch_that_does_not_fit_is_refused(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "json-misfit").await;
    for operation in [
        json!({"op": "remove", "path": "/data/never"}),
        json!({"op": "add", "path": "/never/below", "value": "1"}),
        json!({"op": "move", "from": "/data/never", "path": "/data/c"}),
    ] {
        refused(&ground.patch(&target, json_patch(json!([operation]))).await);
    }
    assert_eq!(ground.found(&target).await, made);
}

pub(super) async fn a_strategic_patch_merges_containers_and_variables_by_name(
    world: &mut dyn Fixture,
) {
    let (ground, target) = with_deployment(world, "strategic").await;
    accepted(
        ground
            .patch(
                &target,
                strategic(json!({"name": "main", "env": [{"name": "B", "value": "9"}]})),
            )
            .await,
    );
    accepted(
        ground
            .patch(
                &target,
                strategic(json!({"name": "side", "image": "registry.k8s.io/pause:3.9"})),
            )
            .await,
    );
    let stored = ground.found(&target).await;
    let main = crate::Container::named(&stored, "main").expect("the container stays");
    assert_eq!(main.image(), "registry.k8s.io/pause:3.10", "what the patch does not name stays");
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

pub(super) async fn a_strategic_patch_removes_by_directive(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "strategic-delete").await;
    accepted(
        ground
            .patch(
                &target,
                strategic(json!({"name": "main", "env": [{"name": "A", "$patch": "delete"}]})),
            )
            .await,
    );
    let stored = ground.found(&target).await;
    let env: Vec<_> = crate::containers(&stored)
        .flat_map(|container| container.env())
        .map(|variable| variable.name)
        .collect();
    assert_eq!(env, ["B"]);
}

pub(super) async fn labels_and_annotations_are_patched(world: &mut dyn Fixture) {
    let (ground, target, _) = with_config(world, "labels").await;
    accepted(ground.merge(&target, json!({"metadata": {"labels": {"tier": "web"}, "annotations": {"example.com/note": "free text, ünicode"}}})).await);
    let stored = ground.found(&target).await;
    assert_eq!(stored.metadata().labels.get("tier").map(String::as_str), Some("web"));
    assert_eq!(
        stored.metadata().annotations.get("example.com/note").map(String::as_str),
        Some("free text, ünicode")
    );
    assert_eq!(stored.metadata().labels.len(), 2, "labels that the patch does not name stay");
    accepted(ground.merge(&target, json!({"metadata": {"labels": {"tier": null}}})).await);
    assert_eq!(ground.found(&target).await.metadata().labels.get("tier"), None);
}

pub(super) async fn a_patch_of_an_absent_object_meets_absence(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "patch-absent").await;
    let target = ground.name("ConfigMap", "nothing");
    absent(&ground.merge(&target, json!({"data": {"a": "1"}})).await);
    absent(
        &ground
            .patch(&target, json_patch(json!([{"op": "add", "path": "/data", "value": {}}])))
            .await,
    );
    assert_eq!(ground.get(&target).await, None);
}

pub(super) async fn a_patch_answers_with_what_is_stored(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "patch-answer").await;
    let answer = accepted(ground.merge(&target, json!({"data": {"a": "9"}})).await);
    assert_eq!(ground.found(&target).await, answer);
    assert_eq!(answer.metadata().uid, made.metadata().uid, "a patched object is the same one");
    assert_eq!(answer.metadata().creation_timestamp, made.metadata().creation_timestamp);
}

pub(super) async fn every_change_gives_a_new_version(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "versions").await;
    let mut seen = vec![made.metadata().resource_version.clone()];
    for n in 0..5 {
        let answer =
            accepted(ground.merge(&target, json!({"data": {"a": format!("new {n}")}})).await);
        seen.push(answer.metadata().resource_version.clone());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6, "{seen:?}");
}

pub(super) async fn a_patch_without_a_change_keeps_the_version(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "no-change").await;
    for patch in [json!({"data": {"a": "1"}}), json!({}), json!({"data": {"never": null}})] {
        let answer = accepted(ground.merge(&target, patch.clone()).await);
        assert_eq!(answer.metadata().resource_version, made.metadata().resource_version, "{patch}");
    }
}

pub(super) async fn a_stale_version_is_a_conflict(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "stale-version").await;
    let moved_on = accepted(ground.merge(&target, json!({"data": {"a": "2"}})).await);
    let stale = version_is(&made.metadata().resource_version);
    for (verb, mode) in [
        (merge(json!({"data": {"a": "3"}})), Mode::Apply),
        (merge(json!({"data": {"a": "3"}})), Mode::DryRun),
        (
            Verb::Patch {
                patch: json_patch(json!([{"op": "replace", "path": "/data/a", "value": "3"}])),
                subresource: None,
            },
            Mode::Apply,
        ),
    ] {
        conflict(&ground.send(&target, verb, stale.clone(), mode).await);
    }
    assert_eq!(ground.found(&target).await, moved_on);
}

pub(super) async fn a_stale_uid_is_a_conflict(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "stale-uid").await;
    for verb in [
        merge(json!({"data": {"a": "3"}})),
        Verb::Patch {
            patch: json_patch(json!([{"op": "replace", "path": "/data/a", "value": "3"}])),
            subresource: None,
        },
    ] {
        conflict(&ground.send(&target, verb, uid_is(NOBODY), Mode::Apply).await);
    }
    assert_eq!(ground.found(&target).await, made);
}

pub(super) async fn a_stale_version_within_the_patch_is_a_conflict(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "stale-within").await;
    accepted(ground.merge(&target, json!({"data": {"a": "2"}})).await);
    let version = &made.metadata().resource_version;
    conflict(
        &ground
            .merge(&target, json!({"metadata": {"resourceVersion": version}, "data": {"a": "3"}}))
            .await,
    );
}

pub(super) async fn preconditions_that_hold_let_the_change_through(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "preconditions").await;
    let both = Preconditions {
        uid: Some(made.metadata().uid.clone()),
        resource_version: Some(made.metadata().resource_version.clone()),
    };
    accepted(
        ground.send(&target, merge(json!({"data": {"a": "3"}})), both.clone(), Mode::Apply).await,
    );
    let reply = ground.send(&target, merge(json!({"data": {"a": "4"}})), both, Mode::Apply).await;
    assert!(
        matches!(reply, Reply::Conflict { .. }),
        "the same preconditions hold only once: {reply:?}"
    );
}

pub(super) async fn a_dry_run_patch_stores_nothing_and_answers_as_if(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "dry-patch").await;
    let answer = accepted(
        ground
            .send(
                &target,
                merge(json!({"data": {"a": "9"}})),
                Preconditions::default(),
                Mode::DryRun,
            )
            .await,
    );
    assert_eq!(answer.at("/data/a"), Some(&json!("9")));
    assert_eq!(ground.found(&target).await, made);
    let missing = ground.name("ConfigMap", "nothing");
    absent(
        &ground
            .send(&missing, merge(json!({"data": {}})), Preconditions::default(), Mode::DryRun)
            .await,
    );
}

pub(super) async fn generation_counts_changes_of_the_spec_only(world: &mut dyn Fixture) {
    let (ground, target) = with_deployment(world, "generation").await;
    let after =
        async |patch: Value| accepted(ground.merge(&target, patch).await).metadata().generation;
    assert_eq!(
        after(json!({"metadata": {"labels": {"tier": "web"}}})).await,
        1,
        "a label is not of the spec"
    );
    assert_eq!(after(json!({"spec": {"minReadySeconds": 5}})).await, 2);
    assert_eq!(after(json!({"spec": {"minReadySeconds": 5}})).await, 2, "no change");
    assert_eq!(
        after(json!({"spec": {"minReadySeconds": 6}, "metadata": {"labels": {"tier": "db"}}}))
            .await,
        3
    );
}

pub(super) async fn a_lease_is_taken_by_one_only(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "lease-taken").await;
    let spec = json!({"spec": {"holderIdentity": "gone", "leaseDurationSeconds": 15}});
    let seen = ground.make(&ground.object("Lease", "leader", spec)).await;
    let target = ground.name("Lease", "leader");
    let take =
        |holder: &str| merge(json!({"spec": {"holderIdentity": holder, "leaseTransitions": 1}}));
    let expected = version_is(&seen.metadata().resource_version);
    accepted(ground.send(&target, take("one"), expected.clone(), Mode::Apply).await);
    conflict(&ground.send(&target, take("two"), expected, Mode::Apply).await);
    assert_eq!(ground.found(&target).await.at("/spec/holderIdentity"), Some(&json!("one")));
}

pub(super) async fn the_time_of_birth_stays(world: &mut dyn Fixture) {
    let (ground, target, made) = with_config(world, "birth").await;
    let patch =
        json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}, "data": {"a": "2"}});
    let after = accepted(ground.merge(&target, patch).await);
    assert_eq!(after.metadata().creation_timestamp, made.metadata().creation_timestamp);
}
