//! Watches.

use serde_json::{Value, json};

use super::{House, MAPS};

fn told(events: &[Value]) -> Vec<String> {
    let name = |event: &Value| {
        event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_string()
    };
    events
        .iter()
        .map(|event| format!("{} {}", event["type"].as_str().unwrap_or_default(), name(event)))
        .collect()
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_a_version() {
    let house = House::open().await;
    let (_, list) = house.get(MAPS).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch =
        house.client.open("GET", &format!("{MAPS}?watch=1&resourceVersion={version}")).await;
    let map = json!({"metadata": {"name": "new"}, "data": {"a": "1"}});
    assert_eq!(house.ask("POST", MAPS, map).await.0, 201);
    assert_eq!(told(&watch.events().await), ["ADDED new"]);
    let path = format!("{MAPS}/new");
    assert_eq!(house.ask("PATCH", &path, json!({"data": {"a": "2"}})).await.0, 200);
    assert_eq!(told(&watch.events().await), ["MODIFIED new"]);
    assert_eq!(house.ask("DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(told(&watch.events().await), ["DELETED new"]);
}

#[tokio::test]
async fn a_watch_with_a_selector_tells_when_objects_begin_and_cease_to_match() {
    let house = House::open().await;
    let mut watch =
        house.client.open("GET", &format!("{MAPS}?watch=1&labelSelector=app%3Dcart")).await;
    assert_eq!(told(&watch.events().await), ["ADDED cart"]);
    let path = format!("{MAPS}/cart");
    assert_eq!(
        house.ask("PATCH", &path, json!({"metadata": {"labels": {"app": "other"}}})).await.0,
        200
    );
    assert_eq!(told(&watch.events().await), ["DELETED cart"]);
    assert_eq!(
        house.ask("PATCH", &path, json!({"metadata": {"labels": {"app": "cart"}}})).await.0,
        200
    );
    assert_eq!(told(&watch.events().await), ["ADDED cart"]);
}

#[tokio::test]
async fn a_watch_can_begin_with_all_that_is_there_and_says_where_that_ends() {
    let house = House::open().await;
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
    );
    let mut watch = house.client.open("GET", &path).await;
    let events = watch.events().await;
    let (last, objects) = events.split_last().unwrap();
    assert_eq!(told(objects), ["ADDED cart"]);
    assert_eq!(last["type"], "BOOKMARK");
    assert_eq!(last["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(watch.line().await, None, "it ends after a second");
}

#[tokio::test]
async fn a_watch_from_a_compacted_version_is_told_to_list_again() {
    let house = House::open().await;
    house.world.lock().unwrap().compact();
    let mut watch = house.client.open("GET", &format!("{MAPS}?watch=1&resourceVersion=1")).await;
    let events = watch.events().await;
    assert_eq!(events[0]["type"], "ERROR");
    assert_eq!(
        (&events[0]["object"]["code"], &events[0]["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert_eq!(watch.line().await, None);
}

#[tokio::test]
async fn a_watch_gives_tables_and_names_their_columns_once() {
    let house = House::open().await;
    let mut connection = house.client.connect().await;
    let accept = [("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let request = house.client.request("GET", &format!("{MAPS}?watch=1"), &accept, b"");
    connection.write(&request).await.unwrap();
    let head = connection.head_code().await;
    assert_eq!(head, 200);
    let events = connection.events().await;
    assert_eq!(events[0]["object"]["columnDefinitions"].as_array().unwrap().len(), 3);
    assert_eq!(
        house.ask("PATCH", &format!("{MAPS}/cart"), json!({"data": {"z": "1"}})).await.0,
        200
    );
    let events = connection.events().await;
    assert_eq!(events[0]["object"]["columnDefinitions"], Value::Null);
    assert_eq!(events[0]["object"]["rows"][0]["cells"][1], 2);
}
