use serde_json::json;

use super::Fixture;
use super::ground::{Ground, NOBODY, accepted};
use crate::{Consistency, Kind, ListQuery, LogQuery, ObjectRef, ReadFailure};

pub(super) async fn an_absent_object_is_not_found(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "absent").await;
    assert_eq!(ground.get(&ground.name("ConfigMap", "nothing")).await, None);
}

pub(super) async fn a_created_object_is_found(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "found").await;
    let made = ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    let found = ground.found(&ground.name("ConfigMap", "c")).await;
    assert_eq!(found, made, "what create answered is what a read shows");
    assert_eq!(found.at("/data/a"), Some(&json!("1")));
    assert_eq!(found.kind(), &Kind::new("v1", "ConfigMap"));
}

pub(super) async fn a_uid_names_one_incarnation(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "incarnation").await;
    let made = ground.make(&ground.config_map("c", json!({}))).await;
    let mut target = made.reference(ground.cluster.name());
    assert!(ground.get(&target).await.is_some(), "a reference with the right uid finds the object");
    target.uid = Some(NOBODY.into());
    assert_eq!(ground.get(&target).await, None, "a reference with another uid finds nothing");
}

pub(super) async fn a_cached_read_catches_up(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "cached").await;
    let target = ground.name("ConfigMap", "c");
    ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    let stored = accepted(ground.merge(&target, json!({"data": {"a": "2"}})).await);
    for _ in 0..12 {
        world.settle(5).await;
        let cached = ground
            .cluster
            .get(&target, Consistency::Cached)
            .await
            .unwrap_or_else(|failure| panic!("cached read: {failure}"));
        if cached.as_ref() == Some(&stored) {
            return;
        }
    }
    panic!("a cached read still does not show, a minute later, what is stored");
}

pub(super) async fn an_unknown_kind_shows_nothing(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "unknown-kind").await;
    let kind = Kind::new("nowhere.example.com/v1", "Nothing");
    let listed =
        ground.cluster.list(&ListQuery::latest(kind.clone(), Some(&ground.namespace))).await;
    assert!(
        matches!(listed, Err(ReadFailure::Refused { .. })),
        "a list of an unknown kind should be refused, not {listed:?}"
    );
    let target = ObjectRef {
        api_version: kind.api_version,
        kind: kind.kind,
        ..ground.name("ConfigMap", "c")
    };
    let got = ground.cluster.get(&target, Consistency::Latest).await;
    assert!(
        matches!(got, Ok(None) | Err(ReadFailure::Refused { .. })),
        "an object of an unknown kind: {got:?}"
    );
}

pub(super) async fn logs_of_an_unknown_pod_are_refused(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "logs").await;
    let query = LogQuery {
        pod: ground.name("Pod", "nobody"),
        container: "main".into(),
        previous: false,
        tail_lines: 10,
    };
    let logs = ground.cluster.logs(&query).await;
    assert!(
        matches!(logs, Err(ReadFailure::Refused { .. })),
        "logs of no pod should be refused, not {logs:?}"
    );
}

pub(super) async fn permissions_are_answered(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "may").await;
    let kind = Kind::new("v1", "ConfigMap");
    let ours = ground.cluster.may("get", &kind, Some(&ground.namespace)).await;
    assert_eq!(ours, Ok(true), "we read ConfigMaps all the time");
    let admin = ground.admin.may("create", &kind, Some(&ground.namespace)).await;
    assert_eq!(admin, Ok(true), "an administrator may");
}
