use serde_json::json;

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted, refused};
use crate::{Kind, Mode, Object, Preconditions, ReadFailure, Verb, WatchEvent, WriteReply};

/// Returns the changes of the ConfigMaps that the test created, as `+name`, `~name` and `-name`, and the last version.
async fn changes_since(ns: &TestNamespace, after: &str) -> (Vec<String>, Option<String>) {
    let (mut events, mut version) = (Vec::new(), None);
    for event in watch_events(ns, "ConfigMap", after).await {
        let (sign, object) = match event {
            WatchEvent::Added(object) => ('+', object),
            WatchEvent::Modified(object) => ('~', object),
            WatchEvent::Deleted(object) => ('-', object),
            WatchEvent::Bookmark(_) => continue,
        };
        assert_eq!(
            object.namespace(),
            Some(ns.namespace.as_str()),
            "a change of another namespace"
        );
        assert_eq!(object.kind().kind, "ConfigMap", "a change of another kind");
        version = Some(object.metadata().resource_version.clone());
        if is_mine(&object) {
            events.push(format!("{sign}{}", object.name()));
        }
    }
    (events, version)
}

fn is_mine(object: &Object) -> bool {
    object.metadata().labels.contains_key(super::test_namespace::CONTRACT_LABEL.0)
}

async fn watch_events(ns: &TestNamespace, kind: &str, after: &str) -> Vec<WatchEvent> {
    let kind = Kind::builtin(kind).expect("contract tests use built-in kinds only");
    let changes = ns.cluster.watch_since(&kind, Some(&ns.namespace), after).await;
    changes.unwrap_or_else(|failure| panic!("changes after {after}: {failure}"))
}

async fn delete(ns: &TestNamespace, name: &str) {
    let reply =
        ns.delete(&ns.reference("ConfigMap", name), Preconditions::default(), Mode::Commit).await;
    assert_eq!(reply, WriteReply::Deleted);
}

pub(super) async fn watch_delivers_each_change_once_in_order(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes").await;
    ns.create_as_admin(&ns.config_map("before", json!({}))).await;
    let begin = ns.list("ConfigMap").await.resource_version;
    ns.create_as_admin(&ns.config_map("a", json!({}))).await;
    ns.create_as_admin(&ns.config_map("b", json!({}))).await;
    accepted(ns.merge(&ns.reference("ConfigMap", "a"), json!({"data": {"x": "1"}})).await);
    accepted(ns.merge(&ns.reference("ConfigMap", "a"), json!({"data": {"x": "2"}})).await);
    delete(&ns, "b").await;
    accepted(ns.merge(&ns.reference("ConfigMap", "before"), json!({"data": {"x": "1"}})).await);
    fixture.wait(1).await;
    let (events, _) = changes_since(&ns, &begin).await;
    assert_eq!(events, ["+a", "+b", "~a", "~a", "-b", "~before"]);
    let (again, _) = changes_since(&ns, &begin).await;
    assert_eq!(again, events, "a second watch from the same version delivers the same changes");
}

pub(super) async fn watch_resumes_after_last_version(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-on").await;
    let begin = ns.list("ConfigMap").await.resource_version;
    ns.create_as_admin(&ns.config_map("a", json!({}))).await;
    fixture.wait(1).await;
    let (events, last) = changes_since(&ns, &begin).await;
    assert_eq!(events, ["+a"]);
    let last = last.expect("a change has a version");
    accepted(ns.merge(&ns.reference("ConfigMap", "a"), json!({"data": {"x": "1"}})).await);
    delete(&ns, "a").await;
    fixture.wait(1).await;
    let (events, last) = changes_since(&ns, &last).await;
    assert_eq!(events, ["~a", "-a"], "delivered changes are not repeated");
    let (events, _) = changes_since(&ns, &last.expect("a change has a version")).await;
    assert_eq!(events, [""; 0]);
}

pub(super) async fn watch_is_limited_to_namespace_and_kind(fixture: &mut dyn Fixture) {
    let here = TestNamespace::new(fixture, "changes-here").await;
    let there = TestNamespace::new(fixture, "changes-there").await;
    let begin = here.list("ConfigMap").await.resource_version;
    there.create_as_admin(&there.config_map("b", json!({}))).await;
    here.create_as_admin(&here.deployment("d")).await;
    here.create_as_admin(&here.config_map("a", json!({}))).await;
    fixture.wait(1).await;
    assert_eq!(changes_since(&here, &begin).await.0, ["+a"]);
    let deployments = watch_events(&here, "Deployment", &begin).await;
    assert!(
        deployments
            .iter()
            .any(|event| matches!(event, WatchEvent::Added(object) if object.name() == "d"))
    );
}

pub(super) async fn watch_omits_no_ops_and_dry_runs(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-none").await;
    ns.create_as_admin(&ns.config_map("a", json!({"x": "1"}))).await;
    let begin = ns.list("ConfigMap").await.resource_version;
    let target = ns.reference("ConfigMap", "a");
    accepted(ns.merge(&target, json!({"data": {"x": "1"}})).await);
    refused(&ns.merge(&target, json!({"data": {"x": 2}})).await);
    let verb =
        Verb::Patch { patch: crate::Patch::Merge(json!({"data": {"x": "2"}})), subresource: None };
    accepted(ns.send(&target, verb, Preconditions::default(), Mode::DryRun).await);
    accepted(ns.create(&ns.config_map("b", json!({})), Mode::DryRun).await);
    assert_eq!(
        ns.delete(&target, Preconditions::default(), Mode::DryRun).await,
        WriteReply::Deleted
    );
    fixture.wait(1).await;
    assert_eq!(changes_since(&ns, &begin).await.0, [""; 0]);
}

pub(super) async fn deleted_event_contains_last_state(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-last").await;
    let created = ns.create_as_admin(&ns.config_map("a", json!({"x": "1"}))).await;
    let begin = ns.list("ConfigMap").await.resource_version;
    delete(&ns, "a").await;
    fixture.wait(1).await;
    let events = watch_events(&ns, "ConfigMap", &begin).await;
    let deleted = events.iter().find_map(|event| match event {
        WatchEvent::Deleted(object) if object.name() == "a" => Some(object),
        WatchEvent::Deleted(_)
        | WatchEvent::Added(_)
        | WatchEvent::Modified(_)
        | WatchEvent::Bookmark(_) => None,
    });
    let deleted = deleted.expect("the deletion should be delivered");
    assert_eq!(deleted.metadata().uid, created.metadata().uid);
    assert_eq!(deleted.field("data"), created.field("data"));
}

pub(super) async fn watch_rejects_invalid_version(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-unreadable").await;
    let changes = ns
        .cluster
        .watch_since(&Kind::new("v1", "ConfigMap"), Some(&ns.namespace), "no-version")
        .await;
    // A real server reports this as an internal error, so the kind of failure is not checked. The message has to contain
    // the version, which distinguishes it from the message about an unreachable server.
    match changes {
        Err(ReadFailure::Refused { message, .. } | ReadFailure::Unavailable { message, .. })
            if message.contains("no-version") => {}
        other => panic!("changes after no-version: {other:?}"),
    }
}

pub(super) async fn watch_without_namespace_covers_all_namespaces(fixture: &mut dyn Fixture) {
    let here = TestNamespace::new(fixture, "changes-all").await;
    let there = TestNamespace::new(fixture, "changes-all").await;
    let begin = here.list("ConfigMap").await.resource_version;
    here.create_as_admin(&here.config_map("a", json!({}))).await;
    there.create_as_admin(&there.config_map("b", json!({}))).await;
    fixture.wait(1).await;
    let kind = Kind::new("v1", "ConfigMap");
    let events = here.cluster.watch_since(&kind, None, &begin).await;
    let events = events.unwrap_or_else(|failure| panic!("changes after {begin}: {failure}"));
    let added: Vec<(&str, &str)> = events
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

pub(super) async fn watch_reports_deletion_timestamp_as_modified(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-terminating").await;
    let object = ns.config_map("a", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.finalizers = vec!["example.com/hold".into()];
    ns.create_as_admin(&object.with_metadata(metadata)).await;
    let begin = ns.list("ConfigMap").await.resource_version;
    delete(&ns, "a").await;
    let target = ns.reference("ConfigMap", "a");
    accepted(ns.merge(&target, json!({"metadata": {"finalizers": null}})).await);
    fixture.wait(1).await;
    assert_eq!(changes_since(&ns, &begin).await.0, ["~a", "-a"]);
}

pub(super) async fn watch_reports_status_changes(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-status").await;
    ns.pod(fixture, "p").await;
    let begin = ns.list("Pod").await.resource_version;
    ns.mark_pod_ready(&ns.reference("Pod", "p")).await;
    fixture.wait(1).await;
    let running = watch_events(&ns, "Pod", &begin).await.into_iter().any(|event| match event {
        WatchEvent::Modified(pod) => pod.at("/status/phase") == Some(&json!("Running")),
        WatchEvent::Added(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => false,
    });
    assert!(running, "the status change should be delivered");
}

pub(super) async fn watch_reports_applied_changes(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-applied").await;
    let begin = ns.list("ConfigMap").await.resource_version;
    accepted(ns.apply(&ns.config_map("a", json!({"x": "1"}))).await);
    accepted(ns.apply(&ns.config_map("a", json!({"x": "2"}))).await);
    accepted(ns.apply(&ns.config_map("a", json!({"x": "2"}))).await);
    fixture.wait(1).await;
    assert_eq!(changes_since(&ns, &begin).await.0, ["+a", "~a"]);
}

pub(super) async fn watch_resumes_from_list_after_expired_version(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "changes-expired").await;
    ns.create_as_admin(&ns.config_map("a", json!({}))).await;
    let kind = Kind::new("v1", "ConfigMap");
    match ns.cluster.watch_since(&kind, Some(&ns.namespace), "1").await {
        Err(ReadFailure::Gone) => {}
        // The cluster keeps its whole history, so the change is delivered.
        Ok(events) => assert!(
            events
                .iter()
                .any(|event| matches!(event, WatchEvent::Added(object) if object.name() == "a")),
            "{events:?}"
        ),
        Err(other) => panic!("changes since version 1: {other}"),
    }
    let listed = ns.list("ConfigMap").await;
    ns.create_as_admin(&ns.config_map("b", json!({}))).await;
    fixture.wait(1).await;
    assert_eq!(changes_since(&ns, &listed.resource_version).await.0, ["+b"]);
}
