//! Alerts that fire again after what they were about was mended.

use engine::Stage;
use serde_json::json;
use workflow::guardrail::Autonomy;
use workflow::outcome::{Stage as Judged, Verdict};
use workflow::{Answer, Entry, Input, Limits, Outcome, alertmanager};

use crate::house::{House, Plan};

/// The shop, mended and watched.
fn watched() -> House {
    let mut house = House::build(&Plan {
        family: "missing-config-key",
        seed: 42,
        autonomy: Autonomy::Auto,
        templates: &["restore-missing-key"],
    });
    house.until_first(|case| matches!(case.stage, Stage::Watching(_)));
    house
}

/// A monitoring system says this of the first incident's alert, now.
fn say(house: &mut House, status: &str) {
    let first = house.first().incident.clone();
    let alert = house.engine.folds().incidents.incidents[&first].first.clone();
    let now = house.engine.now();
    let body = json!({"version": "4", "alerts": [{"status": status, "labels": alert.labels,
        "annotations": {}, "startsAt": now}]});
    let delivery =
        alertmanager::parse(body.to_string().as_bytes(), &Limits::default(), now).unwrap();
    assert!(matches!(house.ask(Input::Deliver(delivery)), Answer::Received { .. }));
}

/// What was judged of the first plan.
fn outcomes(house: &House) -> Vec<Outcome> {
    let outcome = |entry| match entry {
        Entry::Observed(outcome) => Some(outcome),
        _ => None,
    };
    let all: Vec<Outcome> = house.entries().into_iter().filter_map(outcome).collect();
    all.iter().filter(|outcome| outcome.plan == all[0].plan).cloned().collect()
}

#[test]
fn what_comes_back_and_stays_is_judged_soon_and_decided_anew_without_what_was_tried() {
    let mut house = watched();
    let before = house.first().clone();
    say(&mut house, "firing");
    house.seconds(60);
    let last = outcomes(&house).pop().unwrap();
    assert_eq!((last.stage, last.verdict), (Judged::Recurrence, Verdict::Recurred), "{last:#?}");
    assert_eq!(last.reward, Some(0.0));
    let after = house.first();
    assert_eq!((before.attempt, after.attempt), (1, 2));
    let decision = after.decision.as_ref().unwrap();
    assert_ne!(Some(decision.id.clone()), before.decision.map(|decision| decision.id));
    let chosen = decision.options.iter().find(|option| option.candidate == decision.chosen);
    assert_ne!(chosen.map(|option| option.workflow.as_str()), Some("restore-missing-key"));
}

#[test]
fn what_comes_back_for_a_moment_is_no_recurrence() {
    let mut house = watched();
    say(&mut house, "firing");
    house.seconds(10);
    say(&mut house, "resolved");
    house.seconds(15 * 60);
    let last = outcomes(&house).pop().unwrap();
    assert_eq!((last.stage, last.verdict), (Judged::Recurrence, Verdict::Resolved), "{last:#?}");
    assert_eq!((house.first().attempt, house.first().stage.clone()), (1, Stage::Settled));
}

#[test]
fn what_comes_back_after_its_incident_closed_is_a_new_incident_and_counts_against_the_plan() {
    let mut house = watched();
    house.until_engine(|folds| {
        folds.incidents.incidents.values().all(|incident| incident.closed_at.is_some())
    });
    assert!(matches!(house.first().stage, Stage::Watching(_)));
    say(&mut house, "firing");
    house.seconds(15 * 60);
    let last = outcomes(&house).pop().unwrap();
    assert_eq!((last.stage, last.verdict), (Judged::Recurrence, Verdict::Recurred), "{last:#?}");
    assert_eq!((house.first().attempt, house.first().stage.clone()), (1, Stage::Settled));
    let incidents = &house.engine.folds().incidents.incidents;
    let previous: Vec<_> = incidents.values().filter_map(|one| one.previous.clone()).collect();
    assert_eq!(previous, [house.first().incident.clone()]);
}
