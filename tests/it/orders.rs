//! What people order over HTTP, and how it is refused where it makes no sense: with the status that the API documents.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, within};

fn refused((status, problem): (u16, Value)) -> (u16, String) {
    (status, problem["code"].as_str().unwrap_or_default().to_string())
}

/// A server over a shop in which something is scaled to zero at once, fifty times as fast as the clock.
fn in_trouble(folder: &TempDir, more: &[&str]) -> Process {
    let trouble = ["--simulate", "--seed", "3", "--fault", "scaled-to-zero", "--fault-after", "0"];
    let arguments = [&trouble[..], &["--speed", "50", "--policy", "greedy"], more].concat();
    Process::start(&folder.path().join("data"), &arguments)
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused_with_the_documented_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = in_trouble(&folder, &["--autonomy", "auto", "--listen", "127.0.0.1:0"]);
    let rejected = (409, "rejected".to_string());
    let resume = json!({"scope": "global", "reason": "nothing was stopped"});
    assert_eq!(refused(server.post("/resume", &resume).await), rejected);
    assert_eq!(server.get("/stops").await, json!({"items": []}));
    let stop = |scope: &str| json!({"scope": scope, "level": "L1", "reason": "a test"});
    let unknown = "run_00000000000000000000000000";
    assert_eq!(refused(server.post("/stop", &stop(unknown)).await).0, 404);
    assert_eq!(refused(server.post(&format!("/runs/{unknown}/pause"), &json!({})).await).0, 404);

    let run = within(60, "a run ends", async || {
        let runs = server.get("/runs").await;
        let ended = runs["items"].as_array()?.iter().find(|run| !run["endedAt"].is_null())?;
        ended["id"].as_str().map(String::from)
    })
    .await;
    for verb in ["pause", "resume", "cancel"] {
        let answer =
            server.post(&format!("/runs/{run}/{verb}"), &json!({"reason": "a test"})).await;
        assert_eq!(refused(answer), rejected, "{verb} of a run that has ended");
    }
    assert_eq!(
        refused(server.post(&format!("/runs/{run}/steps/scale/approve"), &json!({})).await),
        rejected
    );
    assert_eq!(refused(server.post("/stop", &stop(&run)).await), rejected);

    // Stopped twice is stopped once, for whoever lost the first answer; what is lifted twice was lifted once.
    for _ in 0..2 {
        let (status, stops) = server.post("/stop", &stop("global")).await;
        assert_eq!((status, stops["items"].as_array().map(Vec::len)), (200, Some(1)), "{stops}");
    }
    assert_eq!(server.post("/resume", &resume).await, (200, json!({"items": []})));
    assert_eq!(refused(server.post("/resume", &resume).await), rejected);
    server.end();
}

/// Status and body of a `POST` that its client names by a key.
async fn named(server: &Process, key: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = server.request(Method::POST, path).header("Idempotency-Key", key).json(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_request_repeated_under_its_key_is_answered_as_it_was_and_not_done_again_by_a_server_killed_since()
 {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = |more: &[&str]| {
        Process::start(
            &dir,
            &[
                &["--simulate", "--speed", "50", "--policy", "greedy", "--listen", "127.0.0.1:0"],
                more,
            ]
            .concat(),
        )
    };
    let server = start(&["--seed", "3", "--fault", "scaled-to-zero", "--fault-after", "0"]);
    let plan = within(60, "a plan awaits approval", async || {
        let plans = server.get("/plans?status=needs-approval").await;
        plans["items"].as_array()?.first().cloned()
    })
    .await;
    let (id, digest) = (plan["id"].as_str().unwrap(), plan["digest"].as_str().unwrap());
    let feedback = (format!("/plans/{id}/feedback"), json!({"opinion": "right", "by": "ada"}));
    let variants = json!([
        {"name": "a", "share": 0.5, "treatment": {"kind": "baseline"}},
        {"name": "b", "share": 0.5, "treatment": {"kind": "policy", "policy": "greedy"}},
    ]);
    let experiment = ("/experiments".to_string(), json!({"name": "greed", "variants": variants}));
    let mut given = Vec::new();
    for (path, body) in [&feedback, &experiment] {
        let answer = named(&server, path, path, body).await;
        assert_eq!(answer.0, 201, "{path}: {}", answer.1);
        given.push(answer);
    }
    let approve = async |server: &Process, key: &str| {
        let request = server.request(Method::POST, &format!("/plans/{id}/approve"));
        let request =
            request.header("If-Match", format!("\"{digest}\"")).header("Idempotency-Key", key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(approve(&server, "approval-1").await, 200);
    server.kill();

    let server = start(&[]);
    for ((path, body), given) in [&feedback, &experiment].into_iter().zip(given) {
        assert_eq!(
            named(&server, path, path, body).await,
            given,
            "the answer stands in the record"
        );
        let mut another = body.clone();
        another[if path == "/experiments" { "name" } else { "by" }] = json!("another");
        let reused = (422, "idempotency_key_reused".to_string());
        assert_eq!(refused(named(&server, path, path, &another).await), reused);
    }
    assert_eq!(server.get("/experiments").await["items"].as_array().map(Vec::len), Some(1));
    let told = server.get(&format!("/plans/{id}")).await;
    assert_eq!(told["review"]["isApproved"], true, "{told}");
    assert_eq!(
        approve(&server, "approval-1").await,
        200,
        "the answer was lost: asked again, it is given"
    );
    assert_eq!(approve(&server, "approval-2").await, 409, "approved already");
    let long = "k".repeat(256);
    assert_eq!(
        refused(named(&server, &long, &feedback.0, &feedback.1).await),
        (400, "bad_idempotency_key".into())
    );
    server.end();
}

#[tokio::test]
async fn another_plan_can_be_asked_for_and_the_guardrails_in_force_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = in_trouble(&folder, &["--listen", "127.0.0.1:0"]);
    let listed = server.get("/guardrails").await;
    let item = &listed["items"][0];
    assert_eq!(
        (&item["isInForce"], &item["autonomy"]),
        (&json!(true), &json!("approve")),
        "{listed}"
    );
    for of in ["name", "version"] {
        let shown = server.get(&format!("/guardrails/{}", item[of].as_str().unwrap())).await;
        assert_eq!(
            (&shown["version"], &shown["kind"]),
            (&item["version"], &json!("RemediationGuardrail"))
        );
        assert_eq!(shown["spec"]["autonomy"], "approve");
    }
    let none = server.request(Method::GET, "/guardrails/none").send().await.unwrap();
    assert_eq!(none.status(), 404);

    let first = within(60, "a plan awaits approval", async || {
        let plans = server.get("/plans?status=needs-approval").await;
        plans["items"].as_array()?.first().cloned()
    })
    .await;
    let body = json!({"incident": first["incident"], "by": "ada"});
    let (status, second) = server.post("/plans", &body).await;
    assert_eq!((status, &second["incident"]), (201, &first["incident"]), "{second}");
    assert_ne!(second["id"], first["id"]);
    let withdrawn = server.get(&format!("/plans/{}", first["id"].as_str().unwrap())).await;
    assert_eq!(
        (&withdrawn["status"], &withdrawn["withdrawn"]),
        (&json!("withdrawn"), &json!("ada asked for another plan"))
    );
    let unknown = json!({"incident": "inc_00000000000000000000000000"});
    assert_eq!(refused(server.post("/plans", &unknown).await), (404, "not_found".into()));
    server.end();
}
