//! What comes in together, and what is asked for twice.

use workflow::guardrail::Autonomy;
use workflow::{Answer, Digest, Entry, Incidents, Input, Limits, RequestKey, alertmanager};

use crate::house::{House, Plan};

fn house(autonomy: Autonomy) -> House {
    House::build(&Plan { family: "bad-image", seed: 8, autonomy, templates: &["undo-bad-image"] })
}

/// One delivery of one alert, as Alertmanager sends it.
fn delivery(house: &House, name: &str, status: &str) -> Input {
    let ends = if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-01-01T00:00:10Z" };
    let body = format!(
        r#"{{"version": "4", "status": "{status}", "alerts": [{{"status": "{status}", "labels": {{"alertname": "{name}", "namespace": "n", "deployment": "d"}},
        "annotations": {{}}, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "{ends}"}}]}}"#
    );
    let now = house.engine.now();
    Input::Deliver(alertmanager::parse(body.as_bytes(), &Limits::default(), now).unwrap())
}

#[test]
fn deliveries_of_one_append_see_one_another_and_leave_what_a_replay_gives() {
    let mut house = house(Autonomy::Observe);
    let batches = [
        [("A", "firing"), ("A", "firing"), ("B", "firing"), ("A", "resolved"), ("A", "resolved")],
        [("A", "firing"), ("B", "firing"), ("B", "firing"), ("C", "resolved"), ("C", "firing")],
    ];
    for batch in batches {
        let inputs = batch.map(|(name, status)| delivery(&house, name, status));
        let answers = house.ask_all(inputs.into());
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Received { .. })));
    }
    let mut replayed = Incidents::default();
    for entry in house.entries() {
        if let Entry::Incident(event) = entry {
            replayed.apply(&event);
        }
    }
    assert_eq!(house.engine.folds().incidents, replayed);
    assert_eq!(replayed.incidents.len(), 1, "they are about one thing");
    assert_eq!(replayed.episodes.values().map(|episode| episode.deliveries).max(), Some(5));
}

#[test]
fn another_plan_that_is_asked_for_twice_under_one_key_is_made_once() {
    let mut house = house(Autonomy::Approve);
    house.until_first(|case| case.plan.is_some());
    let first = house.first().plan.clone().unwrap();
    let replan = Input::Replan { incident: first.incident.clone(), by: "ada".into() };
    let request = RequestKey { key: Digest::of(b"key"), body: Digest::of(b"body") };
    let named = Input::Once { request, input: Box::new(replan) };
    let Answer::Planned { plan } = house.ask(named.clone()) else { panic!("no plan was made") };
    assert_ne!(plan, first.id);
    assert_eq!(house.ask(named), Answer::Planned { plan: plan.clone() });
    assert_eq!(house.first().plan.as_ref().map(|plan| &plan.id), Some(&plan));
    let frozen = |entry: &&Entry| matches!(entry, Entry::PlanFrozen(_));
    assert_eq!(house.entries().iter().filter(frozen).count(), 2);
}
