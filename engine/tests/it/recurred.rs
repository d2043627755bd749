//! Alerts that fire again after the incident was resolved.

use engine::IncidentStage;
use serde_json::json;
use workflow::guardrail::Autonomy;
use workflow::outcome::{ObservationWindow, OutcomeStatus};
use workflow::{EngineResponse, Entry, Input, Limits, Outcome, alertmanager};

use crate::harness::{EngineHarness, HarnessConfig};

/// A harness whose first incident is resolved and in its recurrence window.
fn resolved_harness() -> EngineHarness {
    let mut harness = EngineHarness::build(&HarnessConfig {
        family: "missing-config-key",
        seed: 42,
        autonomy: Autonomy::Auto,
        templates: &["restore-missing-key"],
    });
    harness
        .run_until_first_case(|case| matches!(case.stage, IncidentStage::RecurrenceWatch { .. }));
    harness
}

/// Delivers the first incident's alert with this status.
fn deliver(harness: &mut EngineHarness, status: &str) {
    let first = harness.first_case().incident.clone();
    let alert = harness.engine.folds().incidents.incidents[&first].first.clone();
    let now = harness.engine.now();
    let body = json!({"version": "4", "alerts": [{"status": status, "labels": alert.labels,
        "annotations": {}, "startsAt": now}]});
    let delivery =
        alertmanager::parse(body.to_string().as_bytes(), &Limits::default(), now).unwrap();
    assert!(matches!(harness.send(Input::IngestAlerts(delivery)), EngineResponse::Received { .. }));
}

/// Outcomes of the first plan.
fn outcomes(harness: &EngineHarness) -> Vec<Outcome> {
    let outcome = |entry| match entry {
        Entry::Observed(outcome) => Some(outcome),
        _ => None,
    };
    let all: Vec<Outcome> = harness.entries().into_iter().filter_map(outcome).collect();
    all.iter().filter(|outcome| outcome.plan == all[0].plan).cloned().collect()
}

/// A recurrence that lasts is recorded soon, and the next decision excludes the plan that was tried.
#[test]
fn lasting_recurrence_leads_to_a_different_plan() {
    let mut harness = resolved_harness();
    let before = harness.first_case().clone();
    deliver(&mut harness, "firing");
    harness.run_for_seconds(60);
    let last = outcomes(&harness).pop().unwrap();
    assert_eq!(
        (last.window, last.status),
        (ObservationWindow::Recurrence, OutcomeStatus::Recurred),
        "{last:#?}"
    );
    assert_eq!(last.reward, Some(0.0));
    let after = harness.first_case();
    assert_eq!((before.attempts(), after.attempts()), (1, 2));
    let decision = after.decision().unwrap();
    assert_ne!(Some(decision.id.clone()), before.decision().map(|decision| decision.id.clone()));
    let chosen = decision.candidates.iter().find(|scored| scored.candidate == decision.chosen);
    assert_ne!(chosen.map(|scored| scored.workflow.as_str()), Some("restore-missing-key"));
}

#[test]
fn alert_that_fires_briefly_is_not_a_recurrence() {
    let mut harness = resolved_harness();
    deliver(&mut harness, "firing");
    harness.run_for_seconds(10);
    deliver(&mut harness, "resolved");
    harness.run_for_seconds(15 * 60);
    let last = outcomes(&harness).pop().unwrap();
    assert_eq!(
        (last.window, last.status),
        (ObservationWindow::Recurrence, OutcomeStatus::Resolved),
        "{last:#?}"
    );
    assert_eq!(
        (harness.first_case().attempts(), harness.first_case().stage.clone()),
        (1, IncidentStage::Closed)
    );
}

/// An alert that fires again after its incident closed opens a new incident, and counts against the plan.
#[test]
fn recurrence_after_closing_opens_incident_and_counts() {
    let mut harness = resolved_harness();
    harness.run_until(|folds| {
        folds.incidents.incidents.values().all(|incident| incident.closed_at.is_some())
    });
    assert!(matches!(harness.first_case().stage, IncidentStage::RecurrenceWatch { .. }));
    deliver(&mut harness, "firing");
    harness.run_for_seconds(15 * 60);
    let last = outcomes(&harness).pop().unwrap();
    assert_eq!(
        (last.window, last.status),
        (ObservationWindow::Recurrence, OutcomeStatus::Recurred),
        "{last:#?}"
    );
    assert_eq!(
        (harness.first_case().attempts(), harness.first_case().stage.clone()),
        (1, IncidentStage::Closed)
    );
    let incidents = &harness.engine.folds().incidents.incidents;
    let previous: Vec<_> =
        incidents.values().filter_map(|incident| incident.previous.clone()).collect();
    assert_eq!(previous, [harness.first_case().incident.clone()]);
}
