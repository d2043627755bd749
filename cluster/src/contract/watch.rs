use serde_json::json;

use super::Fixture;
use super::ground::{Ground, accepted, refused};
use crate::{Kind, Mode, Object, Preconditions, ReadFailure, Reply, Verb, WatchEvent};

/// The changes of the ConfigMaps that the promise made, as `+name`, `~name`, `-name`, and the version after the last.
async fn changes(ground: &Ground, after: &str) -> (Vec<String>, Option<String>) {
    let (mut told, mut version) = (Vec::new(), None);
    for event in raw(ground, "ConfigMap", after).await {
        let (sign, object) = match event {
            WatchEvent::Added(object) => ('+', object),
            WatchEvent::Modified(object) => ('~', object),
            WatchEvent::Deleted(object) => ('-', object),
            WatchEvent::Bookmark(_) => continue,
        };
        assert_eq!(
            object.namespace(),
            Some(ground.namespace.as_str()),
            "a change of another namespace"
        );
        assert_eq!(object.kind().kind, "ConfigMap", "a change of another kind");
        version = Some(object.metadata().resource_version.clone());
        if is_mine(&object) {
            told.push(format!("{sign}{}", object.name()));
        }
    }
    (told, version)
}

fn is_mine(object: &Object) -> bool {
    object.metadata().labels.contains_key(super::ground::MINE.0)
}

async fn raw(ground: &Ground, kind: &str, after: &str) -> Vec<WatchEvent> {
    let kind = Kind::builtin(kind).expect("promises speak of built-in kinds");
    let changes = ground.cluster.changes(&kind, Some(&ground.namespace), after).await;
    changes.unwrap_or_else(|failure| panic!("changes after {after}: {failure}"))
}

async fn delete(ground: &Ground, name: &str) {
    let reply =
        ground.delete(&ground.name("ConfigMap", name), Preconditions::default(), Mode::Apply).await;
    assert_eq!(reply, Reply::Deleted);
}

pub(super) async fn changes_come_in_order_and_each_once(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes").await;
    ground.make(&ground.config_map("before", json!({}))).await;
    let begin = ground.list("ConfigMap").await.resource_version;
    ground.make(&ground.config_map("a", json!({}))).await;
    ground.make(&ground.config_map("b", json!({}))).await;
    accepted(ground.merge(&ground.name("ConfigMap", "a"), json!({"data": {"x": "1"}})).await);
    accepted(ground.merge(&ground.name("ConfigMap", "a"), json!({"data": {"x": "2"}})).await);
    delete(&ground, "b").await;
    accepted(ground.merge(&ground.name("ConfigMap", "before"), json!({"data": {"x": "1"}})).await);
    world.settle(1).await;
    let (told, _) = changes(&ground, &begin).await;
    assert_eq!(told, ["+a", "+b", "~a", "~a", "-b", "~before"]);
    let (again, _) = changes(&ground, &begin).await;
    assert_eq!(again, told, "asking again from the same version tells the same");
}

pub(super) async fn changes_go_on_where_the_last_one_ended(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-on").await;
    let begin = ground.list("ConfigMap").await.resource_version;
    ground.make(&ground.config_map("a", json!({}))).await;
    world.settle(1).await;
    let (told, last) = changes(&ground, &begin).await;
    assert_eq!(told, ["+a"]);
    let last = last.expect("a change has a version");
    accepted(ground.merge(&ground.name("ConfigMap", "a"), json!({"data": {"x": "1"}})).await);
    delete(&ground, "a").await;
    world.settle(1).await;
    let (told, last) = changes(&ground, &last).await;
    assert_eq!(told, ["~a", "-a"], "what was told before is not told again");
    let (told, _) = changes(&ground, &last.expect("a change has a version")).await;
    assert_eq!(told, [""; 0]);
}

pub(super) async fn changes_keep_to_their_namespace_and_kind(world: &mut dyn Fixture) {
    let here = Ground::new(world, "changes-here").await;
    let there = Ground::new(world, "changes-there").await;
    let begin = here.list("ConfigMap").await.resource_version;
    there.make(&there.config_map("b", json!({}))).await;
    here.make(&here.deployment("d")).await;
    here.make(&here.config_map("a", json!({}))).await;
    world.settle(1).await;
    assert_eq!(changes(&here, &begin).await.0, ["+a"]);
    let deployments = raw(&here, "Deployment", &begin).await;
    assert!(
        deployments
            .iter()
            .any(|event| matches!(event, WatchEvent::Added(object) if object.name() == "d"))
    );
}

pub(super) async fn what_changes_nothing_is_not_told(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-none").await;
    ground.make(&ground.config_map("a", json!({"x": "1"}))).await;
    let begin = ground.list("ConfigMap").await.resource_version;
    let target = ground.name("ConfigMap", "a");
    accepted(ground.merge(&target, json!({"data": {"x": "1"}})).await);
    refused(&ground.merge(&target, json!({"data": {"x": 2}})).await);
    let verb =
        Verb::Patch { patch: crate::Patch::Merge(json!({"data": {"x": "2"}})), subresource: None };
    accepted(ground.send(&target, verb, Preconditions::default(), Mode::DryRun).await);
    accepted(ground.create(&ground.config_map("b", json!({})), Mode::DryRun).await);
    assert_eq!(
        ground.delete(&target, Preconditions::default(), Mode::DryRun).await,
        Reply::Deleted
    );
    world.settle(1).await;
    assert_eq!(changes(&ground, &begin).await.0, [""; 0]);
}

pub(super) async fn deletions_tell_the_last_state(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-last").await;
    let made = ground.make(&ground.config_map("a", json!({"x": "1"}))).await;
    let begin = ground.list("ConfigMap").await.resource_version;
    delete(&ground, "a").await;
    world.settle(1).await;
    let events = raw(&ground, "ConfigMap", &begin).await;
    let deleted = events.iter().find_map(|event| match event {
        WatchEvent::Deleted(object) if object.name() == "a" => Some(object),
        WatchEvent::Deleted(_)
        | WatchEvent::Added(_)
        | WatchEvent::Modified(_)
        | WatchEvent::Bookmark(_) => None,
    });
    let deleted = deleted.expect("the deletion should be told");
    assert_eq!(deleted.metadata().uid, made.metadata().uid);
    assert_eq!(deleted.field("data"), made.field("data"));
}

pub(super) async fn an_unreadable_version_is_refused(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-unreadable").await;
    let changes = ground
        .cluster
        .changes(&Kind::new("v1", "ConfigMap"), Some(&ground.namespace), "no-version")
        .await;
    // A real server calls it an error of its own, so that the kind of failure tells nothing: that it speaks of the version
    // does. A server that is away says nothing of it.
    match changes {
        Err(ReadFailure::Refused { message, .. } | ReadFailure::Unavailable { message, .. })
            if message.contains("no-version") => {}
        other => panic!("changes after no-version: {other:?}"),
    }
}

pub(super) async fn changes_of_all_namespaces_hold_each(world: &mut dyn Fixture) {
    let here = Ground::new(world, "changes-all").await;
    let there = Ground::new(world, "changes-all").await;
    let begin = here.list("ConfigMap").await.resource_version;
    here.make(&here.config_map("a", json!({}))).await;
    there.make(&there.config_map("b", json!({}))).await;
    world.settle(1).await;
    let kind = Kind::new("v1", "ConfigMap");
    let told = here.cluster.changes(&kind, None, &begin).await;
    let told = told.unwrap_or_else(|failure| panic!("changes after {begin}: {failure}"));
    let added: Vec<(&str, &str)> = told
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Added(object) => Some((object.namespace()?, object.name())),
            WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => None,
        })
        .filter(|(namespace, name)| {
            [&here.namespace, &there.namespace].iter().any(|own| own == namespace)
                && ["a", "b"].contains(name)
        })
        .collect();
    assert_eq!(added, [(here.namespace.as_str(), "a"), (there.namespace.as_str(), "b")]);
}

pub(super) async fn a_mark_of_deletion_is_told_as_a_change(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-mark").await;
    let object = ground.config_map("a", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.finalizers = vec!["example.com/hold".into()];
    ground.make(&object.with_metadata(metadata)).await;
    let begin = ground.list("ConfigMap").await.resource_version;
    delete(&ground, "a").await;
    let target = ground.name("ConfigMap", "a");
    accepted(ground.merge(&target, json!({"metadata": {"finalizers": null}})).await);
    world.settle(1).await;
    assert_eq!(changes(&ground, &begin).await.0, ["~a", "-a"]);
}

pub(super) async fn changes_of_the_status_are_told(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-status").await;
    ground.pod(world, "p").await;
    let begin = ground.list("Pod").await.resource_version;
    ground.serve(&ground.name("Pod", "p")).await;
    world.settle(1).await;
    let running = raw(&ground, "Pod", &begin).await.into_iter().any(|event| match event {
        WatchEvent::Modified(pod) => pod.at("/status/phase") == Some(&json!("Running")),
        WatchEvent::Added(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => false,
    });
    assert!(running, "the change of the status should be told");
}

pub(super) async fn what_is_applied_is_told(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-applied").await;
    let begin = ground.list("ConfigMap").await.resource_version;
    accepted(ground.apply(&ground.config_map("a", json!({"x": "1"}))).await);
    accepted(ground.apply(&ground.config_map("a", json!({"x": "2"}))).await);
    accepted(ground.apply(&ground.config_map("a", json!({"x": "2"}))).await);
    world.settle(1).await;
    assert_eq!(changes(&ground, &begin).await.0, ["+a", "~a"]);
}

pub(super) async fn a_list_is_where_changes_go_on_when_they_are_forgotten(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "changes-gone").await;
    ground.make(&ground.config_map("a", json!({}))).await;
    let kind = Kind::new("v1", "ConfigMap");
    match ground.cluster.changes(&kind, Some(&ground.namespace), "1").await {
        Err(ReadFailure::Gone) => {}
        // All is remembered from the beginning: then it is told.
        Ok(told) => assert!(
            told.iter()
                .any(|event| matches!(event, WatchEvent::Added(object) if object.name() == "a")),
            "{told:?}"
        ),
        Err(other) => panic!("changes from the beginning: {other}"),
    }
    let listed = ground.list("ConfigMap").await;
    ground.make(&ground.config_map("b", json!({}))).await;
    world.settle(1).await;
    assert_eq!(changes(&ground, &listed.resource_version).await.0, ["+b"]);
}
