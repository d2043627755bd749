//! Bad input: the status that a real API server gives, in a Status object; and the door is still open afterwards.

use serde_json::{Value, json};

use super::{DEPLOYMENT, House, MAPS, PODS};

/// Asks, and holds that the answer is a Status with this code and reason.
async fn check(
    house: &House,
    method: &str,
    path: &str,
    media: &str,
    body: &[u8],
    expected: (u16, &str),
) {
    let answer = house.client.send(method, path, &[("Content-Type", media)], body).await;
    let (code, status) = answer.json();
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
async fn malformed_paths_lead_nowhere() {
    let house = House::open().await;
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
        check(&house, "GET", path, "", b"", (404, "NotFound")).await;
    }
    check(&house, "GET", &format!("{PODS}/..%2f..%2fetc"), "", b"", (404, "NotFound")).await;
    check(&house, "DELETE", "/version", "", b"", (405, "MethodNotAllowed")).await;
    check(&house, "POST", DEPLOYMENT, "", b"{}", (405, "MethodNotAllowed")).await;
    check(&house, "BREW", PODS, "", b"", (405, "MethodNotAllowed")).await;
    let long = format!("{MAPS}/{}", "x".repeat(20_000));
    check(&house, "GET", &long, "", b"", (404, "NotFound")).await;
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let house = House::open().await;
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
        check(&house, "POST", MAPS, json, body, bad).await;
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(&house, "POST", MAPS, json, deep.as_bytes(), bad).await;
    let deep = format!(
        "{{\"metadata\": {{\"name\": \"a\"}}, \"data\": {}1{}}}",
        "{\"a\":".repeat(50_000),
        "}".repeat(50_000)
    );
    check(&house, "POST", MAPS, json, deep.as_bytes(), bad).await;
    check(&house, "POST", MAPS, "application/yaml", b"a: [", bad).await;
    let anchors = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e]\ng: [*f, *f, *f, *f, *f, *f]\n";
    check(&house, "POST", MAPS, "application/yaml", anchors.as_bytes(), bad).await;
    check(&house, "POST", MAPS, "application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff", bad).await;
    check(&house, "POST", MAPS, "text/html", b"<p>", (415, "UnsupportedMediaType")).await;
    check(&house, "PUT", &format!("{MAPS}/cart"), json, br#"{"metadata": {"name": "other"}}"#, bad)
        .await;
    for body in [&b"null"[..], br#"{"metadata": {"name": "Bad_Name"}}"#] {
        check(&house, "POST", MAPS, json, body, (422, "Invalid")).await;
    }
}

#[tokio::test]
async fn malformed_patches_are_refused() {
    let house = House::open().await;
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
        check(&house, "PATCH", &path, media, body.as_bytes(), expected).await;
    }
    check(&house, "PATCH", &path, apply, b"{}", (422, "Invalid")).await;
    check(&house, "PATCH", &format!("{path}?force=true"), merge, b"{}", (422, "Invalid")).await;
    let many: Vec<Value> =
        (0..10_001).map(|_| json!({"op": "test", "path": "/data/a", "value": "1"})).collect();
    check(
        &house,
        "PATCH",
        &path,
        json,
        json!(many).to_string().as_bytes(),
        (413, "RequestEntityTooLarge"),
    )
    .await;
}

#[tokio::test]
async fn malformed_selectors_and_options_are_refused() {
    let house = House::open().await;
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
        check(&house, "GET", &format!("{MAPS}?{query}"), "", b"", expected).await;
    }
    let map = br#"{"metadata": {"name": "a"}}"#;
    let long = format!("fieldManager={}", "m".repeat(200));
    for query in ["dryRun=Some", "fieldValidation=Perhaps", &long] {
        check(&house, "POST", &format!("{MAPS}?{query}"), "application/json", map, invalid).await;
    }
    check(&house, "DELETE", &format!("{MAPS}/cart?propagationPolicy=Nobody"), "", b"", invalid)
        .await;
}

#[tokio::test]
async fn a_body_of_ten_mebibytes_is_refused_and_not_kept() {
    let house = House::open().await;
    let body = vec![b' '; 10 * 1024 * 1024];
    check(&house, "POST", MAPS, "application/json", &body, (413, "RequestEntityTooLarge")).await;
    // Without its length said beforehand.
    let mut connection = house.client.connect().await;
    let head = house.client.request("POST", MAPS, &[("Transfer-Encoding", "chunked")], b"");
    let head = String::from_utf8(head).unwrap().replace("Content-Length: 0\r\n", "");
    connection.write(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b' '; 0x10_0000], b"\r\n".to_vec()].concat();
    for _ in 0..10 {
        if connection.write(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(connection.answer().await.code, 413);
    assert_eq!(house.get(PODS).await.0, 200);
}

#[tokio::test]
async fn ten_thousand_requests_at_once_are_all_answered() {
    let house = House::open().await;
    let (connections, each) = (250, 40);
    let mut asking = tokio::task::JoinSet::new();
    for i in 0..connections {
        let client = house.client.clone();
        asking.spawn(async move {
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
                codes.push(connection.answer().await.code);
            }
            codes
        });
    }
    let codes: Vec<u16> = asking.join_all().await.into_iter().flatten().collect();
    assert_eq!(codes.len(), connections * each);
    assert!(codes.iter().all(|code| matches!(code, 200 | 201 | 400 | 409)), "{codes:?}");
    assert_eq!(house.get(PODS).await.0, 200);
}
