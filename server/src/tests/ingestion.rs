use std::io::Write;

use axum::body::Body;
use axum::http::{StatusCode, header};
use futures::StreamExt as _;
use serde_json::json;
use workflow::{Delivery, Input};

use super::house::{House, delivery, request};
use crate::Bounds;

const PATH: &str = "/api/v1/ingest/alertmanager";

/// What was handed over last, which must be a delivery.
fn handed_over(house: &House) -> Delivery {
    match house.seen().pop() {
        Some(Input::Deliver(delivery)) => delivery,
        other => panic!("no delivery was handed over, but {other:?}"),
    }
}

#[tokio::test]
async fn a_delivery_is_answered_with_its_ids_once_it_is_recorded() {
    let house = House::new().await;
    let reply = house.ingest(delivery("KubePodCrashLooping")).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let id = reply.body["incidentIds"][0].as_str().unwrap();
    assert_eq!(reply.body["alertIds"].as_array().unwrap().len(), 1);
    let incident = house.get(&format!("/api/v1/incidents/{id}")).await;
    assert_eq!((incident.status, &incident.body["status"]), (StatusCode::OK, &json!("open")));
    assert_eq!(
        house.get("/api/v1/alerts?status=firing").await.body["items"][0]["name"],
        "KubePodCrashLooping"
    );
}

#[tokio::test]
async fn a1_an_empty_body_is_400_and_a_wrong_content_type_415() {
    let house = House::new().await;
    assert_eq!(house.ingest("").await.problem(), (400, "empty_body"));
    assert_eq!(house.ingest(" \n").await.problem(), (400, "empty_body"));
    let typed = |kind: &str| {
        request("POST", PATH)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(delivery("A")))
            .unwrap()
    };
    assert_eq!(house.send(typed("text/plain")).await.problem(), (415, "unsupported_media_type"));
    let untyped = request("POST", PATH).body(Body::from(delivery("A"))).unwrap();
    assert_eq!(house.send(untyped).await.problem(), (415, "unsupported_media_type"));
    assert!(house.seen().is_empty(), "nothing has an effect");
    assert_eq!(
        house.send(typed("application/json; charset=utf-8")).await.status,
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn a2_a_body_of_one_byte_too_many_is_413_and_becomes_an_incident() {
    let house = House::new().await;
    let mut body = delivery("A").into_bytes();
    body.resize(1 << 20, b' ');
    assert_eq!(
        house.ingest(body.clone()).await.status,
        StatusCode::ACCEPTED,
        "the limit itself is let in"
    );
    body.push(b' ');
    let reply = house.ingest(body).await;
    assert_eq!(reply.problem(), (413, "body_too_large"));
    assert_eq!(reply.headers[header::CONNECTION], "close");
    assert_eq!(handed_over(&house).alerts[0].name, "AlertGroupTooLarge");
    let incidents = house.get("/api/v1/incidents").await.body;
    assert_eq!(incidents["items"][0]["alert"], "AlertGroupTooLarge");
}

#[tokio::test]
async fn a2_an_announced_length_above_the_limit_is_refused_before_a_byte_is_read() {
    let house = House::new().await;
    let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = request("POST", PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, (1 << 20) + 1)
        .body(Body::from_stream(never));
    assert_eq!(house.send(request.unwrap()).await.problem(), (413, "body_too_large"));
}

#[tokio::test]
async fn a3_a_gzip_bomb_is_413_after_the_limit_of_decoded_bytes() {
    let house = House::new().await;
    let packed = |bytes: &[u8], times: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..times).for_each(|_| encoder.write_all(bytes).unwrap());
        encoder.finish().unwrap()
    };
    let send = |bytes: Vec<u8>| {
        let request = request("POST", PATH)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip");
        house.send(request.body(Body::from(bytes)).unwrap())
    };
    let bomb = packed(&[b' '; 1 << 20], 256);
    assert!(bomb.len() < 1 << 19, "the bomb itself is small: {} bytes", bomb.len());
    // Its first few KiB hold more than the limit: it is refused on them, whatever is still to come.
    let begun = futures::stream::iter([Ok::<_, std::io::Error>(bomb[..4 << 10].to_vec())]);
    let request = request("POST", PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from_stream(begun.chain(futures::stream::pending())));
    assert_eq!(house.send(request.unwrap()).await.problem(), (413, "body_too_large"));
    assert_eq!(send(bomb).await.problem(), (413, "body_too_large"));
    assert_eq!(handed_over(&house).alerts[0].name, "AlertGroupTooLarge");
    assert_eq!(send(packed(delivery("Packed").as_bytes(), 1)).await.status, StatusCode::ACCEPTED);
    assert_eq!(handed_over(&house).alerts[0].name, "Packed");
    assert_eq!(send(delivery("A").into_bytes()).await.problem(), (400, "bad_gzip"));
}

#[tokio::test]
async fn a4_json_nested_100_000_deep_is_400() {
    let house = House::new().await;
    let deep = format!("{{\"alerts\": {}", "[".repeat(100_000));
    assert_eq!(house.ingest(deep.clone()).await.problem(), (400, "depth"));
    assert_eq!(house.post("/api/v1/stop", deep).await.problem(), (400, "depth"));
    assert!(house.seen().is_empty());
}

#[tokio::test]
async fn a5_text_that_is_no_text_is_mended_and_named_and_elsewhere_400() {
    let house = House::new().await;
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
    assert_eq!(house.ingest(body).await.status, StatusCode::ACCEPTED);
    let delivery = handed_over(&house);
    let of_delivery: Vec<_> = delivery.defects.iter().map(|defect| defect.code.as_str()).collect();
    assert_eq!(of_delivery, ["byte_order_mark", "invalid_utf8", "lone_surrogate"]);
    let of_alert: Vec<_> =
        delivery.alerts[0].defects.iter().map(|defect| defect.place.as_str()).collect();
    assert_eq!(of_alert, ["annotations.x", "annotations.y", "annotations.z"]);
    for body in [&b"{\"reason\": \"\xff\"}"[..], b"{\"reason\": \"\\ud800\"}", b"\xef\xbb\xbf{}"] {
        assert_eq!(house.post("/api/v1/stop", body.to_vec()).await.problem(), (400, "not_json"));
    }
}

#[tokio::test]
async fn a6_duplicate_json_keys_are_refused() {
    let house = House::new().await;
    let twice = delivery("A").replacen("\"status\":", "\"status\":\"resolved\",\"status\":", 1);
    assert_eq!(house.ingest(twice).await.problem(), (400, "duplicate_key"));
    let twice = r#"{"scope": "global", "level": "L1", "level": "L2", "reason": "x"}"#;
    assert_eq!(house.post("/api/v1/stop", twice).await.problem(), (400, "duplicate_key"));
    assert!(house.seen().is_empty());
}

#[tokio::test]
async fn a7_numbers_beyond_a_double_are_mended_and_elsewhere_400() {
    let house = House::new().await;
    for number in ["1e400", "NaN", "-Infinity"] {
        let body = delivery("A")
            .replace("\"truncatedAlerts\":0", &format!("\"truncatedAlerts\":{number}"));
        assert_eq!(house.ingest(body).await.status, StatusCode::ACCEPTED, "{number}");
        assert_eq!(handed_over(&house).defects[0].code, "number");
        let body = format!("{{\"scope\": {number}}}");
        assert_eq!(house.post("/api/v1/stop", body).await.problem(), (400, "not_json"), "{number}");
    }
    let body =
        delivery("A").replace("\"truncatedAlerts\":0", "\"truncatedAlerts\":9223372036854775808");
    assert_eq!(house.ingest(body).await.status, StatusCode::ACCEPTED);
    assert_eq!(handed_over(&house).truncated, 1 << 63);
}

#[tokio::test]
async fn a9_a_full_queue_is_503_and_everything_answered_2xx_was_processed() {
    const QUEUE: usize = 8;
    let mut house = House::silent(QUEUE, Bounds::default()).await;
    let router = house.router.clone();
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
    // Everything beyond the queue is answered while nobody takes anything out of it.
    while sent.iter().filter(|sent| sent.is_finished()).count() < 100 - QUEUE {
        tokio::task::yield_now().await;
    }
    house.answer();
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
    assert_eq!((accepted, house.seen().len()), (QUEUE, QUEUE));
    assert_eq!(house.get("/api/v1/incidents").await.body["items"].as_array().unwrap().len(), QUEUE);
}

#[tokio::test]
async fn a_group_too_large_is_503_when_not_even_that_can_be_recorded() {
    let house = House::silent(1, Bounds::default()).await;
    let router = house.router.clone();
    let first = request("POST", PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(delivery("A")))
        .unwrap();
    let first = tokio::spawn(async move { tower::ServiceExt::oneshot(router, first).await });
    tokio::task::yield_now().await;
    assert_eq!(house.ingest(vec![b' '; (1 << 20) + 1]).await.problem(), (503, "queue_full"));
    first.abort();
}
