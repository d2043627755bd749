//! Alerts that resolve while a plan awaits approval or is being executed.

use std::collections::BTreeSet;

use engine::IncidentStage;
use serde_json::json;
use workflow::guardrail::Autonomy;
use workflow::outcome::OutcomeStatus;
use workflow::run::{Event, RunStatus, StepStatus};
use workflow::{Alert, AlertStatus, EngineResponse, Entry, Input, Limits, alertmanager};

use crate::harness::{EngineHarness, HarnessConfig};

fn harness(autonomy: Autonomy) -> EngineHarness {
    EngineHarness::build(&HarnessConfig {
        family: "missing-config-key",
        seed: 42,
        autonomy,
        templates: &["restore-missing-key"],
    })
}

/// A delivery of the alert with this status.
fn delivery(harness: &EngineHarness, alert: &Alert, status: &str) -> Input {
    let body = json!({"version": "4", "alerts": [{"status": status, "labels": alert.labels,
        "annotations": {}, "startsAt": harness.engine.now()}]});
    let body = body.to_string();
    Input::IngestAlerts(
        alertmanager::parse(body.as_bytes(), &Limits::default(), harness.engine.now()).unwrap(),
    )
}

/// Bad-input row A11: an alert that resolves while a step is in progress ends the run once all objects are healthy.
#[test]
fn alert_resolved_during_step_ends_run_when_healthy() {
    let mut harness = harness(Autonomy::Auto);
    harness.run_until_first_case(|case| matches!(case.stage, IncidentStage::Running { .. }));
    let incident = harness.first_case().incident.clone();
    let alert = harness.engine.folds().incidents.incidents[&incident].first.clone();
    let input = delivery(&harness, &alert, "resolved");
    assert!(matches!(harness.send(input), EngineResponse::Received { .. }));
    let run = harness.first_case().run().cloned().unwrap();
    assert_eq!(harness.engine.fleet().alert_status(&run), Some(AlertStatus::Resolved));
    harness.run_until_minutes(20);
    // The key exists again and the pods have picked it up, so the restart is not needed.
    let view = harness.engine.fleet().view(&run).unwrap();
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    let statuses: Vec<StepStatus> = view.steps.iter().map(|step| step.status).collect();
    assert_eq!(statuses, [StepStatus::Succeeded, StepStatus::Skipped], "{view:#?}");
    let outcome = harness.first_case().outcome().cloned().unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Resolved);
    assert!(
        outcome.reward.is_some_and(|reward| reward > 0.8),
        "the executed step earns the reward"
    );
}

/// Bad-input row A11: a plan approved after its alert resolved executes no step and gets no reward.
#[test]
fn plan_approved_after_alert_resolved_does_nothing() {
    let mut harness = harness(Autonomy::Approve);
    harness
        .run_until_first_case(|case| matches!(case.stage, IncidentStage::AwaitingApproval { .. }));
    harness.apply_fix();
    let incident = harness.first_case().incident.clone();
    harness.run_until(move |folds| folds.incidents.incidents[&incident].quiet_since.is_some());
    let plan = harness.first_case().plan().cloned().unwrap();
    let review = Input::Review {
        plan: plan.id.clone(),
        digest: plan.digest,
        is_approved: true,
        actor: "ada".into(),
        reason: "as proposed".into(),
    };
    assert_eq!(harness.send(review), EngineResponse::Done);
    harness.run_until_first_case(|case| case.outcome().is_some());
    let run = harness.first_case().run().cloned().unwrap();
    let view = harness.engine.fleet().view(&run).unwrap();
    assert_eq!(view.status, RunStatus::Succeeded);
    assert!(view.message.contains("no longer needed"), "{}", view.message);
    assert!(view.effects.is_empty(), "{view:#?}");
    let outcome = harness.first_case().outcome().cloned().unwrap();
    assert_eq!((outcome.status, outcome.reward), (OutcomeStatus::Resolved, None), "{outcome:#?}");
    harness.run_until_minutes(60);
    assert_eq!(harness.first_case().stage, IncidentStage::Closed);
    for entry in harness.entries() {
        match entry {
            Entry::Observed(outcome) if outcome.plan == plan.id => assert_eq!(outcome.reward, None),
            Entry::Executed(execution) => assert_ne!(execution.id, run.to_string()),
            _ => {}
        }
    }
}

/// Bad-input row A10: an alert that flaps every second makes one episode, one incident and one run.
#[test]
fn flapping_alert_makes_one_incident_and_one_run() {
    let mut harness = harness(Autonomy::Auto);
    harness.run_until_first_case(|case| matches!(case.stage, IncidentStage::Running { .. }));
    let incident = harness.first_case().incident.clone();
    let alert = harness.engine.folds().incidents.incidents[&incident].first.clone();
    for second in 0..600_u32 {
        let status = if second % 2 == 0 { "resolved" } else { "firing" };
        let input = delivery(&harness, &alert, status);
        assert!(matches!(harness.send(input), EngineResponse::Received { .. }));
        harness.run_for_seconds(1);
    }
    let (mut episodes, mut runs, mut alert_changes) = (BTreeSet::new(), BTreeSet::new(), 0);
    for entry in harness.entries() {
        match entry {
            Entry::Incident(workflow::incident::IncidentEvent::AlertFired {
                alert: fired,
                episode: n,
                ..
            }) if fired.labels == alert.labels => {
                episodes.insert((fired.id.clone(), n));
            }
            Entry::Run { run, event } => {
                alert_changes += usize::from(matches!(event, Event::AlertChanged { .. }));
                runs.insert(run);
            }
            _ => {}
        }
    }
    assert_eq!((episodes.len(), runs.len()), (1, 1), "{episodes:?} {runs:?}");
    assert!(alert_changes > 2, "{alert_changes}");
    let run = runs.into_iter().next().unwrap();
    assert_eq!(harness.engine.fleet().view(&run).unwrap().status, RunStatus::Succeeded);
}
