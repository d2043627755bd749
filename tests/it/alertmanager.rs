//! A real Alertmanager between the simulated world and the server, and a kill between two effects of a run.
//! `tests/alertmanager/run` starts Alertmanager and says here where everything is.

use std::collections::BTreeSet;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::Value;
use store::{Queries as _, Sqlite, Store as _};
use workflow::Entry;
use workflow::id::RunId;
use workflow::run::{Applied, Event};

use crate::process::{Process, effects, within};

fn given(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: start tests/alertmanager/run"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The plan of two steps that waits for approval, once Alertmanager has delivered its alert again: the next delivery is
/// then as far away as can be. No repeat may make a plan: the incident has its first and no other.
async fn repeated(server: &Process) -> Value {
    let mut seen = None;
    within(180, "a plan of two steps, and a repeat of its alert", async || {
        let plans = server.get("/plans?status=needs-approval").await;
        let plan = plans["items"].as_array()?.first()?.clone();
        assert_eq!(
            plan["steps"], 2,
            "the likeliest puts the key back and starts the workload again"
        );
        let incident = server.get(&format!("/incidents/{}", text(&plan["incident"]))).await;
        let now = incident["deliveries"].as_u64()?;
        let (id, before) = seen.get_or_insert_with(|| (plan["id"].clone(), now)).clone();
        if now == before {
            return None;
        }
        let all = server.get(&format!("/plans?incident={}", text(&plan["incident"]))).await;
        let all = all["items"].as_array().unwrap();
        assert_eq!((&plan["id"], all.len()), (&id, 1), "a repeat makes no plan: {all:?}");
        Some(plan)
    })
    .await
}

#[tokio::test]
#[ignore = "needs: alertmanager"]
async fn a_run_killed_between_two_effects_goes_on_and_the_end_of_its_alert_closes_the_incident() {
    let dir = PathBuf::from(given("CHIRON_TEST_DATA"));
    let (listen, alertmanager) = (given("CHIRON_TEST_LISTEN"), given("CHIRON_TEST_ALERTMANAGER"));
    // The world runs ahead of the clock: the five minutes of quiet after which an incident closes are half a minute.
    let all = [
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
    let start = |more: &[&str]| Process::start(&dir, &[&all[..], more].concat());

    // Its plan puts a lost key back and starts the workload again. The first step is done when its effect has held for
    // half a minute of the world; the kill falls into that time.
    let server = start(&["--seed", "7", "--fault", "missing-config-key", "--fault-after", "0"]);
    let plan = repeated(&server).await;
    let incident = text(&plan["incident"]).to_string();
    let approved = server
        .request(Method::POST, &format!("/plans/{}/approve", text(&plan["id"])))
        .header("If-Match", format!("\"{}\"", text(&plan["digest"])))
        .send()
        .await
        .unwrap();
    assert_eq!(approved.status(), 200);
    let run: RunId = within(60, "a run between two effects", async || {
        let runs = server.get(&format!("/runs?incident={incident}")).await;
        let run = text(&runs["items"].as_array()?.first()?["id"]).to_string();
        let view = server.get(&format!("/runs/{run}")).await;
        assert!(view["endedAt"].is_null(), "it ended before it could be killed: {}", view["why"]);
        let is_between =
            view["effects"].as_array()?.len() == 1 && view["effects"][0]["applied"] == "yes";
        is_between.then(|| run.parse().unwrap())
    })
    .await;
    server.kill();

    let killed = Sqlite::open_read_only(&dir).expect("what was acknowledged is there");
    let view = killed.run(&run).await.unwrap().expect("the run is in the record");
    let head = killed.head().await.unwrap();
    drop(killed);
    assert_eq!((view.ended_at, view.effects.len()), (None, 1), "{view:#?}");
    let first = &view.effects[0];
    assert_eq!(first.applied, Applied::Yes, "{view:#?}");
    let second = view.steps.iter().find(|step| step.step != first.step).expect("there are two");
    assert_eq!((second.started_at, second.ended_at), (None, None), "{view:#?}");
    let of_run = |(key, of): (String, String)| (of == run.as_str()).then_some(key);
    let seen: Vec<String> = effects(&dir).into_iter().filter_map(of_run).collect();
    assert_eq!(
        seen,
        std::slice::from_ref(&first.key),
        "the world has seen the one and not the other"
    );
    println!(
        "killed after record {head}: run {run} had applied {}, not {}",
        first.step, second.step
    );

    let server = start(&[]);
    let path = format!("/runs/{run}");
    within(120, "the same run succeeds", async || {
        let run = server.get(&path).await;
        assert!(run["endedAt"].is_null() || run["status"] == "succeeded", "{}", run["why"]);
        (run["status"] == "succeeded").then_some(())
    })
    .await;
    let closed = within(180, "its alert's end is delivered and the incident closes", async || {
        let incident = server.get(&format!("/incidents/{incident}")).await;
        (incident["status"] == "closed").then_some(incident)
    })
    .await;
    assert_eq!(closed["outcome"], "resolved", "{closed}");
    let runs = server.get(&format!("/runs?incident={incident}")).await;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "{runs}");
    server.end();

    let keys: Vec<String> = effects(&dir).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "made twice: {keys:#?}");
    let of_run: BTreeSet<String> = effects(&dir).into_iter().filter_map(of_run).collect();
    assert!(of_run.len() >= 2, "{of_run:#?}");
    // The record tells it in this order: the first change, the restart, the second change, which is the only one left.
    let store = Sqlite::open_read_only(&dir).unwrap();
    let told = store.read(head, 1_000).await.unwrap();
    assert!(matches!(told[0].entry().unwrap(), Entry::EpochClaimed { .. }), "{:?}", told[0]);
    let intents = told.iter().filter_map(|record| match record.entry().unwrap() {
        Entry::Run { run: of, event: Event::IntentWritten { step, .. } } if of == run => Some(step),
        _ => None,
    });
    assert_eq!(intents.collect::<Vec<_>>(), std::slice::from_ref(&second.step));
    println!(
        "{} changes of the run, none twice; {} deliveries",
        of_run.len(),
        closed["deliveries"]
    );
}
