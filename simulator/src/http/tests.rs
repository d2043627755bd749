//! Tests of the server over TLS with a minimal client.

mod bad_input;
mod client;
mod rbac;
mod throughput;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{ClockSource, ServerHandle, ServerOptions, serve};
use crate::file::WorldFile;
use crate::world::{AlertMode, World};
use client::TestClient;

const WORLD: &str = "
apiVersion: chiron.dev/v1alpha1
kind: World
metadata: {name: small, description: One workload on one node.}
spec:
  objects:
  - {apiVersion: v1, kind: Node, metadata: {name: node-1}, status: {capacity: {cpu: '8', memory: 16Gi, pods: '110'}, conditions: [{type: Ready, status: 'True'}]}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: cart, namespace: shop, labels: {app: cart}}
    spec:
      replicas: 2
      selector: {matchLabels: {app: cart}}
      template:
        metadata: {labels: {app: cart}}
        spec: {containers: [{name: cart, image: 'registry.example/cart:1', ports: [{containerPort: 8080}]}]}
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: cart, namespace: shop, labels: {app: cart}}, data: {a: '1'}}
  - {apiVersion: v1, kind: Secret, metadata: {name: word, namespace: shop}, data: {word: aHVzaA==}}
  - {apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, namespace: shop}}
  images:
    registry.example/cart:1: {listens: [{port: 8080, paths: [/healthz]}], startup: 100ms, memoryMiB: 16, logs: [listening]}
";

/// A running server with a small, healthy world, and a client with the token of its kubeconfig.
struct ApiHarness {
    _handle: ServerHandle,
    world: Arc<Mutex<World>>,
    client: TestClient,
}

impl ApiHarness {
    async fn start() -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut world = World::new(&WorldFile::parse(WORLD).unwrap(), 1, start).unwrap();
        world.set_alert_mode(AlertMode::None);
        world.advance_fully(start + SignedDuration::from_mins(2));
        let world = Arc::new(Mutex::new(world));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = ServerOptions {
            name: "small".into(),
            clock: ClockSource::Wall { speed: 1.0 },
            delay: Duration::ZERO,
            change_hook: None,
        };
        let handle = serve(world.clone(), listener, options).unwrap();
        let client = TestClient::of(&handle);
        Self { _handle: handle, world, client }
    }

    /// Sends a request with a JSON body. Returns the status code and the JSON of the response.
    async fn request(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.send(method, path, &[("Content-Type", kind)], body.as_bytes()).await.json()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.request("GET", path, Value::Null).await
    }
}

const PODS: &str = "/api/v1/namespaces/shop/pods";
const MAPS: &str = "/api/v1/namespaces/shop/configmaps";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/cart";

#[tokio::test]
async fn discovery_is_served_aggregated_and_per_group() {
    let api = ApiHarness::start().await;
    let (code, groups) = api.get("/apis").await;
    assert_eq!((code, &groups["kind"]), (200, &json!("APIGroupList")));
    assert_eq!(
        groups["groups"][0]["preferredVersion"]["groupVersion"],
        "apiregistration.k8s.io/v1"
    );
    let (_, list) = api.get("/apis/apps/v1").await;
    let names: Vec<&str> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"deployments") && names.contains(&"deployments/scale"), "{names:?}");
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let response = api.client.send("GET", "/api", &[("Accept", accept)], b"").await;
    assert!(response.header("content-type").unwrap().contains("as=APIGroupDiscoveryList"));
    let (_, core) = response.json();
    assert_eq!(core["items"].as_array().unwrap().len(), 1);
    for path in [
        "/version",
        "/api/v1",
        "/apis/apps",
        "/openapi/v3",
        "/openapi/v3/apis/apps/v1",
        "/openapi/v3/api/v1",
    ] {
        assert_eq!(api.get(path).await.0, 200, "{path}");
    }
    for path in ["/livez", "/readyz", "/healthz"] {
        let response = api.client.anonymous().send("GET", path, &[], b"").await;
        assert_eq!((response.code, &*response.body), (200, &b"ok"[..]), "{path}");
    }
}

#[tokio::test]
async fn openapi_document_describes_fields() {
    let api = ApiHarness::start().await;
    let (_, document) = api.get("/openapi/v3/apis/apps/v1").await;
    let schemas = &document["components"]["schemas"];
    let spec = &schemas["io.k8s.api.apps.v1.DeploymentSpec"];
    assert_eq!(spec["properties"]["replicas"]["format"], "int32");
    assert_eq!(spec["required"], json!(["selector", "template"]));
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
}

#[tokio::test]
async fn object_is_created_read_patched_and_deleted() {
    let api = ApiHarness::start().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "1"}});
    let (code, created) = api.request("POST", MAPS, map.clone()).await;
    assert_eq!((code, &created["metadata"]["namespace"]), (201, &json!("shop")));
    let path = format!("{MAPS}/new");
    let (code, conflict) = api.request("POST", MAPS, map).await;
    assert_eq!(
        (code, &conflict["reason"], &conflict["details"]["name"]),
        (409, &json!("AlreadyExists"), &json!("new"))
    );
    let (code, changed) = api.request("PATCH", &path, json!({"data": {"b": "2"}})).await;
    assert_eq!((code, &changed["data"]), (200, &json!({"a": "1", "b": "2"})));
    let (code, stale) = api.request("PUT", &path, created).await;
    assert_eq!((code, &stale["reason"]), (409, &json!("Conflict")));
    let (code, dry) = api.request("DELETE", &format!("{path}?dryRun=All"), Value::Null).await;
    assert_eq!((code, &dry["status"]), (200, &json!("Success")));
    let (code, deleted) = api.request("DELETE", &path, Value::Null).await;
    assert_eq!(
        (code, &deleted["status"], &deleted["details"]["kind"]),
        (200, &json!("Success"), &json!("configmaps"))
    );
    assert!(deleted["details"]["uid"].is_string());
    let (code, absent) = api.get(&path).await;
    assert_eq!((code, &absent["message"]), (404, &json!("configmaps \"new\" not found")));
}

#[tokio::test]
async fn scale_and_eviction_subresources_work() {
    let api = ApiHarness::start().await;
    let (code, scale) = api.get(&format!("{DEPLOYMENT}/scale")).await;
    assert_eq!(
        (code, &scale["kind"], &scale["spec"]["replicas"]),
        (200, &json!("Scale"), &json!(2))
    );
    let (code, scaled) = api
        .request("PATCH", &format!("{DEPLOYMENT}/scale"), json!({"spec": {"replicas": 1}}))
        .await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(1)));
    let (_, pods) = api.get(PODS).await;
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let (code, evicted) = api.request("POST", &format!("{PODS}/{name}/eviction"), eviction).await;
    assert_eq!((code, &evicted["status"]), (201, &json!("Success")));
}

#[tokio::test]
async fn applied_scale_owns_the_replicas_field() {
    let api = ApiHarness::start().await;
    let apply = async |options: &str, replicas: u32| {
        let path = format!("{DEPLOYMENT}/scale?fieldManager={options}");
        let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "cart"}, "spec": {"replicas": replicas}});
        let kind = [("Content-Type", "application/apply-patch+yaml")];
        api.client.send("PATCH", &path, &kind, scale.to_string().as_bytes()).await.json()
    };
    // The initial manager owns the replicas, so the first apply needs `force`.
    let (code, scaled) = apply("first&force=true", 3).await;
    assert_eq!(
        (code, &scaled["kind"], &scaled["spec"]["replicas"]),
        (200, &json!("Scale"), &json!(3))
    );
    let (_, deployment) = api.get(DEPLOYMENT).await;
    assert_eq!(deployment["spec"]["replicas"], 3);
    let managers = deployment["metadata"]["managedFields"].as_array().unwrap();
    let first = managers.iter().find(|entry| entry["manager"] == "first").unwrap();
    assert_eq!(
        (&first["operation"], &first["subresource"], &first["fieldsV1"]),
        (&json!("Apply"), &json!("scale"), &json!({"f:spec": {"f:replicas": {}}}))
    );
    let (code, refused) = apply("second", 5).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["field"]),
        (409, &json!(".spec.replicas")),
        "{refused}"
    );
}

#[tokio::test]
async fn paged_list_has_one_resource_version() {
    let api = ApiHarness::start().await;
    for i in 0..5 {
        let map = json!({"metadata": {"name": format!("m{i}"), "labels": {"of": "pages"}}});
        assert_eq!(api.request("POST", MAPS, map).await.0, 201);
    }
    let (_, page) = api.get(&format!("{MAPS}?limit=4")).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
    assert_eq!(page["metadata"]["remainingItemCount"], 2);
    assert_eq!(api.request("DELETE", &format!("{MAPS}/m4"), Value::Null).await.0, 200);
    let token =
        page["metadata"]["continue"].as_str().unwrap().replace('=', "%3D").replace('+', "%2B");
    let (code, rest) = api.get(&format!("{MAPS}?limit=4&continue={token}")).await;
    assert_eq!(code, 200, "{rest}");
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest["metadata"]["resourceVersion"], page["metadata"]["resourceVersion"]);
    assert!(rest["items"][0].get("kind").is_none(), "items of a built-in list have no kind");
}

#[tokio::test]
async fn pod_table_has_the_columns_of_kubectl() {
    let api = ApiHarness::start().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let (code, table) = api.client.send("GET", PODS, &[("Accept", accept)], b"").await.json();
    assert_eq!((code, &table["kind"]), (200, &json!("Table")));
    let names: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "Name",
            "Ready",
            "Status",
            "Restarts",
            "Age",
            "IP",
            "Node",
            "Nominated Node",
            "Readiness Gates"
        ]
    );
    let row = &table["rows"][0];
    assert_eq!(
        row["cells"].as_array().unwrap()[1..4],
        [json!("1/1"), json!("Running"), json!("0")]
    );
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn pod_log_is_served_and_followed_until_deletion() {
    let api = ApiHarness::start().await;
    let (_, pods) = api.get(PODS).await;
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap().to_string();
    let log = api.client.send("GET", &format!("{PODS}/{name}/log?tailLines=1"), &[], b"").await;
    assert_eq!((log.code, log.text().as_str()), (200, "listening\n"));
    let path = format!("{PODS}/{name}/log?timestamps=true");
    let log = api.client.send("GET", &path, &[], b"").await;
    assert!(log.text().starts_with("2026-01-01T00:0"), "{}", log.text());
    let (code, wrong) = api.get(&format!("{PODS}/{name}/log?container=other")).await;
    assert_eq!((code, &wrong["reason"]), (400, &json!("BadRequest")));
    let (code, _) = api.get(&format!("{PODS}/{name}/log?previous=true")).await;
    assert_eq!(code, 400);
    let mut followed = api.client.open("GET", &format!("{PODS}/{name}/log?follow=true")).await;
    assert_eq!(followed.line().await.as_deref(), Some("listening"));
    let path = format!("{PODS}/{name}?gracePeriodSeconds=0");
    assert_eq!(api.request("DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(followed.line().await, None);
}

#[tokio::test]
async fn secrets_are_not_redacted_and_effects_are_counted() {
    let api = ApiHarness::start().await;
    let (_, secret) = api.get("/api/v1/namespaces/shop/secrets/word").await;
    assert_eq!(secret["data"]["word"], "aHVzaA==");
    let agent = "chiron/0.1.0 (run=run_1; step=s; key=sha256:ab; epoch=3)";
    let headers = [("User-Agent", agent), ("Content-Type", "application/merge-patch+json")];
    for value in ["2", "2"] {
        let patch = json!({"data": {"a": value}}).to_string();
        let response =
            api.client.send("PATCH", &format!("{MAPS}/cart"), &headers, patch.as_bytes()).await;
        assert_eq!(response.code, 200);
    }
    // A patch that changes nothing does not count as an effect.
    let (_, effects) = api.get("/chiron/effects").await;
    assert_eq!(effects["effects"], json!({"sha256:ab": 1}));
}
