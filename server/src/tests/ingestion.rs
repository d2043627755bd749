use std::io::Write;

use axum::body::Body;
use axum::http::{StatusCode, header};
use futures::StreamExt as _;
use serde_json::json;
use workflow::{Delivery, Input};

use super::harness::{ServerHarness, delivery, request};
use crate::Timeouts;

const PATH: &str = "/api/v1/ingest/alertmanager";

/// Returns the last input, which must be a delivery.
fn last_delivery(server: &ServerHarness) -> Delivery {
    match server.inputs().pop() {
        Some(Input::IngestAlerts(delivery)) => delivery,
        other => panic!("expected a delivery, got {other:?}"),
    }
}

#[tokio::test]
async fn delivery_returns_its_ids_once_recorded() {
    let server = ServerHarness::new().await;
    let reply = server.ingest(delivery("KubePodCrashLooping")).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let id = reply.body["incidentIds"][0].as_str().unwrap();
    assert_eq!(reply.body["alertIds"].as_array().unwrap().len(), 1);
    let incident = server.get(&format!("/api/v1/incidents/{id}")).await;
    assert_eq!((incident.status, &incident.body["status"]), (StatusCode::OK, &json!("open")));
    assert_eq!(
        server.get("/api/v1/alerts?status=firing").await.body["items"][0]["name"],
        "KubePodCrashLooping"
    );
}

/// Bad-input row A1: an empty body or a wrong content type has no effect.
#[tokio::test]
async fn empty_body_is_400_and_wrong_content_type_is_415() {
    let server = ServerHarness::new().await;
    assert_eq!(server.ingest("").await.problem(), (400, "empty_body"));
    assert_eq!(server.ingest(" \n").await.problem(), (400, "empty_body"));
    let typed = |kind: &str| {
        request("POST", PATH)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(delivery("A")))
            .unwrap()
    };
    assert_eq!(server.send(typed("text/plain")).await.problem(), (415, "unsupported_media_type"));
    let untyped = request("POST", PATH).body(Body::from(delivery("A"))).unwrap();
    assert_eq!(server.send(untyped).await.problem(), (415, "unsupported_media_type"));
    assert!(server.inputs().is_empty(), "nothing was sent to the engine");
    assert_eq!(
        server.send(typed("application/json; charset=utf-8")).await.status,
        StatusCode::ACCEPTED
    );
}

/// Bad-input row A2: a body of exactly the limit is accepted; one byte more is refused, and an incident is opened.
#[tokio::test]
async fn body_one_byte_over_the_limit_is_413_and_opens_an_incident() {
    let server = ServerHarness::new().await;
    let mut body = delivery("A").into_bytes();
    body.resize(1 << 20, b' ');
    assert_eq!(
        server.ingest(body.clone()).await.status,
        StatusCode::ACCEPTED,
        "a body of exactly the limit is accepted"
    );
    body.push(b' ');
    let reply = server.ingest(body).await;
    assert_eq!(reply.problem(), (413, "body_too_large"));
    assert_eq!(reply.headers[header::CONNECTION], "close");
    assert_eq!(last_delivery(&server).alerts[0].name, "AlertGroupTooLarge");
    let incidents = server.get("/api/v1/incidents").await.body;
    assert_eq!(incidents["items"][0]["alert"], "AlertGroupTooLarge");
}

/// Bad-input row A2: a `Content-Length` above the limit is refused before the body is read.
#[tokio::test]
async fn content_length_over_the_limit_is_refused_unread() {
    let server = ServerHarness::new().await;
    let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = request("POST", PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, (1 << 20) + 1)
        .body(Body::from_stream(never));
    assert_eq!(server.send(request.unwrap()).await.problem(), (413, "body_too_large"));
}

/// Bad-input row A3: a small gzip body that decodes to more than the limit is refused.
#[tokio::test]
async fn gzip_bomb_is_413_at_the_decoded_size_limit() {
    let server = ServerHarness::new().await;
    let packed = |bytes: &[u8], times: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..times).for_each(|_| encoder.write_all(bytes).unwrap());
        encoder.finish().unwrap()
    };
    let send = |bytes: Vec<u8>| {
        let request = request("POST", PATH)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip");
        server.send(request.body(Body::from(bytes)).unwrap())
    };
    let bomb = packed(&[b' '; 1 << 20], 256);
    assert!(bomb.len() < 1 << 19, "the bomb itself is small: {} bytes", bomb.len());
    // Its first few KiB decode to more than the limit, so it is refused before the rest arrives.
    let begun = futures::stream::iter([Ok::<_, std::io::Error>(bomb[..4 << 10].to_vec())]);
    let request = request("POST", PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from_stream(begun.chain(futures::stream::pending())));
    assert_eq!(server.send(request.unwrap()).await.problem(), (413, "body_too_large"));
    assert_eq!(send(bomb).await.problem(), (413, "body_too_large"));
    assert_eq!(last_delivery(&server).alerts[0].name, "AlertGroupTooLarge");
    assert_eq!(send(packed(delivery("Packed").as_bytes(), 1)).await.status, StatusCode::ACCEPTED);
    assert_eq!(last_delivery(&server).alerts[0].name, "Packed");
    assert_eq!(send(delivery("A").into_bytes()).await.problem(), (400, "invalid_gzip"));
}

/// Bad-input row A4: JSON nested 100,000 levels deep is refused.
#[tokio::test]
async fn deeply_nested_json_is_400() {
    let server = ServerHarness::new().await;
    let deep = format!("{{\"alerts\": {}", "[".repeat(100_000));
    assert_eq!(server.ingest(deep.clone()).await.problem(), (400, "depth"));
    assert_eq!(server.post("/api/v1/emergency-stops", deep).await.problem(), (400, "depth"));
    assert!(server.inputs().is_empty());
}

/// Bad-input row A5: a delivery with invalid UTF-8, lone surrogates or NUL is repaired, and the repairs are recorded.
#[tokio::test]
async fn invalid_text_is_repaired_in_deliveries_and_400_elsewhere() {
    let server = ServerHarness::new().await;
    let mut body = b"\xef\xbb\xbf".to_vec();
    body.extend_from_slice(
        delivery("A")
            .replace(
                "\"annotations\":{}",
                "\"annotations\":{\"x\":\"BAD\",\"y\":\"\\ud800\",\"z\":\"nul\\u0000\"}",
            )
            .as_bytes(),
    );
    let at = body.windows(3).position(|window| window == b"BAD").unwrap();
    body[at..at + 3].copy_from_slice(b"\xff\xfe\xfd");
    assert_eq!(server.ingest(body).await.status, StatusCode::ACCEPTED);
    let delivery = last_delivery(&server);
    let of_delivery: Vec<_> = delivery.defects.iter().map(|defect| defect.code.as_str()).collect();
    assert_eq!(of_delivery, ["byte_order_mark", "invalid_utf8", "lone_surrogate"]);
    let of_alert: Vec<_> =
        delivery.alerts[0].defects.iter().map(|defect| defect.path.as_str()).collect();
    assert_eq!(of_alert, ["annotations.x", "annotations.y", "annotations.z"]);
    for body in [&b"{\"reason\": \"\xff\"}"[..], b"{\"reason\": \"\\ud800\"}", b"\xef\xbb\xbf{}"] {
        assert_eq!(
            server.post("/api/v1/emergency-stops", body.to_vec()).await.problem(),
            (400, "not_json")
        );
    }
}

/// Bad-input row A6: a duplicate key is refused in deliveries and in other bodies.
#[tokio::test]
async fn duplicate_json_keys_are_refused() {
    let server = ServerHarness::new().await;
    let twice = delivery("A").replacen("\"status\":", "\"status\":\"resolved\",\"status\":", 1);
    assert_eq!(server.ingest(twice).await.problem(), (400, "duplicate_key"));
    let twice = r#"{"scope": "global", "level": "L1", "level": "L2", "reason": "x"}"#;
    assert_eq!(
        server.post("/api/v1/emergency-stops", twice).await.problem(),
        (400, "duplicate_key")
    );
    assert!(server.inputs().is_empty());
}

/// Bad-input row A7: a number outside the range of a double is repaired in deliveries and refused elsewhere.
#[tokio::test]
async fn out_of_range_numbers_are_repaired_or_400() {
    let server = ServerHarness::new().await;
    for number in ["1e400", "NaN", "-Infinity"] {
        let body = delivery("A")
            .replace("\"truncatedAlerts\":0", &format!("\"truncatedAlerts\":{number}"));
        assert_eq!(server.ingest(body).await.status, StatusCode::ACCEPTED, "{number}");
        assert_eq!(last_delivery(&server).defects[0].code, "number");
        let body = format!("{{\"scope\": {number}}}");
        assert_eq!(
            server.post("/api/v1/emergency-stops", body).await.problem(),
            (400, "not_json"),
            "{number}"
        );
    }
    let body =
        delivery("A").replace("\"truncatedAlerts\":0", "\"truncatedAlerts\":9223372036854775808");
    assert_eq!(server.ingest(body).await.status, StatusCode::ACCEPTED);
    assert_eq!(last_delivery(&server).truncated, 1 << 63);
}

/// Bad-input row A9: a full queue sheds load with 503 and `Retry-After`; every accepted delivery is processed.
#[tokio::test]
async fn full_queue_is_503_and_every_2xx_was_processed() {
    const QUEUE: usize = 8;
    let mut server = ServerHarness::unanswered(QUEUE, Timeouts::default()).await;
    let router = server.router.clone();
    let sent: Vec<_> = (0..100)
        .map(|i| {
            let router = router.clone();
            let body = delivery(&format!("Storm{i}"));
            let request = request("POST", PATH)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body))
                .unwrap();
            tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap() })
        })
        .collect();
    // Requests beyond the capacity of the queue are answered while nothing is taken out of it.
    while sent.iter().filter(|sent| sent.is_finished()).count() < 100 - QUEUE {
        tokio::task::yield_now().await;
    }
    server.respond();
    let mut accepted = 0;
    for sent in sent {
        let response = sent.await.unwrap();
        match response.status() {
            StatusCode::ACCEPTED => accepted += 1,
            status => {
                assert_eq!(
                    status,
                    StatusCode::SERVICE_UNAVAILABLE,
                    "never 429: the sender would drop the group"
                );
                assert!(response.headers().contains_key(header::RETRY_AFTER));
            }
        }
    }
    assert_eq!((accepted, server.inputs().len()), (QUEUE, QUEUE));
    assert_eq!(
        server.get("/api/v1/incidents").await.body["items"].as_array().unwrap().len(),
        QUEUE
    );
}

#[tokio::test]
async fn oversized_delivery_is_503_if_it_cannot_be_recorded() {
    let server = ServerHarness::unanswered(1, Timeouts::default()).await;
    let router = server.router.clone();
    let first = request("POST", PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(delivery("A")))
        .unwrap();
    let first = tokio::spawn(async move { tower::ServiceExt::oneshot(router, first).await });
    tokio::task::yield_now().await;
    assert_eq!(server.ingest(vec![b' '; (1 << 20) + 1]).await.problem(), (503, "queue_full"));
    first.abort();
}
