//! A real Alertmanager between the simulated cluster and the server, and a kill between two effects of a run.
//!
//! `tests/alertmanager/run` starts Alertmanager and passes addresses and folders in environment variables.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use store::{Queries as _, Sqlite, Store as _};
use workflow::Entry;
use workflow::id::RunId;
use workflow::run::{Applied, Event};

use crate::server_process::{HttpServer, effects, wait_for_async};

fn env_var(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; hint: run tests/alertmanager/run"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Starts an experiment in which templates are the only source of candidates, before the first alert.
///
/// The other sources propose the same two steps without a wait between them.
async fn propose_from_templates_only(server: &HttpServer) {
    let variant = |name: &str| json!({"name": name, "share": 0.5, "treatment": {"kind": "sources", "sources": ["template"]}});
    let experiment = json!({"name": "templates", "variants": [variant("a"), variant("b")]});
    let request = server.request(Method::POST, "/experiments").json(&experiment);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    let created: Value = response.json().await.unwrap();
    let start =
        server.request(Method::POST, &format!("/experiments/{}/start", text(&created["id"])));
    assert_eq!(start.json(&json!({"reason": "test"})).send().await.unwrap().status(), 200);
}

/// Waits until a plan with two steps needs approval and Alertmanager has delivered its alert again. Returns the plan.
///
/// Right after a delivery, the time until the next one is longest. A repeated delivery must not create another plan for
/// the incident.
async fn plan_after_repeated_delivery(server: &HttpServer) -> Value {
    let mut first = None;
    let what = "a plan with two steps, and a repeated delivery of its alert";
    wait_for_async(Duration::from_secs(180), what, async || {
        let plans = server.get("/plans?status=needs-approval").await;
        let plan = plans["items"].as_array()?.first()?.clone();
        assert_eq!(
            plan["steps"], 2,
            "the most probable plan restores the key and restarts the workload"
        );
        let incident = server.get(&format!("/incidents/{}", text(&plan["incident"]))).await;
        let now = incident["deliveries"].as_u64()?;
        let (id, before) = first.get_or_insert_with(|| (plan["id"].clone(), now)).clone();
        if now == before {
            return None;
        }
        let all = server.get(&format!("/plans?incident={}", text(&plan["incident"]))).await;
        let all = all["items"].as_array().unwrap();
        assert_eq!(
            (&plan["id"], all.len()),
            (&id, 1),
            "a repeated delivery created a plan: {all:?}"
        );
        Some(plan)
    })
    .await
}

/// A run whose server is killed between two effects continues after the restart, and the resolution of its alert closes
/// the incident.
#[tokio::test]
#[ignore = "needs: alertmanager"]
async fn killed_run_resumes_and_resolved_alert_closes_incident() {
    let dir = PathBuf::from(env_var("CHIRON_TEST_DATA"));
    let listen = env_var("CHIRON_TEST_LISTEN");
    let alertmanager = env_var("CHIRON_TEST_ALERTMANAGER");
    // Simulated time runs ten times as fast as the clock, so the quiet period of five minutes takes half a minute.
    let common = [
        "--simulate",
        "--speed",
        "10",
        "--policy",
        "greedy",
        "--listen",
        &listen,
        "--alerts",
        &alertmanager,
    ];
    let start = |more: &[&str]| HttpServer::start(&dir, &[&common[..], more].concat());

    // The template's plan restores a missing key and restarts the workload. Its first step succeeds after its
    // post-condition has been true for 30 simulated seconds; the kill happens in that time.
    let server = start(&["--seed", "7", "--fault", "missing-config-key", "--fault-after", "0"]);
    propose_from_templates_only(&server).await;
    let plan = plan_after_repeated_delivery(&server).await;
    let incident = text(&plan["incident"]).to_string();
    let approved = server
        .request(Method::POST, &format!("/plans/{}/approve", text(&plan["id"])))
        .header("If-Match", format!("\"{}\"", text(&plan["digest"])))
        .send()
        .await
        .unwrap();
    assert_eq!(approved.status(), 200);
    let run: RunId =
        wait_for_async(Duration::from_secs(60), "a run between two effects", async || {
            let runs = server.get(&format!("/runs?incident={incident}")).await;
            let run = text(&runs["items"].as_array()?.first()?["id"]).to_string();
            let view = server.get(&format!("/runs/{run}")).await;
            assert!(
                view["endedAt"].is_null(),
                "the run ended before the kill: {}",
                view["message"]
            );
            let is_between =
                view["effects"].as_array()?.len() == 1 && view["effects"][0]["applied"] == "yes";
            is_between.then(|| run.parse().unwrap())
        })
        .await;
    server.kill();

    let killed = Sqlite::open_read_only(&dir).expect("the acknowledged records are stored");
    let view = killed.run(&run).await.unwrap().expect("the run is in the record");
    let head = killed.head().await.unwrap();
    drop(killed);
    assert_eq!((view.ended_at, view.effects.len()), (None, 1), "{view:#?}");
    let first = &view.effects[0];
    assert_eq!(first.applied, Applied::Yes, "{view:#?}");
    let second =
        view.steps.iter().find(|step| step.step != first.step).expect("the plan has two steps");
    assert_eq!((second.started_at, second.ended_at), (None, None), "{view:#?}");
    let of_run = |(key, of): (String, String)| (of == run.as_str()).then_some(key);
    let applied: Vec<String> = effects(&dir).into_iter().filter_map(of_run).collect();
    assert_eq!(
        applied,
        std::slice::from_ref(&first.key),
        "the cluster received only the first effect"
    );
    println!(
        "killed after record {head}: run {run} had applied {}, not {}",
        first.step, second.step
    );

    let server = start(&[]);
    let path = format!("/runs/{run}");
    wait_for_async(Duration::from_secs(120), "the same run succeeds", async || {
        let run = server.get(&path).await;
        assert!(run["endedAt"].is_null() || run["status"] == "succeeded", "{}", run["message"]);
        (run["status"] == "succeeded").then_some(())
    })
    .await;
    let what = "the resolution of the alert is delivered and the incident is closed";
    let closed = wait_for_async(Duration::from_secs(180), what, async || {
        let incident = server.get(&format!("/incidents/{incident}")).await;
        (incident["status"] == "closed").then_some(incident)
    })
    .await;
    assert_eq!(closed["outcome"], "resolved", "{closed}");
    let runs = server.get(&format!("/runs?incident={incident}")).await;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "{runs}");
    server.end();

    let keys: Vec<String> = effects(&dir).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "applied twice: {keys:#?}");
    let of_run: BTreeSet<String> = effects(&dir).into_iter().filter_map(of_run).collect();
    assert!(of_run.len() >= 2, "{of_run:#?}");
    // The order in the record is: the first change, the restart, the second change. After the restart, only the second
    // change remains.
    let store = Sqlite::open_read_only(&dir).unwrap();
    let records = store.read(head, 1_000).await.unwrap();
    assert!(matches!(records[0].entry().unwrap(), Entry::EpochClaimed { .. }), "{:?}", records[0]);
    let intents = records.iter().filter_map(|record| match record.entry().unwrap() {
        Entry::Run { run: of, event: Event::IntentWritten { step, .. } } if of == run => Some(step),
        _ => None,
    });
    assert_eq!(intents.collect::<Vec<_>>(), std::slice::from_ref(&second.step));
    println!(
        "{} changes by the run, none applied twice; {} deliveries",
        of_run.len(),
        closed["deliveries"]
    );
}
