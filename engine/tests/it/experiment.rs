//! Experiments: who is exposed to which variant, what that changes, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Value, json};
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus, Treatment, Variant};
use workflow::guardrail::Autonomy;
use workflow::id::{ExperimentId, IncidentId};
use workflow::input::{Query, RefusedBecause};
use workflow::{Answer, Entry, Input, Limits, alertmanager};

use crate::house::{House, Plan};

/// Nothing mends the fault here, so that every incident comes to a second decision.
fn house(seed: u64) -> House {
    House::build(&Plan { family: "bad-image", seed, autonomy: Autonomy::Auto, templates: &[] })
}

/// The house's own policy is `first`, so a decision's policy tells which variant made it.
fn greedy() -> Treatment {
    Treatment::Policy { policy: "greedy".into() }
}

/// Makes an experiment of which the second variant, with this share, is treated so.
fn made(house: &mut House, alerts: &[&str], share: f64, treatment: Treatment) -> ExperimentId {
    let variant = |name: &str, share, treatment| Variant { name: name.into(), share, treatment };
    let input = Input::ExperimentCreate {
        name: "greedy or not".into(),
        hypothesis: String::new(),
        variants: vec![
            variant("as-it-is", 1.0 - share, Treatment::Baseline),
            variant("treated", share, treatment),
        ],
        alerts: alerts.iter().map(|name| (*name).into()).collect(),
        alpha: 0.05,
        minimum: 1,
    };
    stands(house.ask(input), ExperimentStatus::Draft)
}

fn start(house: &mut House, id: &ExperimentId) {
    stands(house.ask(Input::ExperimentStart { id: id.clone() }), ExperimentStatus::Running);
}

fn stop(house: &mut House, id: &ExperimentId) {
    let input = Input::ExperimentStop { id: id.clone(), reason: "enough".into() };
    stands(house.ask(input), ExperimentStatus::Stopped);
}

fn stands(answer: Answer, status: ExperimentStatus) -> ExperimentId {
    match answer {
        Answer::Experiment { experiment } if experiment.status == status => experiment.id,
        other => panic!("{other:?}"),
    }
}

/// A person wants another plan for the first incident.
fn replan(house: &mut House) {
    let incident = house.first().incident.clone();
    let answer = house.ask(Input::Replan { incident, by: "ada".into() });
    assert!(matches!(answer, Answer::Planned { .. }), "{answer:?}");
}

/// An experiment, and the name of a variant of it.
type Exposure = (ExperimentId, String);

/// The variant of each exposed incident; no incident is exposed twice.
fn exposed(house: &House) -> BTreeMap<IncidentId, Exposure> {
    let mut exposed = BTreeMap::new();
    for entry in house.entries() {
        if let Entry::Experiment(ExperimentEvent::Exposed { id, incident, variant, .. }) = entry {
            let before = exposed.insert(incident.clone(), (id, variant));
            assert_eq!(before, None, "{incident} was exposed before");
        }
    }
    exposed
}

/// What each decision on an incident says: its exposure and its policy.
fn decided(house: &House) -> Vec<(IncidentId, Option<Exposure>, String)> {
    let of = |entry| match entry {
        Entry::Decided(decision) => Some((decision.incident, decision.exposure, decision.policy)),
        _ => None,
    };
    house.entries().into_iter().filter_map(of).collect()
}

fn results(house: &mut House, id: &ExperimentId) -> Value {
    match house.ask(Input::Query(Query::ExperimentResults { id: id.clone() })) {
        Answer::Result { value } => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_incident_is_exposed_once_and_every_decision_on_it_is_its_variant_s() {
    let mut seen = BTreeSet::new();
    for seed in 1..=6 {
        let mut house = house(seed);
        let id = made(&mut house, &[], 0.5, greedy());
        start(&mut house, &id);
        house.until_first(|case| case.plan.is_some());
        replan(&mut house);
        assert!(house.first().attempt >= 2, "seed {seed}");

        let exposed = exposed(&house);
        let decisions = decided(&house);
        for (incident, exposure, policy) in &decisions {
            let variant = &exposed[incident];
            assert_eq!(exposure.as_ref(), Some(variant), "seed {seed}");
            assert_eq!(variant.0, id);
            let expected = if variant.1 == "treated" { "greedy" } else { "first" };
            assert_eq!(policy, expected, "seed {seed}: {variant:?}");
        }
        let first = &house.first().incident;
        assert!(decisions.iter().filter(|(incident, ..)| incident == first).count() >= 2);
        seen.insert(exposed[first].1.clone());
    }
    assert_eq!(seen.len(), 2, "both variants came about: {seen:?}");
}

#[test]
fn incidents_are_shared_out_as_the_experiment_says() {
    let mut house = house(1);
    for (n, share) in [0.5, 0.2].into_iter().enumerate() {
        let id = made(&mut house, &[], share, greedy());
        let experiment: Experiment = house.engine.folds().experiments.experiments[&id].clone();
        let incidents = (0..200).map(|n| {
            IncidentId::derive(house.engine.now() + SignedDuration::from_secs(n), "drawn", 1)
        });
        let treated = incidents
            .filter(|incident| experiment.variant(incident).name == "treated")
            .count() as f64;
        // Four standard deviations of 200 draws on either side.
        let bound = 4.0 * (200.0 * share * (1.0 - share)).sqrt();
        assert!((treated - 200.0 * share).abs() < bound, "experiment {n}: {treated} of 200");
    }
}

#[test]
fn other_alerts_than_an_experiment_names_are_left_out() {
    let mut house = house(8);
    house.until_first(|case| case.plan.is_some());
    let name = house.first().alert.clone();
    for (alerts, is_in) in [(["Another"], false), ([name.as_str()], true)] {
        let mut house = self::house(8);
        let id = made(&mut house, &alerts, 0.9999, greedy());
        start(&mut house, &id);
        house.until_first(|case| case.plan.is_some());
        let first = house.first().incident.clone();
        assert_eq!(exposed(&house).contains_key(&first), is_in, "{alerts:?}");
        let (_, exposure, policy) =
            decided(&house).into_iter().find(|(incident, ..)| *incident == first).unwrap();
        assert_eq!(exposure.is_some(), is_in, "{alerts:?}");
        assert_eq!(policy, if is_in { "greedy" } else { "first" }, "{alerts:?}");
    }
}

#[test]
fn an_experiment_that_shares_alerts_with_one_that_runs_waits_until_that_has_stopped() {
    let mut house = house(8);
    let everything = made(&mut house, &[], 0.5, greedy());
    let (a, b) = (made(&mut house, &["A"], 0.5, greedy()), made(&mut house, &["B"], 0.5, greedy()));
    start(&mut house, &a);
    start(&mut house, &b);
    let begin = Input::ExperimentStart { id: everything.clone() };
    match house.ask(begin) {
        Answer::Refused { because, code, message, .. } => {
            assert_eq!((because, code.as_str()), (RefusedBecause::Conflict, "experiment_overlaps"));
            let is_named = message.contains(a.as_str()) || message.contains(b.as_str());
            assert!(is_named, "{message}");
        }
        other => panic!("{other:?}"),
    }
    stop(&mut house, &a);
    stop(&mut house, &b);
    start(&mut house, &everything);
}

#[test]
fn nobody_is_exposed_to_a_draft_or_once_it_stopped_and_nobody_in_the_middle() {
    // Where an experiment stands when the first decision is made and when the second is.
    for (first, second) in [
        (ExperimentStatus::Draft, ExperimentStatus::Draft),
        (ExperimentStatus::Draft, ExperimentStatus::Running),
        (ExperimentStatus::Stopped, ExperimentStatus::Stopped),
    ] {
        let mut house = house(8);
        let id = made(&mut house, &[], 0.9999, greedy());
        let go = |house: &mut House, to| match to {
            ExperimentStatus::Draft => {}
            ExperimentStatus::Running => start(house, &id),
            ExperimentStatus::Stopped => {
                start(house, &id);
                stop(house, &id);
            }
        };
        go(&mut house, first);
        house.until_first(|case| case.plan.is_some());
        if second != first {
            go(&mut house, second);
        }
        replan(&mut house);
        assert_eq!(exposed(&house), BTreeMap::new(), "{first:?}, then {second:?}");
        for (_, exposure, policy) in decided(&house) {
            assert_eq!((exposure, policy.as_str()), (None, "first"), "{first:?}, {second:?}");
        }
        let again = house.ask(Input::ExperimentStart { id: id.clone() });
        match again {
            Answer::Experiment { .. } => assert_eq!(second, ExperimentStatus::Draft),
            Answer::Refused { because, code, .. } => {
                assert_eq!(
                    (because, code.as_str()),
                    (RefusedBecause::Conflict, "experiment_status")
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_was_exposed_stays_with_their_variant_after_the_experiment_stopped() {
    let mut house = house(8);
    let id = made(&mut house, &[], 0.9999, greedy());
    start(&mut house, &id);
    house.until_first(|case| case.plan.is_some());
    let before = exposed(&house);
    stop(&mut house, &id);
    replan(&mut house);
    assert_eq!(exposed(&house), before);
    for (incident, exposure, policy) in decided(&house) {
        assert_eq!((exposure.as_ref(), policy.as_str()), (before.get(&incident), "greedy"));
    }
}

#[test]
fn a_variant_leaves_out_the_templates_and_sources_that_it_says() {
    let templates = &["undo-bad-image", "restore-image"];
    let of_template = |name: &str| format!("template {name}");
    for (treatment, expected) in [
        (Treatment::Baseline, vec![of_template("undo-bad-image"), of_template("restore-image")]),
        (
            Treatment::WithoutTemplates { templates: vec!["undo-bad-image".into()] },
            vec![of_template("restore-image")],
        ),
        (Treatment::Sources { sources: vec!["retrieval".into()] }, vec![]),
    ] {
        let plan = Plan { family: "bad-image", seed: 8, autonomy: Autonomy::Suggest, templates };
        let mut house = House::build(&plan);
        let id = made(&mut house, &[], 0.9999, treatment.clone());
        start(&mut house, &id);
        house.until_first(|case| case.plan.is_some());
        let proposed: BTreeSet<String> = house
            .first()
            .decision
            .as_ref()
            .unwrap()
            .options
            .iter()
            .filter_map(|option| match option.source.as_str() {
                "template" => Some(of_template(&option.workflow)),
                "do-nothing" | "escalate" => None,
                source => Some(source.into()),
            })
            .collect();
        assert_eq!(proposed, BTreeSet::from_iter(expected), "{treatment:?}");
    }
}

#[test]
fn results_say_first_whether_there_is_enough_data_and_count_each_incident_once() {
    let mut house = house(8);
    let id = made(&mut house, &[], 0.5, greedy());
    start(&mut house, &id);
    let nothing = results(&mut house, &id);
    assert_eq!(
        (&nothing["isEnough"], &nothing["summary"]),
        (&json!(false), &json!("not enough data"))
    );
    // Alerts about nothing that is there: each is watched or given to a person, and judged after its hold.
    for n in 0..40 {
        let body = json!({"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": format!("Drawn{n}")},
            "annotations": {}, "startsAt": house.engine.now()}]});
        let body = body.to_string();
        let now = house.engine.now();
        let delivery = alertmanager::parse(body.as_bytes(), &Limits::default(), now).unwrap();
        assert!(matches!(house.ask(Input::Deliver(delivery)), Answer::Received { .. }));
        house.seconds(1);
    }
    house.seconds(900);
    let shown = results(&mut house, &id);
    let exposed = exposed(&house);
    for variant in shown["variants"].as_array().unwrap() {
        let own = exposed.values().filter(|(_, name)| variant["name"] == json!(name)).count();
        assert_eq!(variant["exposed"], json!(own), "{shown}");
        assert_eq!(variant["outcomes"], json!(own), "{shown}");
    }
    assert!(exposed.len() >= 40, "{}", exposed.len());
    assert_eq!(shown["isEnough"], json!(true), "{shown}");
}
