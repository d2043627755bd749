use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted};
use crate::{Digest, Object, WatchEvent};

/// `hunter2-very-secret`, in plain text and in base64.
const VALUE: [&str; 2] = ["hunter2-very-secret", "aHVudGVyMi12ZXJ5LXNlY3JldA=="];

fn secret(ns: &TestNamespace, name: &str, data: Value) -> Object {
    ns.object("Secret", name, json!({"type": "Opaque", "data": data}))
}

#[track_caller]
fn assert_redacted(object: &Object) {
    let text = object.to_value().to_string();
    for value in VALUE {
        assert!(!text.contains(value), "the value of a Secret is not redacted: {text}");
    }
    assert!(
        object.at("/data/password").is_some_and(Value::is_string),
        "the keys of a Secret are kept: {text}"
    );
}

pub(super) async fn secret_values_are_redacted(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "secret").await;
    let begin = ns.list("Secret").await.resource_version;
    let object = secret(&ns, "s", json!({"password": VALUE[1]}));
    let mut metadata = object.metadata().clone();
    let applied = object.to_value().to_string();
    metadata.annotations.insert("kubectl.kubernetes.io/last-applied-configuration".into(), applied);
    assert_redacted(&ns.create_as_admin(&object.with_metadata(metadata)).await);
    assert_redacted(&ns.get_existing(&ns.reference("Secret", "s")).await);
    for listed in &ns.list("Secret").await.items {
        assert_redacted(listed);
    }
    let patched = ns
        .merge(&ns.reference("Secret", "s"), json!({"metadata": {"labels": {"tier": "db"}}}))
        .await;
    assert_redacted(&accepted(patched));
    fixture.wait(1).await;
    let kind = crate::Kind::new("v1", "Secret");
    let changes = ns.cluster.watch_since(&kind, Some(&ns.namespace), &begin).await;
    let changes = changes.unwrap_or_else(|failure| panic!("changes of Secrets: {failure}"));
    let mut event_count = 0;
    for event in &changes {
        match event {
            WatchEvent::Added(object)
            | WatchEvent::Modified(object)
            | WatchEvent::Deleted(object)
                if object.name() == "s" =>
            {
                assert_redacted(object);
                event_count += 1;
            }
            WatchEvent::Added(_)
            | WatchEvent::Modified(_)
            | WatchEvent::Deleted(_)
            | WatchEvent::Bookmark(_) => {}
        }
    }
    assert_eq!(event_count, 2, "one event for the creation and one for the label");
}

pub(super) async fn secret_digests_reflect_equality(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "secret-digest").await;
    ns.create_as_admin(&secret(
        &ns,
        "s",
        json!({"password": VALUE[1], "same": VALUE[1], "other": "b3RoZXI="}),
    ))
    .await;
    let stored = ns.get_existing(&ns.reference("Secret", "s")).await;
    let of =
        |key: &str| stored.at(&format!("/data/{key}")).and_then(Value::as_str).map(str::to_string);
    assert_eq!(of("password"), of("same"));
    assert_ne!(of("password"), of("other"));
    let digest: Digest =
        of("password").unwrap_or_default().parse().expect("a redacted value is a digest");
    for plain in [Digest::of(VALUE[0].as_bytes()), Digest::of(VALUE[1].as_bytes())] {
        assert_ne!(digest, plain, "an unkeyed digest would allow guesses to be verified");
    }
}

pub(super) async fn metadata_patch_keeps_secret_values(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "secret-metadata").await;
    let created = ns.create_as_admin(&secret(&ns, "s", json!({"password": VALUE[1]}))).await;
    let target = ns.reference("Secret", "s");
    let labelled =
        accepted(ns.merge(&target, json!({"metadata": {"labels": {"tier": "db"}}})).await);
    assert_eq!(
        labelled.field("data"),
        created.field("data"),
        "the digest should not be stored as the value"
    );
    assert_eq!(ns.get_existing(&target).await.field("data"), created.field("data"));
}
