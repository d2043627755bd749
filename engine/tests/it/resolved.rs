//! Alerts that end while a plan waits, or a run is under way.

use std::collections::BTreeSet;

use engine::Stage;
use serde_json::json;
use workflow::guardrail::Autonomy;
use workflow::outcome::Verdict;
use workflow::run::{Event, RunStatus, StepStatus};
use workflow::{Alert, AlertStatus, Answer, Entry, Input, Limits, alertmanager};

use crate::house::{House, Plan};

fn house(autonomy: Autonomy) -> House {
    House::build(&Plan {
        family: "missing-config-key",
        seed: 42,
        autonomy,
        templates: &["restore-missing-key"],
    })
}

/// What a monitoring system says of an alert, now.
fn said(house: &House, alert: &Alert, status: &str) -> Input {
    let body = json!({"version": "4", "alerts": [{"status": status, "labels": alert.labels,
        "annotations": {}, "startsAt": house.engine.now()}]});
    let body = body.to_string();
    Input::Deliver(
        alertmanager::parse(body.as_bytes(), &Limits::default(), house.engine.now()).unwrap(),
    )
}

#[test]
fn a11_an_alert_that_ends_while_a_step_is_in_flight_ends_the_run_once_all_is_well() {
    let mut house = house(Autonomy::Auto);
    house.until_first(|case| case.stage == Stage::Running);
    let incident = house.first().incident.clone();
    let alert = house.engine.folds().incidents.incidents[&incident].first.clone();
    let input = said(&house, &alert, "resolved");
    assert!(matches!(house.ask(input), Answer::Received { .. }));
    let run = house.first().run.clone().unwrap();
    assert_eq!(house.engine.fleet().alert(&run), Some(AlertStatus::Resolved));
    house.until(20);
    // The key is there again, and the pods have found it by themselves: nobody needs the restart.
    let view = house.engine.fleet().view(&run).unwrap();
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    let stands: Vec<StepStatus> = view.steps.iter().map(|step| step.status).collect();
    assert_eq!(stands, [StepStatus::Succeeded, StepStatus::Skipped], "{view:#?}");
    let outcome = house.first().outcome.clone().unwrap();
    assert_eq!(outcome.verdict, Verdict::Resolved);
    assert!(outcome.reward.is_some_and(|reward| reward > 0.8), "the step that was done earns it");
}

#[test]
fn a11_a_plan_that_is_approved_after_its_alert_ended_does_nothing_and_earns_nothing() {
    let mut house = house(Autonomy::Approve);
    house.until_first(|case| case.stage == Stage::AwaitingApproval);
    house.mend();
    let incident = house.first().incident.clone();
    house.until_engine(move |folds| folds.incidents.incidents[&incident].quiet_since.is_some());
    let plan = house.first().plan.clone().unwrap();
    let review = Input::Review {
        plan: plan.id.clone(),
        digest: plan.digest,
        is_approved: true,
        by: "ada".into(),
        reason: "as proposed".into(),
    };
    assert_eq!(house.ask(review), Answer::Done);
    house.until_first(|case| case.outcome.is_some());
    let run = house.first().run.clone().unwrap();
    let view = house.engine.fleet().view(&run).unwrap();
    assert_eq!(view.status, RunStatus::Succeeded);
    assert!(view.why.contains("not needed any more"), "{}", view.why);
    assert!(view.effects.is_empty(), "{view:#?}");
    let outcome = house.first().outcome.clone().unwrap();
    assert_eq!((outcome.verdict, outcome.reward), (Verdict::Resolved, None), "{outcome:#?}");
    house.until(60);
    assert_eq!(house.first().stage, Stage::Settled);
    for entry in house.entries() {
        match entry {
            Entry::Observed(outcome) if outcome.plan == plan.id => assert_eq!(outcome.reward, None),
            Entry::Executed(execution) => assert_ne!(execution.id, run.to_string()),
            _ => {}
        }
    }
}

#[test]
fn a10_an_alert_that_flaps_every_second_is_one_episode_one_incident_and_one_run() {
    let mut house = house(Autonomy::Auto);
    house.until_first(|case| case.stage == Stage::Running);
    let incident = house.first().incident.clone();
    let alert = house.engine.folds().incidents.incidents[&incident].first.clone();
    for second in 0..600_u32 {
        let status = if second % 2 == 0 { "resolved" } else { "firing" };
        let input = said(&house, &alert, status);
        assert!(matches!(house.ask(input), Answer::Received { .. }));
        house.seconds(1);
    }
    let (mut episodes, mut runs, mut told) = (BTreeSet::new(), BTreeSet::new(), 0);
    for entry in house.entries() {
        match entry {
            Entry::Incident(workflow::incident::IncidentEvent::AlertFired {
                alert: fired,
                n,
                ..
            }) if fired.labels == alert.labels => {
                episodes.insert((fired.id.clone(), n));
            }
            Entry::Run { run, event } => {
                told += usize::from(matches!(event, Event::AlertChanged { .. }));
                runs.insert(run);
            }
            _ => {}
        }
    }
    assert_eq!((episodes.len(), runs.len()), (1, 1), "{episodes:?} {runs:?}");
    assert!(told > 2, "{told}");
    let run = runs.into_iter().next().unwrap();
    assert_eq!(house.engine.fleet().view(&run).unwrap().status, RunStatus::Succeeded);
}
