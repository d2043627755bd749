//! Watches.

use serde_json::{Value, json};

use super::{ApiHarness, MAPS};

fn describe(events: &[Value]) -> Vec<String> {
    let name = |event: &Value| {
        event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_string()
    };
    events
        .iter()
        .map(|event| format!("{} {}", event["type"].as_str().unwrap_or_default(), name(event)))
        .collect()
}

#[tokio::test]
async fn watch_sends_changes_after_the_version() {
    let api = ApiHarness::start().await;
    let (_, list) = api.get(MAPS).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch =
        api.client.open("GET", &format!("{MAPS}?watch=1&resourceVersion={version}")).await;
    let map = json!({"metadata": {"name": "new"}, "data": {"a": "1"}});
    assert_eq!(api.request("POST", MAPS, map).await.0, 201);
    assert_eq!(describe(&watch.events().await), ["ADDED new"]);
    let path = format!("{MAPS}/new");
    assert_eq!(api.request("PATCH", &path, json!({"data": {"a": "2"}})).await.0, 200);
    assert_eq!(describe(&watch.events().await), ["MODIFIED new"]);
    assert_eq!(api.request("DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(describe(&watch.events().await), ["DELETED new"]);
}

#[tokio::test]
async fn selector_watch_reports_objects_entering_and_leaving() {
    let api = ApiHarness::start().await;
    let mut watch =
        api.client.open("GET", &format!("{MAPS}?watch=1&labelSelector=app%3Dcart")).await;
    assert_eq!(describe(&watch.events().await), ["ADDED cart"]);
    let path = format!("{MAPS}/cart");
    assert_eq!(
        api.request("PATCH", &path, json!({"metadata": {"labels": {"app": "other"}}})).await.0,
        200
    );
    assert_eq!(describe(&watch.events().await), ["DELETED cart"]);
    assert_eq!(
        api.request("PATCH", &path, json!({"metadata": {"labels": {"app": "cart"}}})).await.0,
        200
    );
    assert_eq!(describe(&watch.events().await), ["ADDED cart"]);
}

#[tokio::test]
async fn watch_with_initial_events_ends_them_with_a_bookmark() {
    let api = ApiHarness::start().await;
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
    );
    let mut watch = api.client.open("GET", &path).await;
    let events = watch.events().await;
    let (last, objects) = events.split_last().unwrap();
    assert_eq!(describe(objects), ["ADDED cart"]);
    assert_eq!(last["type"], "BOOKMARK");
    assert_eq!(last["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(watch.line().await, None, "the watch ends after one second");
}

#[tokio::test]
async fn watch_from_compacted_version_returns_expired() {
    let api = ApiHarness::start().await;
    api.world.lock().unwrap().compact();
    let mut watch = api.client.open("GET", &format!("{MAPS}?watch=1&resourceVersion=1")).await;
    let events = watch.events().await;
    assert_eq!(events[0]["type"], "ERROR");
    assert_eq!(
        (&events[0]["object"]["code"], &events[0]["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert_eq!(watch.line().await, None);
}

#[tokio::test]
async fn table_watch_sends_column_definitions_once() {
    let api = ApiHarness::start().await;
    let mut connection = api.client.connect().await;
    let accept = [("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let request = api.client.request("GET", &format!("{MAPS}?watch=1"), &accept, b"");
    connection.write(&request).await.unwrap();
    let head = connection.head_code().await;
    assert_eq!(head, 200);
    let events = connection.events().await;
    assert_eq!(events[0]["object"]["columnDefinitions"].as_array().unwrap().len(), 3);
    assert_eq!(
        api.request("PATCH", &format!("{MAPS}/cart"), json!({"data": {"z": "1"}})).await.0,
        200
    );
    let events = connection.events().await;
    assert_eq!(events[0]["object"]["columnDefinitions"], Value::Null);
    assert_eq!(events[0]["object"]["rows"][0]["cells"][1], 2);
}
