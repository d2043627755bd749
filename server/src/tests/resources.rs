use axum::body::Body;
use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use workflow::{Entry, Input};

use super::house::{House, PLAN, RUN, Reply, decision, delivery, plan, request, run};

async fn with_plan() -> House {
    let house = House::new().await;
    house.append([Entry::Decided(decision()), Entry::PlanFrozen(plan())]).await;
    house
}

async fn review(house: &House, verb: &str, tag: Option<&str>) -> Reply {
    let mut request = request("POST", &format!("/api/v1/plans/{PLAN}/{verb}"))
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(tag) = tag {
        request = request.header(header::IF_MATCH, tag);
    }
    house.send(request.body(Body::from(r#"{"reason": "looks right", "by": "ada"}"#)).unwrap()).await
}

#[tokio::test]
async fn a_review_without_if_match_is_428_and_of_a_changed_plan_412() {
    let house = with_plan().await;
    let tag = house.get(&format!("/api/v1/plans/{PLAN}")).await.headers[header::ETAG]
        .to_str()
        .unwrap()
        .to_string();
    assert_eq!(tag, format!("\"{}\"", plan().digest));
    let other = tag.replace('1', "2");
    for verb in ["approve", "reject"] {
        assert_eq!(review(&house, verb, None).await.problem(), (428, "if_match_missing"));
        assert_eq!(review(&house, verb, Some("*")).await.problem(), (428, "if_match_unreadable"));
        assert_eq!(review(&house, verb, Some(&other)).await.problem(), (412, "plan_changed"));
    }
    assert!(house.seen().is_empty(), "nothing was handed over");
    for (verb, yes) in [("approve", true), ("reject", false)] {
        let reply = review(&house, verb, Some(&tag)).await;
        assert_eq!((reply.status, &reply.body["id"]), (StatusCode::OK, &json!(PLAN)));
        let Some(Input::Review { digest, is_approved, by, reason, .. }) = house.seen().pop() else {
            panic!("no review")
        };
        assert_eq!(
            (digest, is_approved, by.as_str(), reason.as_str()),
            (plan().digest, yes, "ada", "looks right")
        );
    }
}

#[tokio::test]
async fn a_plan_is_explained_with_every_candidate_its_estimate_and_propensity() {
    let house = with_plan().await;
    let body = house.get(&format!("/api/v1/plans/{PLAN}/explain")).await.body;
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
async fn lists_hold_no_steps_and_go_on_at_their_cursor() {
    let house = with_plan().await;
    let line = house.get("/api/v1/plans?status=needs-approval").await.body["items"][0].clone();
    assert_eq!((&line["id"], &line["steps"]), (&json!(PLAN), &json!(1)));
    assert!(line.get("workflow").is_some_and(Value::is_string));
    for name in ["A", "B", "C"] {
        house.ingest(delivery(name)).await;
    }
    let page = house.get("/api/v1/incidents?limit=2").await.body;
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = house.get(&format!("/api/v1/incidents?limit=2&cursor={cursor}")).await.body;
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
        ("limit=0", "bad_parameter"),
        ("status=opne", "bad_parameter"),
        ("colour=red", "bad_parameter"),
        ("cursor=x", "bad_cursor"),
    ] {
        assert_eq!(
            house.get(&format!("/api/v1/incidents?{query}")).await.problem(),
            (400, code),
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_unknown_id_is_404_and_never_reaches_the_engine() {
    let house = House::new().await;
    let ulid = "01JZZZZZZZZZZZZZZZZZZZZZZZ";
    for (noun, prefix) in [
        ("alerts", "alr"),
        ("incidents", "inc"),
        ("plans", "pln"),
        ("runs", "run"),
        ("experiments", "exp"),
    ] {
        assert_eq!(
            house.get(&format!("/api/v1/{noun}/{prefix}_{ulid}")).await.problem(),
            (404, "not_found")
        );
        assert_eq!(house.get(&format!("/api/v1/{noun}/nonsense")).await.problem(), (404, "bad_id"));
    }
    for path in
        [format!("/api/v1/runs/{RUN}/pause"), format!("/api/v1/experiments/exp_{ulid}/start")]
    {
        assert_eq!(house.post(&path, "").await.problem(), (404, "not_found"), "{path}");
    }
    assert!(house.seen().is_empty());
}

#[tokio::test]
async fn the_kind_of_a_refusal_decides_the_status() {
    use workflow::input::RefusedBecause::{
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
        let problem = crate::problem::Problem::refused(because, "c".into(), "m".into(), "h".into());
        assert_eq!((problem.status, problem.code.as_str()), (status, "c"));
    }
    let house = House::new().await;
    house.append(run()).await;
    assert_eq!(
        house.post(&format!("/api/v1/runs/{RUN}/steps/one/approve"), "").await.problem(),
        (409, "test_refusal")
    );
    let Some(Input::Control { control, by, .. }) = house.seen().pop() else { panic!("no control") };
    assert_eq!(
        (control, by.as_str()),
        (workflow::run::Control::ApproveStep { step: "one".into() }, "api")
    );
}

#[tokio::test]
async fn a_stop_wants_a_reason_and_is_shown_until_it_is_lifted() {
    let house = House::new().await;
    let bare = r#"{"scope": "global", "level": "L2", "reason": " "}"#;
    assert_eq!(house.post("/api/v1/stop", bare).await.problem(), (422, "reason_missing"));
    assert_eq!(
        house
            .post("/api/v1/stop", r#"{"scope": "here", "level": "L1", "reason": "x"}"#)
            .await
            .problem(),
        (422, "bad_scope")
    );
    assert_eq!(
        house
            .post("/api/v1/stop", r#"{"scope": "global", "level": "L9", "reason": "x"}"#)
            .await
            .problem(),
        (422, "invalid_body")
    );
    let stopped = house
        .post("/api/v1/stop", r#"{"scope": "global", "level": "L2", "reason": "it runs wild"}"#)
        .await
        .body;
    assert_eq!(
        (&stopped["items"][0]["scope"], &stopped["items"][0]["level"]),
        (&json!("global"), &json!("L2"))
    );
    assert_eq!(house.get("/api/v1/stops").await.body, stopped);
    let lifted = house
        .post("/api/v1/resume", r#"{"scope": "global", "reason": "mended", "by": "ada"}"#)
        .await
        .body;
    assert_eq!(lifted, json!({"items": []}));
}

#[tokio::test]
async fn feedback_is_handed_over_and_a_broken_correction_is_refused_with_what_is_wrong() {
    let house = with_plan().await;
    let path = format!("/api/v1/plans/{PLAN}/feedback");
    assert_eq!(house.post(&path, "{}").await.problem(), (422, "empty_feedback"));
    let broken = house.post(&path, r#"{"opinion": "wrong", "correction": {"kind": "Pod"}}"#).await;
    assert_eq!(broken.problem(), (422, "invalid_workflow"));
    assert!(broken.body["errors"][0]["code"].is_string());
    assert!(house.seen().is_empty());
    let given =
        house.post(&path, r#"{"opinion": "right", "comment": "well done", "by": "ada"}"#).await;
    assert_eq!(given.status, StatusCode::CREATED);
    assert!(given.body["id"].as_str().unwrap().starts_with("fbk_"));
}

#[tokio::test]
async fn a_validation_gives_code_and_place() {
    let house = House::new().await;
    let post = |kind: &str, body: &'static str| {
        house.send(
            request("POST", "/api/v1/workflow-validations")
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
async fn the_learner_is_asked_of_the_engine() {
    let house = House::new().await;
    assert_eq!(house.get("/api/v1/learner").await.body, json!({"observations": 7}));
}

#[tokio::test]
async fn events_go_on_after_the_last_id_that_was_seen() {
    let house = House::new().await;
    house.ingest(delivery("A")).await;
    let follow = |last: &str| {
        request("GET", "/api/v1/events")
            .header("last-event-id", last.to_string())
            .body(Body::empty())
            .unwrap()
    };
    let events = house.events(follow("0"), 4).await;
    assert!(events[0].contains("retry: 2000") || events[0].contains("retry:2000"), "{}", events[0]);
    let ids: Vec<_> = events[1..].iter().map(|event| field(event, "id")).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(field(&events[2], "event"), "Incident");
    let data: Value = serde_json::from_str(&field(&events[2], "data")).unwrap();
    assert_eq!((&data["seq"], &data["what"]), (&json!(2), &json!("opened")));
    assert!(data["stream"].as_str().unwrap().starts_with("inc_") && data["payload"].is_object());
    // The connection breaks after the second event, and something happens before the client comes again.
    house.ingest(delivery("B")).await;
    let again = house.events(follow("2"), 3).await;
    assert_eq!((field(&again[1], "id"), field(&again[2], "id")), ("3".into(), "4".into()));
    let wrong =
        request("GET", "/api/v1/events").header("last-event-id", "x").body(Body::empty()).unwrap();
    assert_eq!(house.send(wrong).await.problem(), (400, "bad_event_id"));
}

#[tokio::test]
async fn events_of_a_run_begin_with_a_snapshot_and_hold_no_other_stream() {
    let house = House::new().await;
    house.append(run()).await;
    house.ingest(delivery("A")).await;
    house.append(run()).await;
    let follow = request("GET", &format!("/api/v1/runs/{RUN}/events")).body(Body::empty()).unwrap();
    let events = house.events(follow, 3).await;
    assert_eq!(field(&events[0], "event"), "snapshot");
    for event in &events[1..] {
        let data: Value = serde_json::from_str(&field(event, "data")).unwrap();
        assert_eq!((&data["stream"], &data["what"]), (&json!(RUN), &json!("started")));
    }
}

fn field(event: &str, name: &str) -> String {
    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {event}")).trim().into()
}
