use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, accepted};
use crate::{Digest, Object, WatchEvent};

/// `hunter2-very-secret`, in the two forms in which it could leak.
const VALUE: [&str; 2] = ["hunter2-very-secret", "aHVudGVyMi12ZXJ5LXNlY3JldA=="];

fn secret(ground: &Ground, name: &str, data: Value) -> Object {
    ground.object("Secret", name, json!({"type": "Opaque", "data": data}))
}

#[track_caller]
fn holds_no_value(object: &Object) {
    let text = object.to_value().to_string();
    for value in VALUE {
        assert!(!text.contains(value), "the value of a Secret came through: {text}");
    }
    assert!(
        object.at("/data/password").is_some_and(Value::is_string),
        "its keys come through: {text}"
    );
}

pub(super) async fn no_value_of_a_secret_comes_through(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "secret").await;
    let begin = ground.list("Secret").await.resource_version;
    let object = secret(&ground, "s", json!({"password": VALUE[1]}));
    let mut metadata = object.metadata().clone();
    let applied = object.to_value().to_string();
    metadata.annotations.insert("kubectl.kubernetes.io/last-applied-configuration".into(), applied);
    holds_no_value(&ground.make(&object.with_metadata(metadata)).await);
    holds_no_value(&ground.found(&ground.name("Secret", "s")).await);
    for listed in &ground.list("Secret").await.items {
        holds_no_value(listed);
    }
    let patched = ground
        .merge(&ground.name("Secret", "s"), json!({"metadata": {"labels": {"tier": "db"}}}))
        .await;
    holds_no_value(&accepted(patched));
    world.settle(1).await;
    let kind = crate::Kind::new("v1", "Secret");
    let changes = ground.cluster.changes(&kind, Some(&ground.namespace), &begin).await;
    let changes = changes.unwrap_or_else(|failure| panic!("changes of Secrets: {failure}"));
    let mut told = 0;
    for event in &changes {
        match event {
            WatchEvent::Added(object)
            | WatchEvent::Modified(object)
            | WatchEvent::Deleted(object)
                if object.name() == "s" =>
            {
                holds_no_value(object);
                told += 1;
            }
            WatchEvent::Added(_)
            | WatchEvent::Modified(_)
            | WatchEvent::Deleted(_)
            | WatchEvent::Bookmark(_) => {}
        }
    }
    assert_eq!(told, 2, "it was made and labelled");
}

pub(super) async fn equal_values_have_equal_digests_and_others_do_not(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "secret-digest").await;
    ground
        .make(&secret(
            &ground,
            "s",
            json!({"password": VALUE[1], "same": VALUE[1], "other": "b3RoZXI="}),
        ))
        .await;
    let stored = ground.found(&ground.name("Secret", "s")).await;
    let of =
        |key: &str| stored.at(&format!("/data/{key}")).and_then(Value::as_str).map(str::to_string);
    assert_eq!(of("password"), of("same"));
    assert_ne!(of("password"), of("other"));
    let digest: Digest =
        of("password").unwrap_or_default().parse().expect("a value comes through as a digest");
    for plain in [Digest::of(VALUE[0].as_bytes()), Digest::of(VALUE[1].as_bytes())] {
        assert_ne!(digest, plain, "a digest without a key lets anyone check a guess");
    }
}

pub(super) async fn a_change_beside_the_values_keeps_them(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "secret-kept").await;
    let made = ground.make(&secret(&ground, "s", json!({"password": VALUE[1]}))).await;
    let target = ground.name("Secret", "s");
    let labelled =
        accepted(ground.merge(&target, json!({"metadata": {"labels": {"tier": "db"}}})).await);
    assert_eq!(labelled.field("data"), made.field("data"), "the digest was not stored as a value");
    assert_eq!(ground.found(&target).await.field("data"), made.field("data"));
}
