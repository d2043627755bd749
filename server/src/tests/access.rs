use std::collections::BTreeSet;

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
    let document = crate::openapi();
    let mut guarded = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "x").replace("{step}", "x").replace("{name}", "x");
        for method in methods.as_object().unwrap().keys() {
            let mut request = with(Some(HOST), None, &path);
            *request.method_mut() = method.to_uppercase().parse().unwrap();
            let reply = server.send(request).await;
            if ["/livez", "/readyz"].contains(&path.as_str()) {
                assert_eq!(reply.status, StatusCode::OK);
            } else {
                assert_eq!(reply.problem(), (401, "unauthorized"), "{method} {path}");
                assert_eq!(reply.headers[header::WWW_AUTHENTICATE], "Bearer");
                guarded += 1;
            }
        }
    }
    assert_eq!(guarded, 36);
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

#[tokio::test]
async fn openapi_document_lists_all_routes() {
    let server = ServerHarness::new().await;
    let document = server.get("/api/openapi.json").await.body;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let listed: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "get /api/openapi.json",
        "get /livez",
        "get /readyz",
        "post /api/v1/ingest/alertmanager",
        "get /api/v1/alerts",
        "get /api/v1/alerts/{id}",
        "get /api/v1/incidents",
        "get /api/v1/incidents/{id}",
        "get /api/v1/incidents/{id}/similar",
        "get /api/v1/guardrails",
        "get /api/v1/guardrails/{name}",
        "get /api/v1/plans",
        "post /api/v1/plans",
        "get /api/v1/plans/{id}",
        "get /api/v1/plans/{id}/explain",
        "post /api/v1/plans/{id}/approve",
        "post /api/v1/plans/{id}/reject",
        "post /api/v1/plans/{id}/feedback",
        "get /api/v1/runs",
        "get /api/v1/runs/{id}",
        "get /api/v1/runs/{id}/events",
        "post /api/v1/runs/{id}/pause",
        "post /api/v1/runs/{id}/resume",
        "post /api/v1/runs/{id}/cancel",
        "post /api/v1/runs/{id}/steps/{step}/approve",
        "post /api/v1/runs/{id}/steps/{step}/reject",
        "get /api/v1/emergency-stops",
        "post /api/v1/emergency-stops",
        "delete /api/v1/emergency-stops",
        "get /api/v1/experiments",
        "post /api/v1/experiments",
        "get /api/v1/experiments/{id}",
        "post /api/v1/experiments/{id}/start",
        "post /api/v1/experiments/{id}/stop",
        "get /api/v1/experiments/{id}/results",
        "get /api/v1/learner",
        "get /api/v1/events",
        "post /api/v1/manifests:validate",
    ];
    assert_eq!(listed, expected.into_iter().map(Into::into).collect());
    // Every reference resolves.
    for reference in references(&document) {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
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
