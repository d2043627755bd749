use serde_json::json;

use super::Fixture;
use super::ground::{Ground, MINE, names, page};
use crate::{Kind, ListQuery, Mode, Object, Preconditions, ReadFailure, Reply, Selector, list_all};

async fn with_config_maps(world: &dyn Fixture, what: &str, names: &[&str]) -> Ground {
    let ground = Ground::new(world, what).await;
    for name in names {
        ground.make(&ground.config_map(name, json!({}))).await;
    }
    ground
}

pub(super) async fn a_list_holds_what_was_made_in_order_of_name(world: &mut dyn Fixture) {
    let ground = with_config_maps(world, "list", &["b", "a", "c", "a-1"]).await;
    let listed = ground.list("ConfigMap").await;
    assert_eq!(names(&listed.items), ["a", "a-1", "b", "c"]);
    assert_eq!(listed.continue_token, None);
    assert!(
        !listed.resource_version.is_empty(),
        "a list tells the version where its changes begin"
    );
    let first = ground.found(&ground.name("ConfigMap", "a")).await;
    assert_eq!(listed.items[0], first, "a list holds whole objects, type and all");
}

pub(super) async fn a_list_keeps_to_its_namespace(world: &mut dyn Fixture) {
    let here = with_config_maps(world, "list-here", &["a"]).await;
    with_config_maps(world, "list-there", &["b"]).await;
    assert_eq!(names(&here.list("ConfigMap").await.items), ["a"]);
}

pub(super) async fn a_list_of_all_namespaces_holds_each(world: &mut dyn Fixture) {
    let first = with_config_maps(world, "list-all-1", &["a"]).await;
    let second = with_config_maps(world, "list-all-2", &["a"]).await;
    // Page by page, whichever page each is on.
    let query = ListQuery {
        selector: Some(Selector::of_labels([MINE])),
        limit: Some(1),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), None)
    };
    let listed = list_all(&*first.cluster, query).await.expect("the whole list is read");
    let namespaces: Vec<&str> = listed.iter().filter_map(Object::namespace).collect();
    for ground in [&first, &second] {
        assert!(namespaces.contains(&&*ground.namespace), "{} is missing", ground.namespace);
    }
}

pub(super) async fn a_list_selects_by_labels(world: &mut dyn Fixture) {
    let ground = with_config_maps(world, "list-labels", &["a"]).await;
    let mut labelled = ground.config_map("b", json!({})).metadata().clone();
    labelled.labels.insert("tier".into(), "web".into());
    ground.make(&ground.config_map("b", json!({})).with_metadata(labelled)).await;
    assert_eq!(
        names(
            &ground.list_by("ConfigMap", Selector::of_labels([MINE, ("tier", "web")])).await.items
        ),
        ["b"]
    );
    assert_eq!(
        names(
            &ground.list_by("ConfigMap", Selector::of_labels([MINE, ("tier", "db")])).await.items
        ),
        [""; 0]
    );
}

pub(super) async fn a_list_selects_by_expressions(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "list-expressions").await;
    for (name, tier) in [("a", None), ("b", Some("web")), ("c", Some("db"))] {
        let object = ground.config_map(name, json!({}));
        let mut metadata = object.metadata().clone();
        metadata.labels.extend(tier.map(|tier| ("tier".to_string(), tier.to_string())));
        ground.make(&object.with_metadata(metadata)).await;
    }
    for (text, expected) in [
        ("contract=mine,tier", vec!["b", "c"]),
        ("contract=mine,!tier", vec!["a"]),
        ("contract=mine,tier in (web,db)", vec!["b", "c"]),
        ("contract=mine,tier notin (web)", vec!["a", "c"]),
        ("contract=mine,tier!=db", vec!["a", "b"]),
    ] {
        let selector: Selector = text.parse().expect("written by hand");
        assert_eq!(names(&ground.list_by("ConfigMap", selector).await.items), expected, "{text}");
    }
}

pub(super) async fn an_empty_list_is_no_failure(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "list-empty").await;
    let listed = ground.list("Service").await;
    assert_eq!(names(&listed.items), [""; 0]);
    assert!(!listed.resource_version.is_empty());
}

pub(super) async fn pages_are_bounded_and_lose_nothing(world: &mut dyn Fixture) {
    let ground = with_config_maps(world, "list-pages", &["a", "b", "c", "d", "e"]).await;
    let mut query = ListQuery {
        selector: Some(Selector::of_labels([MINE])),
        limit: Some(2),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&ground.namespace))
    };
    let mut seen = Vec::new();
    for _ in 0..10 {
        let listed = page(&*ground.cluster, &query).await;
        assert!(listed.items.len() <= 2, "a page of at most 2 holds {}", listed.items.len());
        seen.extend(listed.items.iter().map(|object| object.name().to_string()));
        query.continue_token = listed.continue_token;
        if query.continue_token.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        ["a", "b", "c", "d", "e"],
        "all pages together hold every object once, in order"
    );
}

pub(super) async fn pages_show_one_moment(world: &mut dyn Fixture) {
    let ground = with_config_maps(world, "list-moment", &["a", "b", "c", "d", "e"]).await;
    let mut query = ListQuery {
        selector: Some(Selector::of_labels([MINE])),
        limit: Some(2),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&ground.namespace))
    };
    let first = page(&*ground.cluster, &query).await;
    let mut seen: Vec<String> =
        names(&first.items).iter().map(|name| (*name).to_string()).collect();
    let gone = ground.name("ConfigMap", "d");
    assert_eq!(ground.delete(&gone, Preconditions::default(), Mode::Apply).await, Reply::Deleted);
    ground.make(&ground.config_map("c-1", json!({}))).await;
    query.continue_token = first.continue_token;
    assert!(query.continue_token.is_some(), "more follows");
    while query.continue_token.is_some() {
        let next = page(&*ground.cluster, &query).await;
        assert_eq!(next.resource_version, first.resource_version, "all pages are of one version");
        seen.extend(next.items.iter().map(|object| object.name().to_string()));
        query.continue_token = next.continue_token;
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"], "what happened meanwhile is not seen");
}

pub(super) async fn a_token_that_is_none_is_refused(world: &mut dyn Fixture) {
    let ground = with_config_maps(world, "list-token", &["a"]).await;
    let query = ListQuery {
        continue_token: Some("no-token".into()),
        ..ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&ground.namespace))
    };
    let listed = ground.cluster.list(&query).await;
    assert!(
        matches!(listed, Err(ReadFailure::Refused { code: 400, .. } | ReadFailure::Gone)),
        "{listed:?}"
    );
}
