use serde_json::json;

use super::Fixture;
use super::test_namespace::{TestNamespace, UNKNOWN_UID, accepted};
use crate::{Consistency, Kind, ListQuery, LogQuery, ObjectRef, ReadFailure};

pub(super) async fn get_missing_object_returns_none(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "absent").await;
    assert_eq!(ns.get(&ns.reference("ConfigMap", "nothing")).await, None);
}

pub(super) async fn get_returns_created_object(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "found").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    let found = ns.get_existing(&ns.reference("ConfigMap", "c")).await;
    assert_eq!(found, created, "a read should return the object that the create returned");
    assert_eq!(found.at("/data/a"), Some(&json!("1")));
    assert_eq!(found.kind(), &Kind::new("v1", "ConfigMap"));
}

pub(super) async fn get_with_other_uid_returns_none(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "other-uid").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({}))).await;
    let mut target = created.reference(ns.cluster.name());
    assert!(
        ns.get(&target).await.is_some(),
        "a reference with the right uid should find the object"
    );
    target.uid = Some(UNKNOWN_UID.into());
    assert_eq!(ns.get(&target).await, None, "a reference with another uid should find nothing");
}

pub(super) async fn cached_get_eventually_returns_latest(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "cached").await;
    let target = ns.reference("ConfigMap", "c");
    ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    let stored = accepted(ns.merge(&target, json!({"data": {"a": "2"}})).await);
    for _ in 0..12 {
        fixture.wait(5).await;
        let cached = ns
            .cluster
            .get(&target, Consistency::Cached)
            .await
            .unwrap_or_else(|failure| panic!("cached read: {failure}"));
        if cached.as_ref() == Some(&stored) {
            return;
        }
    }
    panic!("a cached read does not return the stored object after one minute");
}

pub(super) async fn reads_of_unknown_kind_are_refused(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "unknown-kind").await;
    let kind = Kind::new("nowhere.example.com/v1", "Nothing");
    let listed = ns.cluster.list(&ListQuery::latest(kind.clone(), Some(&ns.namespace))).await;
    assert!(
        matches!(listed, Err(ReadFailure::Refused { .. })),
        "a list of an unknown kind should be refused, not {listed:?}"
    );
    let target = ObjectRef {
        api_version: kind.api_version,
        kind: kind.kind,
        ..ns.reference("ConfigMap", "c")
    };
    let got = ns.cluster.get(&target, Consistency::Latest).await;
    assert!(
        matches!(got, Ok(None) | Err(ReadFailure::Refused { .. })),
        "an object of an unknown kind: {got:?}"
    );
}

pub(super) async fn logs_of_missing_pod_are_refused(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "logs").await;
    let query = LogQuery {
        pod: ns.reference("Pod", "missing"),
        container: "main".into(),
        previous: false,
        tail_lines: 10,
    };
    let logs = ns.cluster.logs(&query).await;
    assert!(
        matches!(logs, Err(ReadFailure::Refused { .. })),
        "logs of a missing pod should be refused, not {logs:?}"
    );
}

pub(super) async fn can_i_returns_own_permissions(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "can-i").await;
    let kind = Kind::new("v1", "ConfigMap");
    let chiron = ns.cluster.can_i("get", &kind, Some(&ns.namespace)).await;
    assert_eq!(chiron, Ok(true), "Chiron can read ConfigMaps");
    let admin = ns.admin.can_i("create", &kind, Some(&ns.namespace)).await;
    assert_eq!(admin, Ok(true), "an administrator can create ConfigMaps");
}
