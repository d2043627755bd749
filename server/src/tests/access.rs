use std::collections::{BTreeMap, BTreeSet};

use api::OpenApiResponse;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::Value;

use super::harness::{HOST, ServerHarness, TOKEN};

fn with(host: Option<&str>, authorization: Option<&str>, path: &str) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(host) = host {
        request = request.header(header::HOST, host);
    }
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn all_routes_except_probes_require_the_token() {
    let server = ServerHarness::new().await;
    let mut open = BTreeSet::new();
    for route in operations(&server).await.into_keys() {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "x").replace("{step}", "x").replace("{name}", "x");
        let mut request = with(Some(HOST), None, &path);
        *request.method_mut() = method.parse().unwrap();
        let reply = server.send(request).await;
        if reply.status == StatusCode::OK {
            open.insert(route);
        } else {
            assert_eq!(reply.problem(), (401, "unauthorized"), "{route}");
            assert_eq!(reply.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    assert_eq!(open, BTreeSet::from(["GET /livez".into(), "GET /readyz".into()]));
    for path in ["/demo", "/nowhere"] {
        assert_eq!(server.send(with(Some(HOST), None, path)).await.problem().0, 401, "{path}");
    }
}

#[tokio::test]
async fn wrong_token_or_scheme_is_unauthorized() {
    let server = ServerHarness::new().await;
    for wrong in
        [format!("Bearer {TOKEN}x"), "Bearer ".into(), format!("Basic {TOKEN}"), TOKEN.into()]
    {
        let reply = server.send(with(Some(HOST), Some(&wrong), "/api/v1/alerts")).await;
        assert_eq!(reply.problem(), (401, "unauthorized"), "{wrong}");
        assert!(!reply.body.to_string().contains(TOKEN), "no secret is echoed");
    }
    let right = format!("bearer {TOKEN}");
    assert_eq!(
        server.send(with(Some(HOST), Some(&right), "/api/v1/alerts")).await.status,
        StatusCode::OK
    );
    assert_eq!(server.send(with(Some(HOST), Some(&right), "/demo")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn unknown_host_is_refused_even_with_the_token() {
    let server = ServerHarness::new().await;
    let right = format!("Bearer {TOKEN}");
    for host in [None, Some("evil.example"), Some("127.0.0.1:81"), Some("127.0.0.1")] {
        let reply = server.send(with(host, Some(&right), "/api/v1/alerts")).await;
        assert_eq!(reply.problem(), (421, "unknown_host"), "{host:?}");
    }
    // A kubelet probes by the address of the pod.
    assert_eq!(
        server.send(with(Some("10.0.0.7:8080"), None, "/readyz")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn unknown_route_or_method_returns_a_problem_document() {
    let server = ServerHarness::new().await;
    assert_eq!(server.get("/api/v1/nowhere").await.problem(), (404, "route_not_found"));
    assert_eq!(server.post("/api/v1/events", "").await.problem(), (405, "method_not_allowed"));
}

/// Returns the operations of the OpenAPI document by method and path.
async fn operations(server: &ServerHarness) -> BTreeMap<String, Value> {
    let document: OpenApiResponse =
        serde_json::from_value(server.get("/api/openapi.json").await.body).unwrap();
    let routes = document.paths.into_iter().flat_map(|(path, methods)| {
        methods.into_iter().map(move |(method, operation)| {
            (format!("{} {path}", method.to_uppercase()), operation)
        })
    });
    routes.collect()
}

/// Returns the routes in the tables of docs/http-api.md, without those that only the demo has.
fn documented_routes() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/http-api.md");
    let text = std::fs::read_to_string(path).unwrap();
    let routes = text.lines().filter_map(|line| {
        let route = line.strip_prefix("| `")?.split('`').next()?;
        let (method, path) = route.split_once(' ')?;
        let is_method = ["GET", "POST", "DELETE"].contains(&method);
        let path = path.split('?').next()?;
        (is_method && !path.starts_with("/api/v1/demo/")).then(|| format!("{method} {path}"))
    });
    routes.collect()
}

#[tokio::test]
async fn openapi_document_and_http_api_md_list_the_same_routes() {
    let server = ServerHarness::new().await;
    let document = server.get("/api/openapi.json").await.body;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let listed: BTreeSet<String> = operations(&server).await.into_keys().collect();
    assert!(listed.len() > 30, "{listed:#?}");
    assert_eq!(listed, documented_routes());
    // Every reference resolves.
    for reference in references(&document) {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

/// A schema that only says `type: object` describes nothing.
#[tokio::test]
async fn every_body_of_the_openapi_document_has_a_schema() {
    let server = ServerHarness::new().await;
    let document = server.get("/api/openapi.json").await.body;
    let resolve = |schema: &Value| {
        let mut schema = schema.clone();
        while let Some(location) = schema["$ref"].as_str() {
            schema = document.pointer(location.trim_start_matches('#')).unwrap().clone();
        }
        schema
    };
    for (route, operation) in operations(&server).await {
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{route}");
        let bodies = responses.iter().map(|(status, response)| (status.as_str(), response));
        let request = operation.get("requestBody").map(|body| ("request", body));
        for (name, body) in bodies.chain(request) {
            let content = body["content"].as_object().unwrap_or_else(|| panic!("{route} {name}"));
            assert!(!content.is_empty(), "{route} {name} has no body");
            for media_type in content.values() {
                let schema = resolve(&media_type["schema"]);
                let is_specific = ["properties", "items", "oneOf", "anyOf", "allOf"]
                    .iter()
                    .any(|keyword| schema.get(keyword).is_some());
                assert!(is_specific || schema["type"] == "string", "{route} {name}: {schema}");
            }
        }
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "$ref" => vec![text.clone()],
                value => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
