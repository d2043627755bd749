//! Commands over the HTTP API: their effect, and the documented error responses.

use std::time::Duration;

use api::{
    EmergencyStopsResponse, ExperimentItem, GuardrailItem, GuardrailResponse, ListResponse,
    PlanItem, PlanResponse, RunItem,
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use workflow::guardrail::Autonomy;
use workflow::plan::PlanStatus;

use crate::server_process::{HttpServer, wait_for_async};

/// Time limit for a plan or a run, with simulated time 50 times as fast as the clock.
const TIMEOUT: Duration = Duration::from_secs(60);
const STOPS: &str = "/emergency-stops";

/// Returns the status and the problem code of an error response.
fn error_code((status, problem): (u16, Value)) -> (u16, String) {
    (status, problem["code"].as_str().unwrap_or_default().to_string())
}

/// Starts a server over a simulated cluster in which a Deployment is scaled to zero immediately.
fn start_with_fault(folder: &TempDir, more: &[&str]) -> HttpServer {
    let fault = ["--simulate", "--seed", "3", "--fault", "scaled-to-zero", "--fault-after", "0"];
    let arguments = [&fault[..], &["--speed", "50", "--policy", "greedy"], more].concat();
    HttpServer::start(&folder.path().join("data"), &arguments)
}

/// Waits until a plan needs approval.
pub(crate) async fn plan_for_approval(server: &HttpServer) -> PlanItem {
    wait_for_async(TIMEOUT, "a plan needs approval", async || {
        let plans: ListResponse<PlanItem> = server.read("/plans?status=needs-approval").await;
        plans.items.into_iter().next()
    })
    .await
}

/// Commands that are not possible in the current state get the documented status and code.
#[tokio::test]
async fn invalid_commands_are_rejected_with_documented_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_with_fault(&folder, &["--autonomy", "auto", "--listen", "127.0.0.1:0"]);
    let rejected = (409, "rejected".to_string());
    let clear = json!({"scope": "global", "reason": "no stop is active"});
    assert_eq!(error_code(server.send(Method::DELETE, STOPS, &clear).await), rejected);
    assert_eq!(server.get(STOPS).await, json!({"items": []}));
    let stop = |scope: &str| json!({"scope": scope, "level": "L1", "reason": "a test"});
    let unknown = "run_00000000000000000000000000";
    assert_eq!(error_code(server.post(STOPS, &stop(unknown)).await).0, 404);
    let pause = server.post(&format!("/runs/{unknown}/pause"), &json!({})).await;
    assert_eq!(error_code(pause).0, 404);

    let run = wait_for_async(TIMEOUT, "a run ends", async || {
        let runs: ListResponse<RunItem> = server.read("/runs").await;
        runs.items.into_iter().find(|run| run.ended_at.is_some()).map(|run| run.id.to_string())
    })
    .await;
    for verb in ["pause", "resume", "cancel"] {
        let response =
            server.post(&format!("/runs/{run}/{verb}"), &json!({"reason": "a test"})).await;
        assert_eq!(error_code(response), rejected, "{verb} of a run that has ended");
    }
    assert_eq!(
        error_code(server.post(&format!("/runs/{run}/steps/scale/approve"), &json!({})).await),
        rejected
    );
    assert_eq!(error_code(server.post(STOPS, &stop(&run)).await), rejected);

    // Setting a stop is idempotent, for clients that lost the first response. Clearing it is not.
    for _ in 0..2 {
        let (status, stops) = server.post(STOPS, &stop("global")).await;
        let stops: EmergencyStopsResponse = serde_json::from_value(stops).unwrap();
        assert_eq!((status, stops.items.len()), (200, 1), "{stops:?}");
    }
    let cleared = server.send(Method::DELETE, STOPS, &clear).await;
    assert_eq!(cleared, (200, json!({"items": []})));
    assert_eq!(error_code(server.send(Method::DELETE, STOPS, &clear).await), rejected);
    server.end();
}

/// Sends a `POST` with an `Idempotency-Key`. Returns the status and the body of the response.
async fn post_with_key(server: &HttpServer, key: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = server.request(Method::POST, path).header("Idempotency-Key", key).json(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// A request with a known `Idempotency-Key` gets its first response and has no further effect, also after the server was
/// killed and restarted.
#[tokio::test]
async fn repeated_key_after_kill_returns_first_response() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = |more: &[&str]| {
        HttpServer::start(
            &dir,
            &[
                &["--simulate", "--speed", "50", "--policy", "greedy", "--listen", "127.0.0.1:0"],
                more,
            ]
            .concat(),
        )
    };
    let server = start(&["--seed", "3", "--fault", "scaled-to-zero", "--fault-after", "0"]);
    let PlanItem { id, digest, .. } = plan_for_approval(&server).await;
    let feedback = (format!("/plans/{id}/feedback"), json!({"rating": "right", "actor": "ada"}));
    let variants = json!([
        {"name": "a", "share": 0.5, "treatment": {"kind": "baseline"}},
        {"name": "b", "share": 0.5, "treatment": {"kind": "policy", "policy": "greedy"}},
    ]);
    let experiment = ("/experiments".to_string(), json!({"name": "greedy", "variants": variants}));
    let mut responses = Vec::new();
    for (path, body) in [&feedback, &experiment] {
        let response = post_with_key(&server, path, path, body).await;
        assert_eq!(response.0, 201, "{path}: {}", response.1);
        responses.push(response);
    }
    let approve = async |server: &HttpServer, key: &str| {
        let request = server.request(Method::POST, &format!("/plans/{id}/approve"));
        let request =
            request.header("If-Match", format!("\"{digest}\"")).header("Idempotency-Key", key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(approve(&server, "approval-1").await, 200);
    server.kill();

    let server = start(&[]);
    for ((path, body), response) in [&feedback, &experiment].into_iter().zip(responses) {
        assert_eq!(
            post_with_key(&server, path, path, body).await,
            response,
            "the response is read from the record"
        );
        let mut another = body.clone();
        another[if path == "/experiments" { "name" } else { "actor" }] = json!("another");
        let reused = (422, "idempotency_key_reused".to_string());
        assert_eq!(error_code(post_with_key(&server, path, path, &another).await), reused);
    }
    let experiments: ListResponse<ExperimentItem> = server.read("/experiments").await;
    assert_eq!(experiments.items.len(), 1);
    let plan: PlanResponse = server.read(&format!("/plans/{id}")).await;
    assert!(plan.state.review.as_ref().is_some_and(|review| review.is_approved), "{plan:#?}");
    assert_eq!(
        approve(&server, "approval-1").await,
        200,
        "a repeated request gets the response that was lost"
    );
    assert_eq!(approve(&server, "approval-2").await, 409, "the plan is already approved");
    let long = "k".repeat(256);
    assert_eq!(
        error_code(post_with_key(&server, &long, &feedback.0, &feedback.1).await),
        (400, "invalid_idempotency_key".into())
    );
    server.end();
}

/// The active guardrails are listed, and a requested plan replaces the plan that awaits approval.
#[tokio::test]
async fn requested_plan_replaces_first_and_guardrails_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_with_fault(&folder, &["--listen", "127.0.0.1:0"]);
    let listed: ListResponse<GuardrailItem> = server.read("/guardrails").await;
    let item = &listed.items[0];
    assert_eq!((item.active, item.autonomy), (true, Autonomy::Approve), "{listed:?}");
    for id in [&item.name, &item.version] {
        let shown: GuardrailResponse = server.read(&format!("/guardrails/{id}")).await;
        assert_eq!((&shown.version, &*shown.kind), (&item.version, "RemediationGuardrail"));
        assert_eq!(shown.spec.autonomy, Autonomy::Approve);
    }
    let none = server.request(Method::GET, "/guardrails/none").send().await.unwrap();
    assert_eq!(none.status(), 404);

    let first = plan_for_approval(&server).await;
    let body = json!({"incident": first.incident, "actor": "ada"});
    let (status, second) = server.post("/plans", &body).await;
    let second: PlanResponse = serde_json::from_value(second).unwrap();
    assert_eq!((status, &second.plan.incident), (201, &first.incident), "{second:#?}");
    assert_ne!(second.plan.id, first.id);
    let PlanResponse { state: withdrawn, .. } =
        server.read::<PlanResponse>(&format!("/plans/{}", first.id)).await;
    assert_eq!(
        (withdrawn.status, withdrawn.withdrawn.as_deref()),
        (PlanStatus::Withdrawn, Some("ada requested another plan"))
    );
    let unknown = json!({"incident": "inc_00000000000000000000000000"});
    assert_eq!(error_code(server.post("/plans", &unknown).await), (404, "not_found".into()));
    server.end();
}
