//! Runs whose alert resolves.

use cluster::{Agent, Cluster as _, Mode, Patch, Preconditions, Request, Verb};
use jiff::SignedDuration;
use serde_json::{Value, json};
use workflow::AlertStatus;
use workflow::id::RunId;
use workflow::run::{Event, RunInput, RunStatus, StepStatus};

use crate::harness::{ExecutorHarness, deployment, plan, ready, scale, with};

/// Two steps; the first one waits for a post-condition.
fn two_steps() -> Vec<Value> {
    vec![
        with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
        with(scale("two", "b", 3), json!({"needs": ["one"]})),
    ]
}

/// Starts the run and stops after the first change was sent.
async fn start_run(harness: &mut ExecutorHarness) -> RunId {
    let first = plan(&harness.world(), two_steps(), vec![]);
    let run = harness.submit(1, first);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |harness| harness.sends() > 0).await;
    run
}

fn alert(harness: &mut ExecutorHarness, run: &RunId, status: AlertStatus) {
    harness.inbox.push(RunInput::AlertChanged { run: run.clone(), status });
}

/// Bad-input row A11: when the alert resolves and all objects are healthy, the step in progress is finished and the others
/// are skipped.
#[tokio::test]
async fn remaining_steps_are_skipped_when_alert_resolves() {
    let mut harness = ExecutorHarness::new().await;
    let run = start_run(&mut harness).await;
    alert(&mut harness, &run, AlertStatus::Resolved);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    let view = harness.view(&run).clone();
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert!(view.message.contains("1 of 2 steps skipped (no longer needed)"), "{}", view.message);
    let status_of = |step: &str| view.step(step).unwrap().status;
    assert_eq!((status_of("one"), status_of("two")), (StepStatus::Succeeded, StepStatus::Skipped));
    assert!(view.step("two").unwrap().message.starts_with("no longer needed"), "{view:#?}");
    assert_eq!(
        (harness.replicas("a"), harness.replicas("b")),
        (3, 2),
        "nothing is undone and no further step is executed"
    );
}

/// Bad-input row A11: the remaining steps are executed if an object is still unhealthy or the alert fires again.
#[tokio::test]
async fn remaining_steps_run_if_unhealthy_or_refired() {
    // A workload is unhealthy and stays unhealthy.
    let mut harness = ExecutorHarness::new().await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "reg/nowhere:v9"}]}}}});
    let request = Request {
        target: deployment(&harness.world(), "c").reference("sim"),
        verb: Verb::Patch { patch: Patch::Strategic(patch), subresource: None },
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: Agent::default(),
    };
    harness.cluster().send(&request).await;
    let soon = harness.now() + SignedDuration::from_mins(2);
    harness.world().advance_fully(soon);
    let run = start_run(&mut harness).await;
    alert(&mut harness, &run, AlertStatus::Resolved);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    let view = harness.view(&run);
    assert_eq!((view.status, view.message.as_str()), (RunStatus::Succeeded, "all steps succeeded"));
    assert_eq!(harness.replicas("b"), 3);

    // All workloads are healthy, and the alert fires again before the end of the quiet period.
    let mut harness = ExecutorHarness::new().await;
    let run = start_run(&mut harness).await;
    alert(&mut harness, &run, AlertStatus::Resolved);
    let deadline = harness.one_hour_from_now();
    harness
        .run_until(deadline, |harness| {
            harness.view(&run).step("one").unwrap().status == StepStatus::Succeeded
        })
        .await;
    assert_eq!(harness.view(&run).step("two").unwrap().status, StepStatus::Pending);
    alert(&mut harness, &run, AlertStatus::Firing);
    harness.run_until(deadline, |_| false).await;
    assert_eq!((harness.view(&run).status, harness.replicas("b")), (RunStatus::Succeeded, 3));
}

/// Bad-input row A10: with a flapping alert, no step starts while the alert is resolved, and the run still ends.
#[tokio::test]
async fn no_step_starts_while_flapping_alert_is_resolved() {
    let mut harness = ExecutorHarness::new().await;
    let run = start_run(&mut harness).await;
    for second in 0..600 {
        if harness.view(&run).status.is_terminal() {
            break;
        }
        let status = if second % 2 == 0 { AlertStatus::Resolved } else { AlertStatus::Firing };
        alert(&mut harness, &run, status);
        let next = harness.now() + SignedDuration::from_secs(1);
        harness.run_until(next, |_| false).await;
        harness.world().advance_fully(next);
        harness.inbox.push(RunInput::Due);
    }
    assert_eq!(harness.view(&run).status, RunStatus::Succeeded, "{:#?}", harness.view(&run));
    assert_eq!((harness.replicas("a"), harness.replicas("b"), harness.sends()), (3, 3, 2));
    let (mut last, mut flaps) = (AlertStatus::Firing, 0);
    for event in harness.events(&run).await {
        match event {
            Event::AlertChanged { status, .. } => (last, flaps) = (status, flaps + 1),
            Event::StepStarted { step, .. } => assert_eq!(last, AlertStatus::Firing, "{step}"),
            _ => {}
        }
    }
    assert!(flaps > 10, "{flaps}");
    harness.assert_no_duplicate_effects();
}

/// Bad-input row A11: a run that starts after its alert resolved executes no step if all objects are healthy.
#[tokio::test]
async fn run_started_after_alert_resolved_does_nothing() {
    let mut harness = ExecutorHarness::new().await;
    let first = plan(&harness.world(), two_steps(), vec![]);
    let run = harness.submit(1, first);
    alert(&mut harness, &run, AlertStatus::Resolved);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    let view = harness.view(&run);
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert!(view.steps.iter().all(|step| step.status == StepStatus::Skipped), "{view:#?}");
    assert_eq!(harness.sends(), 0);
}
