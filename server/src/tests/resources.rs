use axum::body::Body;
use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use workflow::input::Query;
use workflow::{Entry, Input};

use super::harness::{PLAN, RUN, Reply, ServerHarness, decision, delivery, plan, request, run};

async fn with_plan() -> ServerHarness {
    let server = ServerHarness::new().await;
    server.append([Entry::Decided(decision()), Entry::PlanFrozen(plan())]).await;
    server
}

async fn review(server: &ServerHarness, verb: &str, tag: Option<&str>) -> Reply {
    let mut request = request("POST", &format!("/api/v1/plans/{PLAN}/{verb}"))
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(tag) = tag {
        request = request.header(header::IF_MATCH, tag);
    }
    server
        .send(request.body(Body::from(r#"{"reason": "looks right", "actor": "ada"}"#)).unwrap())
        .await
}

#[tokio::test]
async fn review_without_if_match_is_428_and_of_a_changed_plan_412() {
    let server = with_plan().await;
    let tag = server.get(&format!("/api/v1/plans/{PLAN}")).await.headers[header::ETAG]
        .to_str()
        .unwrap()
        .to_string();
    assert_eq!(tag, format!("\"{}\"", plan().digest));
    let other = tag.replace('1', "2");
    for verb in ["approve", "reject"] {
        assert_eq!(review(&server, verb, None).await.problem(), (428, "if_match_missing"));
        assert_eq!(review(&server, verb, Some("*")).await.problem(), (428, "invalid_if_match"));
        assert_eq!(review(&server, verb, Some(&other)).await.problem(), (412, "plan_changed"));
    }
    assert!(server.inputs().is_empty(), "nothing was sent to the engine");
    for (verb, yes) in [("approve", true), ("reject", false)] {
        let reply = review(&server, verb, Some(&tag)).await;
        assert_eq!((reply.status, &reply.body["id"]), (StatusCode::OK, &json!(PLAN)));
        let Some(Input::Review { digest, is_approved, actor, reason, .. }) = server.inputs().pop()
        else {
            panic!("no review")
        };
        assert_eq!(
            (digest, is_approved, actor.as_str(), reason.as_str()),
            (plan().digest, yes, "ada", "looks right")
        );
    }
}

#[tokio::test]
async fn explain_returns_all_candidates_with_estimate_and_propensity() {
    let server = with_plan().await;
    let body = server.get(&format!("/api/v1/plans/{PLAN}/explain")).await.body;
    assert_eq!(body["explanation"][0], "because of the fact");
    let candidates = body["candidates"].as_array().unwrap();
    let shown: Vec<_> = candidates
        .iter()
        .map(|c| {
            (
                c["estimate"]["estimate"].as_f64().unwrap(),
                c["propensity"].as_f64().unwrap(),
                c["isChosen"] == true,
            )
        })
        .collect();
    assert_eq!(shown, [(0.7, 0.75, true), (0.2, 0.25, false)]);
    assert_eq!(
        (&body["decision"]["seed"], &body["decision"]["policy"]),
        (&json!("00ff"), &json!("igw"))
    );
}

#[tokio::test]
async fn list_items_omit_steps_and_pages_follow_the_cursor() {
    let server = with_plan().await;
    let line = server.get("/api/v1/plans?status=needs-approval").await.body["items"][0].clone();
    assert_eq!((&line["id"], &line["steps"]), (&json!(PLAN), &json!(1)));
    assert!(line.get("workflow").is_some_and(Value::is_string));
    for name in ["A", "B", "C"] {
        server.ingest(delivery(name)).await;
    }
    let page = server.get("/api/v1/incidents?limit=2").await.body;
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = server.get(&format!("/api/v1/incidents?limit=2&cursor={cursor}")).await.body;
    let names = |page: &Value| {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["alert"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!((names(&page), names(&rest)), (vec!["C".into(), "B".into()], vec!["A".to_string()]));
    assert!(rest.get("nextCursor").is_none());
    for (query, code) in [
        ("limit=0", "invalid_parameter"),
        ("status=opne", "invalid_parameter"),
        ("colour=red", "invalid_parameter"),
        ("cursor=x", "invalid_cursor"),
    ] {
        assert_eq!(
            server.get(&format!("/api/v1/incidents?{query}")).await.problem(),
            (400, code),
            "{query}"
        );
    }
}

#[tokio::test]
async fn unknown_id_is_404_and_does_not_reach_the_engine() {
    let server = ServerHarness::new().await;
    let ulid = "01JZZZZZZZZZZZZZZZZZZZZZZZ";
    for (noun, prefix) in [
        ("alerts", "alr"),
        ("incidents", "inc"),
        ("plans", "pln"),
        ("runs", "run"),
        ("experiments", "exp"),
    ] {
        assert_eq!(
            server.get(&format!("/api/v1/{noun}/{prefix}_{ulid}")).await.problem(),
            (404, "not_found")
        );
        assert_eq!(
            server.get(&format!("/api/v1/{noun}/nonsense")).await.problem(),
            (404, "invalid_id")
        );
    }
    for path in
        [format!("/api/v1/runs/{RUN}/pause"), format!("/api/v1/experiments/exp_{ulid}/start")]
    {
        assert_eq!(server.post(&path, "").await.problem(), (404, "not_found"), "{path}");
    }
    assert!(server.inputs().is_empty());
}

#[tokio::test]
async fn error_kind_determines_the_status() {
    use workflow::input::ErrorKind::{
        Changed, Conflict, Forbidden, Invalid, NotFound, Unavailable,
    };
    for (because, status) in [
        (NotFound, 404),
        (Conflict, 409),
        (Changed, 412),
        (Invalid, 422),
        (Forbidden, 403),
        (Unavailable, 503),
    ] {
        let problem = crate::problem::Problem::refused(
            because,
            workflow::ErrorCode::Cycle,
            "m".into(),
            "h".into(),
        );
        assert_eq!((problem.body.status, problem.body.code.as_str()), (status, "cycle"));
    }
    let server = ServerHarness::new().await;
    server.append(run()).await;
    assert_eq!(
        server.post(&format!("/api/v1/runs/{RUN}/steps/one/approve"), "").await.problem(),
        (409, "rejected")
    );
    let Some(Input::Control { control, actor, .. }) = server.inputs().pop() else {
        panic!("no control")
    };
    assert_eq!(
        (control, actor.as_str()),
        (workflow::run::Control::ApproveStep { step: "one".into() }, "api")
    );
}

#[tokio::test]
async fn emergency_stop_requires_a_reason_and_is_listed_until_cleared() {
    let server = ServerHarness::new().await;
    let bare = r#"{"scope": "global", "level": "L2", "reason": " "}"#;
    assert_eq!(
        server.post("/api/v1/emergency-stops", bare).await.problem(),
        (422, "reason_missing")
    );
    assert_eq!(
        server
            .post("/api/v1/emergency-stops", r#"{"scope": "here", "level": "L1", "reason": "x"}"#)
            .await
            .problem(),
        (422, "invalid_scope")
    );
    assert_eq!(
        server
            .post("/api/v1/emergency-stops", r#"{"scope": "global", "level": "L9", "reason": "x"}"#)
            .await
            .problem(),
        (422, "invalid_body")
    );
    let stopped = server
        .post(
            "/api/v1/emergency-stops",
            r#"{"scope": "global", "level": "L2", "reason": "too many restarts"}"#,
        )
        .await
        .body;
    assert_eq!(
        (&stopped["items"][0]["scope"], &stopped["items"][0]["level"]),
        (&json!("global"), &json!("L2"))
    );
    assert_eq!(server.get("/api/v1/emergency-stops").await.body, stopped);
    let cleared = server
        .delete(
            "/api/v1/emergency-stops",
            r#"{"scope": "global", "reason": "fixed", "actor": "ada"}"#,
        )
        .await
        .body;
    assert_eq!(cleared, json!({"items": []}));
}

#[tokio::test]
async fn renamed_field_is_refused_with_its_new_name() {
    let server = ServerHarness::new().await;
    for (path, body, new) in [
        ("plans", r#"{"incident": "inc_x", "by": "ada"}"#, "`actor`"),
        ("emergency-stops", r#"{"scope": "global", "level": "L1", "why": "a test"}"#, "`reason`"),
    ] {
        let reply = server.post(&format!("/api/v1/{path}"), body).await;
        assert_eq!(reply.problem(), (422, "invalid_body"));
        assert!(reply.body["hint"].as_str().unwrap().contains(new), "{}", reply.body);
    }
    assert!(server.inputs().is_empty());
}

/// Valid feedback is sent to the engine.
#[tokio::test]
async fn feedback_with_invalid_correction_returns_the_findings() {
    let server = with_plan().await;
    let path = format!("/api/v1/plans/{PLAN}/feedback");
    assert_eq!(server.post(&path, "{}").await.problem(), (422, "empty_feedback"));
    let broken = server.post(&path, r#"{"rating": "wrong", "correction": {"kind": "Pod"}}"#).await;
    assert_eq!(broken.problem(), (422, "invalid_workflow"));
    assert!(broken.body["errors"][0]["code"].is_string());
    assert!(server.inputs().is_empty());
    let given =
        server.post(&path, r#"{"rating": "right", "comment": "correct", "actor": "ada"}"#).await;
    assert_eq!(given.status, StatusCode::CREATED);
    assert!(given.body["id"].as_str().unwrap().starts_with("fbk_"));
}

#[tokio::test]
async fn manifest_validation_returns_code_and_line() {
    let server = ServerHarness::new().await;
    let post = |kind: &str, body: &'static str| {
        server.send(
            request("POST", "/api/v1/manifests:validate")
                .header(header::CONTENT_TYPE, kind)
                .body(Body::from(body))
                .unwrap(),
        )
    };
    let found = post("application/yaml", "apiVersion: chiron.dev/v1alpha1\nkind: RemediationWorkflow\nmetadata: {name: x}\nspec: {steps: 7}\n").await;
    assert_eq!((found.status, &found.body["isValid"]), (StatusCode::OK, &json!(false)));
    assert_eq!(found.body["diagnostics"][0]["line"], 4);
    assert_eq!(post("image/png", "").await.problem().0, 415);
}

#[tokio::test]
async fn query_reaches_the_engine_with_a_bounded_number_of_results() {
    let server = ServerHarness::new().await;
    let received = server.ingest(delivery("A")).await.body;
    let id = received["incidentIds"][0].as_str().unwrap();
    for (parameters, expected) in [("", 5), ("?topK=0", 1), ("?topK=7", 7), ("?topK=500", 50)] {
        let reply = server.get(&format!("/api/v1/incidents/{id}/similar{parameters}")).await;
        assert_eq!((reply.status, &reply.body), (StatusCode::OK, &json!([])), "{parameters}");
        let incident = id.parse().unwrap();
        let query = Query::Similar { incident, top_k: expected };
        assert_eq!(server.inputs().pop(), Some(Input::Query(query)), "{parameters}");
    }
}

/// The responder answers this query with a value that is not a summary of a learner.
#[tokio::test]
async fn query_result_of_another_type_is_500() {
    let server = ServerHarness::new().await;
    let reply = server.get("/api/v1/learner").await;
    assert_eq!(reply.problem(), (500, "internal_error"));
    assert_eq!(server.inputs(), [Input::Query(Query::Learner)]);
}

#[tokio::test]
async fn event_stream_resumes_after_last_event_id() {
    let server = ServerHarness::new().await;
    server.ingest(delivery("A")).await;
    let follow = |last: &str| {
        request("GET", "/api/v1/events")
            .header("last-event-id", last.to_string())
            .body(Body::empty())
            .unwrap()
    };
    let events = server.events(follow("0"), 4).await;
    assert!(events[0].contains("retry: 2000") || events[0].contains("retry:2000"), "{}", events[0]);
    let ids: Vec<_> = events[1..].iter().map(|event| field(event, "id")).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(field(&events[2], "event"), "Incident");
    let data: Value = serde_json::from_str(&field(&events[2], "data")).unwrap();
    assert_eq!((&data["seq"], &data["eventType"]), (&json!(2), &json!("opened")));
    assert!(data["stream"].as_str().unwrap().starts_with("inc_") && data["payload"].is_object());
    // The connection breaks after the second event; another event is recorded before the client reconnects.
    server.ingest(delivery("B")).await;
    let again = server.events(follow("2"), 3).await;
    assert_eq!((field(&again[1], "id"), field(&again[2], "id")), ("3".into(), "4".into()));
    let wrong =
        request("GET", "/api/v1/events").header("last-event-id", "x").body(Body::empty()).unwrap();
    assert_eq!(server.send(wrong).await.problem(), (400, "invalid_event_id"));
}

#[tokio::test]
async fn run_events_start_with_a_snapshot_and_contain_only_the_run() {
    let server = ServerHarness::new().await;
    server.append(run()).await;
    server.ingest(delivery("A")).await;
    server.append(run()).await;
    let follow = request("GET", &format!("/api/v1/runs/{RUN}/events")).body(Body::empty()).unwrap();
    let events = server.events(follow, 3).await;
    assert_eq!(field(&events[0], "event"), "snapshot");
    for event in &events[1..] {
        let data: Value = serde_json::from_str(&field(event, "data")).unwrap();
        assert_eq!((&data["stream"], &data["eventType"]), (&json!(RUN), &json!("started")));
    }
}

fn field(event: &str, name: &str) -> String {
    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {event}")).trim().into()
}
