//! What a run does with the end of the alert that it was made for.

use cluster::{Agent, Cluster as _, Mode, Patch, Preconditions, Request, Verb};
use jiff::SignedDuration;
use serde_json::{Value, json};
use workflow::AlertStatus;
use workflow::id::RunId;
use workflow::run::{Event, RunInput, RunStatus, StepStatus};

use crate::rig::{Rig, deployment, plan, ready, scale, with};

/// Two steps, the first of which takes a while.
fn two_steps() -> Vec<Value> {
    vec![
        with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
        with(scale("two", "b", 3), json!({"needs": ["one"]})),
    ]
}

/// Begins the run and stops where the first change has been sent.
async fn begun(rig: &mut Rig) -> RunId {
    let first = plan(&rig.world(), two_steps(), vec![]);
    let run = rig.submit(1, first);
    let hour = rig.hour();
    rig.go(hour, |rig| rig.sends() > 0).await;
    run
}

fn alert(rig: &mut Rig, run: &RunId, status: AlertStatus) {
    rig.inbox.push(RunInput::Alert { run: run.clone(), status });
}

#[tokio::test]
async fn a11_the_step_in_flight_is_finished_and_the_rest_left_out_once_the_alert_ended_and_all_is_well()
 {
    let mut rig = Rig::new().await;
    let run = begun(&mut rig).await;
    alert(&mut rig, &run, AlertStatus::Resolved);
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    let view = rig.view(&run).clone();
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert!(view.why.contains("1 of 2 steps were not needed any more"), "{}", view.why);
    let stands = |step: &str| view.step(step).unwrap().status;
    assert_eq!((stands("one"), stands("two")), (StepStatus::Succeeded, StepStatus::Skipped));
    assert!(view.step("two").unwrap().why.starts_with("not needed any more"), "{view:#?}");
    assert_eq!(
        (rig.replicas("a"), rig.replicas("b")),
        (3, 2),
        "nothing is undone, nothing more done"
    );
}

#[tokio::test]
async fn a11_the_rest_is_done_where_what_was_unwell_still_is_or_the_alert_fires_again() {
    // Something is unwell, and stays so.
    let mut rig = Rig::new().await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "reg/nowhere:v9"}]}}}});
    let request = Request {
        target: deployment(&rig.world(), "c").reference("sim"),
        verb: Verb::Patch { patch: Patch::Strategic(patch), subresource: None },
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: Agent::default(),
    };
    rig.cluster().send(&request).await;
    let soon = rig.now() + SignedDuration::from_mins(2);
    rig.world().advance_fully(soon);
    let run = begun(&mut rig).await;
    alert(&mut rig, &run, AlertStatus::Resolved);
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    let view = rig.view(&run);
    assert_eq!(
        (view.status, view.why.as_str()),
        (RunStatus::Succeeded, "every step did what it says")
    );
    assert_eq!(rig.replicas("b"), 3);

    // All is well, and the alert fires again before it has been quiet for long.
    let mut rig = Rig::new().await;
    let run = begun(&mut rig).await;
    alert(&mut rig, &run, AlertStatus::Resolved);
    let hour = rig.hour();
    rig.go(hour, |rig| rig.view(&run).step("one").unwrap().status == StepStatus::Succeeded).await;
    assert_eq!(rig.view(&run).step("two").unwrap().status, StepStatus::Pending);
    alert(&mut rig, &run, AlertStatus::Firing);
    rig.go(hour, |_| false).await;
    assert_eq!((rig.view(&run).status, rig.replicas("b")), (RunStatus::Succeeded, 3));
}

#[tokio::test]
async fn a10_under_a_flapping_alert_no_step_begins_in_a_quiet_moment_and_the_run_comes_to_its_end()
{
    let mut rig = Rig::new().await;
    let run = begun(&mut rig).await;
    for second in 0..600 {
        if rig.view(&run).status.is_terminal() {
            break;
        }
        let status = if second % 2 == 0 { AlertStatus::Resolved } else { AlertStatus::Firing };
        alert(&mut rig, &run, status);
        let next = rig.now() + SignedDuration::from_secs(1);
        rig.go(next, |_| false).await;
        rig.world().advance_fully(next);
        rig.inbox.push(RunInput::Due);
    }
    assert_eq!(rig.view(&run).status, RunStatus::Succeeded, "{:#?}", rig.view(&run));
    assert_eq!((rig.replicas("a"), rig.replicas("b"), rig.sends()), (3, 3, 2));
    let (mut last, mut flaps) = (AlertStatus::Firing, 0);
    for event in rig.events(&run).await {
        match event {
            Event::AlertChanged { status, .. } => (last, flaps) = (status, flaps + 1),
            Event::StepStarted { step, .. } => assert_eq!(last, AlertStatus::Firing, "{step}"),
            _ => {}
        }
    }
    assert!(flaps > 10, "{flaps}");
    rig.assert_single();
}

#[tokio::test]
async fn a11_a_run_that_begins_after_its_alert_ended_does_nothing_where_all_is_well() {
    let mut rig = Rig::new().await;
    let first = plan(&rig.world(), two_steps(), vec![]);
    let run = rig.submit(1, first);
    alert(&mut rig, &run, AlertStatus::Resolved);
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    let view = rig.view(&run);
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert!(view.steps.iter().all(|step| step.status == StepStatus::Skipped), "{view:#?}");
    assert_eq!(rig.sends(), 0);
}
