//! Batched deliveries and repeated requests.

use workflow::guardrail::Autonomy;
use workflow::{Digest, EngineResponse, Entry, Incidents, Input, Limits, RequestKey, alertmanager};

use crate::harness::{EngineHarness, HarnessConfig};

fn harness(autonomy: Autonomy) -> EngineHarness {
    EngineHarness::build(&HarnessConfig {
        family: "bad-image",
        seed: 8,
        autonomy,
        templates: &["undo-bad-image"],
    })
}

/// An Alertmanager delivery of one alert.
fn delivery(harness: &EngineHarness, name: &str, status: &str) -> Input {
    let ends = if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-01-01T00:00:10Z" };
    let body = format!(
        r#"{{"version": "4", "status": "{status}", "alerts": [{{"status": "{status}", "labels": {{"alertname": "{name}", "namespace": "n", "deployment": "d"}},
        "annotations": {{}}, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "{ends}"}}]}}"#
    );
    let now = harness.engine.now();
    Input::IngestAlerts(alertmanager::parse(body.as_bytes(), &Limits::default(), now).unwrap())
}

/// Deliveries recorded in one append are decided on each other's events, and a replay gives the same incidents.
#[test]
fn batched_deliveries_match_replay() {
    let mut harness = harness(Autonomy::Observe);
    let batches = [
        [("A", "firing"), ("A", "firing"), ("B", "firing"), ("A", "resolved"), ("A", "resolved")],
        [("A", "firing"), ("B", "firing"), ("B", "firing"), ("C", "resolved"), ("C", "firing")],
    ];
    for batch in batches {
        let inputs = batch.map(|(name, status)| delivery(&harness, name, status));
        let responses = harness.send_all(inputs.into());
        assert!(
            responses.iter().all(|response| matches!(response, EngineResponse::Received { .. }))
        );
    }
    let mut replayed = Incidents::default();
    for entry in harness.entries() {
        if let Entry::Incident(event) = entry {
            replayed.apply(&event);
        }
    }
    assert_eq!(harness.engine.folds().incidents, replayed);
    assert_eq!(replayed.incidents.len(), 1, "all alerts have the same subject");
    assert_eq!(replayed.episodes.values().map(|episode| episode.deliveries).max(), Some(5));
}

#[test]
fn repeated_replan_with_same_key_makes_one_plan() {
    let mut harness = harness(Autonomy::Approve);
    harness.run_until_first_case(|case| case.plan().is_some());
    let first = harness.first_case().plan().cloned().unwrap();
    let replan = Input::Replan { incident: first.incident.clone(), actor: "ada".into() };
    let request = RequestKey { key: Digest::of(b"key"), body: Digest::of(b"body") };
    let idempotent = Input::Idempotent { request, input: Box::new(replan) };
    let EngineResponse::Planned { plan } = harness.send(idempotent.clone()) else {
        panic!("no plan was made")
    };
    assert_ne!(plan, first.id);
    assert_eq!(harness.send(idempotent), EngineResponse::Planned { plan: plan.clone() });
    assert_eq!(harness.first_case().plan().map(|plan| &plan.id), Some(&plan));
    let frozen = |entry: &&Entry| matches!(entry, Entry::PlanFrozen(_));
    assert_eq!(harness.entries().iter().filter(frozen).count(), 2);
}
