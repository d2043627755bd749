use serde_json::json;

use super::Fixture;
use super::test_namespace::{CONTRACT_LABEL, TestNamespace, names, page};
use crate::{
    Kind, ListQuery, Mode, Object, Preconditions, ReadFailure, Selector, WriteReply, list_all,
};

async fn with_config_maps(fixture: &dyn Fixture, what: &str, names: &[&str]) -> TestNamespace {
    let ns = TestNamespace::new(fixture, what).await;
    for name in names {
        ns.create_as_admin(&ns.config_map(name, json!({}))).await;
    }
    ns
}

pub(super) async fn list_returns_objects_sorted_by_name(fixture: &mut dyn Fixture) {
    let ns = with_config_maps(fixture, "list", &["b", "a", "c", "a-1"]).await;
    let listed = ns.list("ConfigMap").await;
    assert_eq!(names(&listed.items), ["a", "a-1", "b", "c"]);
    assert_eq!(listed.continue_token, None);
    assert!(
        !listed.resource_version.is_empty(),
        "a list has a resource version, from which a watch can start"
    );
    let first = ns.get_existing(&ns.reference("ConfigMap", "a")).await;
    assert_eq!(listed.items[0], first, "list items include `apiVersion` and `kind`");
}

pub(super) async fn list_is_limited_to_its_namespace(fixture: &mut dyn Fixture) {
    let here = with_config_maps(fixture, "list-here", &["a"]).await;
    with_config_maps(fixture, "list-there", &["b"]).await;
    assert_eq!(names(&here.list("ConfigMap").await.items), ["a"]);
}

pub(super) async fn list_without_namespace_covers_all_namespaces(fixture: &mut dyn Fixture) {
    let first = with_config_maps(fixture, "list-all-1", &["a"]).await;
    let second = with_config_maps(fixture, "list-all-2", &["a"]).await;
    // Reads all pages: each object may be on any page.
    let query = ListQuery {
        selector: Some(Selector::of_labels([CONTRACT_LABEL])),
        limit: Some(1),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), None)
    };
    let listed = list_all(&*first.cluster, query).await.expect("all pages should be readable");
    let namespaces: Vec<&str> = listed.iter().filter_map(Object::namespace).collect();
    for ns in [&first, &second] {
        assert!(namespaces.contains(&&*ns.namespace), "{} is missing", ns.namespace);
    }
}

pub(super) async fn list_filters_by_label(fixture: &mut dyn Fixture) {
    let ns = with_config_maps(fixture, "list-labels", &["a"]).await;
    let mut labelled = ns.config_map("b", json!({})).metadata().clone();
    labelled.labels.insert("tier".into(), "web".into());
    ns.create_as_admin(&ns.config_map("b", json!({})).with_metadata(labelled)).await;
    assert_eq!(
        names(
            &ns.list_by("ConfigMap", Selector::of_labels([CONTRACT_LABEL, ("tier", "web")]))
                .await
                .items
        ),
        ["b"]
    );
    assert_eq!(
        names(
            &ns.list_by("ConfigMap", Selector::of_labels([CONTRACT_LABEL, ("tier", "db")]))
                .await
                .items
        ),
        [""; 0]
    );
}

pub(super) async fn list_filters_by_label_expression(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "list-expressions").await;
    for (name, tier) in [("a", None), ("b", Some("web")), ("c", Some("db"))] {
        let object = ns.config_map(name, json!({}));
        let mut metadata = object.metadata().clone();
        metadata.labels.extend(tier.map(|tier| ("tier".to_string(), tier.to_string())));
        ns.create_as_admin(&object.with_metadata(metadata)).await;
    }
    for (text, expected) in [
        ("contract=mine,tier", vec!["b", "c"]),
        ("contract=mine,!tier", vec!["a"]),
        ("contract=mine,tier in (web,db)", vec!["b", "c"]),
        ("contract=mine,tier notin (web)", vec!["a", "c"]),
        ("contract=mine,tier!=db", vec!["a", "b"]),
    ] {
        let selector: Selector = text.parse().expect("the selector is valid");
        assert_eq!(names(&ns.list_by("ConfigMap", selector).await.items), expected, "{text}");
    }
}

pub(super) async fn list_without_matches_is_empty(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "list-empty").await;
    let listed = ns.list("Service").await;
    assert_eq!(names(&listed.items), [""; 0]);
    assert!(!listed.resource_version.is_empty());
}

pub(super) async fn list_pages_respect_limit_and_are_complete(fixture: &mut dyn Fixture) {
    let ns = with_config_maps(fixture, "list-pages", &["a", "b", "c", "d", "e"]).await;
    let mut query = ListQuery {
        selector: Some(Selector::of_labels([CONTRACT_LABEL])),
        limit: Some(2),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&ns.namespace))
    };
    let mut seen = Vec::new();
    for _ in 0..10 {
        let listed = page(&*ns.cluster, &query).await;
        assert!(listed.items.len() <= 2, "a page with limit 2 contains {}", listed.items.len());
        seen.extend(listed.items.iter().map(|object| object.name().to_string()));
        query.continue_token = listed.continue_token;
        if query.continue_token.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        ["a", "b", "c", "d", "e"],
        "all pages together should contain every object once, in order"
    );
}

pub(super) async fn list_pages_are_one_snapshot(fixture: &mut dyn Fixture) {
    let ns = with_config_maps(fixture, "list-snapshot", &["a", "b", "c", "d", "e"]).await;
    let mut query = ListQuery {
        selector: Some(Selector::of_labels([CONTRACT_LABEL])),
        limit: Some(2),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&ns.namespace))
    };
    let first = page(&*ns.cluster, &query).await;
    let mut seen: Vec<String> =
        names(&first.items).iter().map(|name| (*name).to_string()).collect();
    let deleted = ns.reference("ConfigMap", "d");
    assert_eq!(
        ns.delete(&deleted, Preconditions::default(), Mode::Commit).await,
        WriteReply::Deleted
    );
    ns.create_as_admin(&ns.config_map("c-1", json!({}))).await;
    query.continue_token = first.continue_token;
    assert!(query.continue_token.is_some(), "there should be another page");
    while query.continue_token.is_some() {
        let next = page(&*ns.cluster, &query).await;
        assert_eq!(next.resource_version, first.resource_version, "all pages are of one version");
        seen.extend(next.items.iter().map(|object| object.name().to_string()));
        query.continue_token = next.continue_token;
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"], "later changes should not be visible");
}

pub(super) async fn list_rejects_invalid_continue_token(fixture: &mut dyn Fixture) {
    let ns = with_config_maps(fixture, "list-token", &["a"]).await;
    let query = ListQuery {
        continue_token: Some("no-token".into()),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&ns.namespace))
    };
    let listed = ns.cluster.list(&query).await;
    assert!(
        matches!(listed, Err(ReadFailure::Refused { code: 400, .. } | ReadFailure::Gone)),
        "{listed:?}"
    );
}
