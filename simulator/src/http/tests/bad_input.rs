//! Bad input: the response is the `Status` of a real API server, and the server continues to serve requests.

use serde_json::{Value, json};

use super::{ApiHarness, DEPLOYMENT, MAPS, PODS};

/// Sends a request and asserts that the response is a `Status` with this code and reason.
async fn check(
    api: &ApiHarness,
    method: &str,
    path: &str,
    media: &str,
    body: &[u8],
    expected: (u16, &str),
) {
    let response = api.client.send(method, path, &[("Content-Type", media)], body).await;
    let (code, status) = response.json();
    assert_eq!(status["kind"], "Status", "{method} {path}: {status}");
    assert_eq!(status["code"], code, "{method} {path}: {status}");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert_eq!((code, reason), expected, "{method} {path}: {status}");
    assert!(
        !status["message"].as_str().unwrap_or_default().is_empty(),
        "{method} {path}: {status}"
    );
}

#[tokio::test]
async fn unknown_paths_return_not_found() {
    let api = ApiHarness::start().await;
    for path in [
        "/api/v1/namespaces//pods/a",
        "/api/v1/nonsense",
        "/api/v2/pods",
        "/apis/apps/v1/namespaces/shop/deployments/cart/nonsense",
        "/apis/apps/v1/a/b/c/d/e/f",
        "/apis/nonsense.example/v1/things",
        "/api/v1/namespaces/shop/nodes",
        "/api/v1/pods/cart",
        "/nonsense",
        "/%00%ff",
        "/api/v1/namespaces/%2e%2e/pods/%2e%2e%2f/log",
    ] {
        check(&api, "GET", path, "", b"", (404, "NotFound")).await;
    }
    check(&api, "GET", &format!("{PODS}/..%2f..%2fetc"), "", b"", (404, "NotFound")).await;
    check(&api, "DELETE", "/version", "", b"", (405, "MethodNotAllowed")).await;
    check(&api, "POST", DEPLOYMENT, "", b"{}", (405, "MethodNotAllowed")).await;
    check(&api, "BREW", PODS, "", b"", (405, "MethodNotAllowed")).await;
    let long = format!("{MAPS}/{}", "x".repeat(20_000));
    check(&api, "GET", &long, "", b"", (404, "NotFound")).await;
}

#[tokio::test]
async fn malformed_bodies_are_rejected() {
    let api = ApiHarness::start().await;
    let json = "application/json";
    let bad = (400, "BadRequest");
    for body in [
        &b"{"[..],
        b"",
        b"[]",
        b"\"text\"",
        b"\xff\xfe",
        br#"{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}"#,
        br#"{"kind": "ConfigMap", "apiVersion": "v7", "metadata": {"name": "a"}}"#,
        br#"{"metadata": {"name": 7}}"#,
        br#"{"metadata": {"name": "a", "namespace": "elsewhere"}}"#,
        br#"{"metadata": {"name": "a", "labels": []}}"#,
    ] {
        check(&api, "POST", MAPS, json, body, bad).await;
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(&api, "POST", MAPS, json, deep.as_bytes(), bad).await;
    let deep = format!(
        "{{\"metadata\": {{\"name\": \"a\"}}, \"data\": {}1{}}}",
        "{\"a\":".repeat(50_000),
        "}".repeat(50_000)
    );
    check(&api, "POST", MAPS, json, deep.as_bytes(), bad).await;
    check(&api, "POST", MAPS, "application/yaml", b"a: [", bad).await;
    let anchors = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e]\ng: [*f, *f, *f, *f, *f, *f]\n";
    check(&api, "POST", MAPS, "application/yaml", anchors.as_bytes(), bad).await;
    check(&api, "POST", MAPS, "application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff", bad).await;
    check(&api, "POST", MAPS, "text/html", b"<p>", (415, "UnsupportedMediaType")).await;
    check(&api, "PUT", &format!("{MAPS}/cart"), json, br#"{"metadata": {"name": "other"}}"#, bad)
        .await;
    for body in [&b"null"[..], br#"{"metadata": {"name": "Bad_Name"}}"#] {
        check(&api, "POST", MAPS, json, body, (422, "Invalid")).await;
    }
}

#[tokio::test]
async fn malformed_patches_are_rejected() {
    let api = ApiHarness::start().await;
    let path = format!("{MAPS}/cart");
    let bad = (400, "BadRequest");
    let (json, merge, strategic, apply) = (
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    );
    for (media, body, expected) in [
        (json, "{}", bad),
        (json, "[{\"op\": \"melt\", \"path\": \"/data\"}]", (422, "Invalid")),
        (json, "[", bad),
        (json, "[{\"op\": \"test\", \"path\": \"/data/a\", \"value\": \"7\"}]", (422, "Invalid")),
        (json, "[{\"op\": \"remove\", \"path\": \"/data/nothing\"}]", (422, "Invalid")),
        (merge, "[]", bad),
        (merge, "nonsense", bad),
        (strategic, "7", bad),
        (apply, "a: [", bad),
        (merge, "{\"data\": {\"a\": 7}}", (422, "Invalid")),
        (apply, "{apiVersion: v1, kind: Pod}", bad),
        (apply, "{kind: ConfigMap}", bad),
        (apply, "{apiVersion: v1, kind: ConfigMap, dat: {}}", (500, "InternalError")),
        ("application/json", "{}", (415, "UnsupportedMediaType")),
        ("", "{}", (415, "UnsupportedMediaType")),
    ] {
        let path = if media == apply { format!("{path}?fieldManager=me") } else { path.clone() };
        check(&api, "PATCH", &path, media, body.as_bytes(), expected).await;
    }
    check(&api, "PATCH", &path, apply, b"{}", (422, "Invalid")).await;
    check(&api, "PATCH", &format!("{path}?force=true"), merge, b"{}", (422, "Invalid")).await;
    let many: Vec<Value> =
        (0..10_001).map(|_| json!({"op": "test", "path": "/data/a", "value": "1"})).collect();
    check(
        &api,
        "PATCH",
        &path,
        json,
        json!(many).to_string().as_bytes(),
        (413, "RequestEntityTooLarge"),
    )
    .await;
}

#[tokio::test]
async fn malformed_selectors_and_options_are_rejected() {
    let api = ApiHarness::start().await;
    let (bad, invalid) = ((400, "BadRequest"), (422, "Invalid"));
    for (query, expected) in [
        ("labelSelector=a+in+(b", bad),
        ("labelSelector=%3D%3D", bad),
        ("fieldSelector=nonsense", bad),
        ("limit=many", bad),
        ("continue=nonsense", bad),
        ("fieldSelector=spec.x%3Dy", bad),
        ("timeoutSeconds=long&watch=1", bad),
        ("resourceVersion=xx", bad),
        ("watch=1&resourceVersion=xx", (500, "InternalError")),
        ("resourceVersionMatch=Exact", invalid),
        ("resourceVersion=1&resourceVersionMatch=Nonsense", invalid),
        ("watch=1&sendInitialEvents=true", invalid),
        ("watch=1&resourceVersionMatch=NotOlderThan", invalid),
        ("resourceVersion=1&resourceVersionMatch=Exact", (410, "Expired")),
        ("resourceVersion=99999999", (504, "Timeout")),
    ] {
        check(&api, "GET", &format!("{MAPS}?{query}"), "", b"", expected).await;
    }
    let map = br#"{"metadata": {"name": "a"}}"#;
    let long = format!("fieldManager={}", "m".repeat(200));
    for query in ["dryRun=Some", "fieldValidation=Perhaps", &long] {
        check(&api, "POST", &format!("{MAPS}?{query}"), "application/json", map, invalid).await;
    }
    check(&api, "DELETE", &format!("{MAPS}/cart?propagationPolicy=Unknown"), "", b"", invalid)
        .await;
}

#[tokio::test]
async fn ten_mebibyte_body_is_rejected_without_buffering() {
    let api = ApiHarness::start().await;
    let body = vec![b' '; 10 * 1024 * 1024];
    check(&api, "POST", MAPS, "application/json", &body, (413, "RequestEntityTooLarge")).await;
    // The same body without a Content-Length.
    let mut connection = api.client.connect().await;
    let head = api.client.request("POST", MAPS, &[("Transfer-Encoding", "chunked")], b"");
    let head = String::from_utf8(head).unwrap().replace("Content-Length: 0\r\n", "");
    connection.write(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b' '; 0x10_0000], b"\r\n".to_vec()].concat();
    for _ in 0..10 {
        if connection.write(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(connection.response().await.code, 413);
    assert_eq!(api.get(PODS).await.0, 200);
}

#[tokio::test]
async fn ten_thousand_concurrent_requests_all_get_responses() {
    let api = ApiHarness::start().await;
    let (connections, each) = (250, 40);
    let mut clients = tokio::task::JoinSet::new();
    for i in 0..connections {
        let client = api.client.clone();
        clients.spawn(async move {
            let mut connection = client.connect().await;
            let map = json!({"metadata": {"name": format!("m{i}")}}).to_string();
            let request = match i % 4 {
                0 => client.request("GET", PODS, &[], b""),
                1 => client.request(
                    "POST",
                    MAPS,
                    &[("Content-Type", "application/json")],
                    map.as_bytes(),
                ),
                2 => client.request("GET", &format!("{MAPS}?labelSelector=a+in+("), &[], b""),
                _ => client.request("GET", "/apis/apps/v1", &[], b""),
            };
            connection.write(&request.repeat(each)).await.unwrap();
            let mut codes = Vec::new();
            for _ in 0..each {
                codes.push(connection.response().await.code);
            }
            codes
        });
    }
    let codes: Vec<u16> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(codes.len(), connections * each);
    assert!(codes.iter().all(|code| matches!(code, 200 | 201 | 400 | 409)), "{codes:?}");
    assert_eq!(api.get(PODS).await.0, 200);
}
