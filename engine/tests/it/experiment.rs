//! Experiments: assignment of variants, their effect on decisions, and the reported results.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Value, json};
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus, Treatment, Variant};
use workflow::guardrail::Autonomy;
use workflow::id::{ExperimentId, IncidentId};
use workflow::input::{ErrorKind, Query};
use workflow::{EngineResponse, Entry, Input, Limits, alertmanager};

use crate::harness::{EngineHarness, HarnessConfig};

/// A harness without templates: no plan fixes the fault, so every incident gets a second decision.
fn harness(seed: u64) -> EngineHarness {
    EngineHarness::build(&HarnessConfig {
        family: "bad-image",
        seed,
        autonomy: Autonomy::Auto,
        templates: &[],
    })
}

/// The harness's own policy is `first`, so the policy of a decision shows its variant.
fn greedy() -> Treatment {
    Treatment::Policy { policy: "greedy".into() }
}

/// Creates an experiment whose second variant has this share and treatment.
fn create(
    harness: &mut EngineHarness,
    alerts: &[&str],
    share: f64,
    treatment: Treatment,
) -> ExperimentId {
    let variant = |name: &str, share, treatment| Variant { name: name.into(), share, treatment };
    let input = Input::ExperimentCreate {
        name: "greedy or not".into(),
        hypothesis: String::new(),
        variants: vec![
            variant("control", 1.0 - share, Treatment::Baseline),
            variant("treated", share, treatment),
        ],
        alerts: alerts.iter().map(|name| (*name).into()).collect(),
        alpha: 0.05,
        minimum: 1,
    };
    expect_status(harness.send(input), ExperimentStatus::Draft)
}

fn start(harness: &mut EngineHarness, id: &ExperimentId) {
    expect_status(
        harness.send(Input::ExperimentStart { id: id.clone() }),
        ExperimentStatus::Running,
    );
}

fn stop(harness: &mut EngineHarness, id: &ExperimentId) {
    let input = Input::ExperimentStop { id: id.clone(), reason: "enough".into() };
    expect_status(harness.send(input), ExperimentStatus::Stopped);
}

fn expect_status(response: EngineResponse, status: ExperimentStatus) -> ExperimentId {
    match response {
        EngineResponse::Experiment { experiment } if experiment.status == status => experiment.id,
        other => panic!("{other:?}"),
    }
}

/// Requests another plan for the first incident.
fn replan(harness: &mut EngineHarness) {
    let incident = harness.first_case().incident.clone();
    let response = harness.send(Input::Replan { incident, actor: "ada".into() });
    assert!(matches!(response, EngineResponse::Planned { .. }), "{response:?}");
}

/// An experiment and the name of one of its variants.
type Exposure = (ExperimentId, String);

/// Returns the exposure of each incident, and asserts that no incident is exposed twice.
fn exposures(harness: &EngineHarness) -> BTreeMap<IncidentId, Exposure> {
    let mut exposures = BTreeMap::new();
    for entry in harness.entries() {
        if let Entry::Experiment(ExperimentEvent::Exposed { id, incident, variant, .. }) = entry {
            let before = exposures.insert(incident.clone(), (id, variant));
            assert_eq!(before, None, "{incident} was already exposed");
        }
    }
    exposures
}

/// Returns the incident, exposure and policy of each decision.
fn decisions(harness: &EngineHarness) -> Vec<(IncidentId, Option<Exposure>, String)> {
    let of = |entry| match entry {
        Entry::Decided(decision) => Some((decision.incident, decision.exposure, decision.policy)),
        _ => None,
    };
    harness.entries().into_iter().filter_map(of).collect()
}

fn results(harness: &mut EngineHarness, id: &ExperimentId) -> Value {
    match harness.send(Input::Query(Query::ExperimentResults { id: id.clone() })) {
        EngineResponse::Result { value } => value,
        other => panic!("{other:?}"),
    }
}

/// An incident is exposed once, and all its decisions follow its variant.
#[test]
fn incident_keeps_its_variant_for_all_decisions() {
    let mut seen = BTreeSet::new();
    for seed in 1..=6 {
        let mut harness = harness(seed);
        let id = create(&mut harness, &[], 0.5, greedy());
        start(&mut harness, &id);
        harness.run_until_first_case(|case| case.plan().is_some());
        replan(&mut harness);
        assert!(harness.first_case().attempts() >= 2, "seed {seed}");

        let exposures = exposures(&harness);
        let decisions = decisions(&harness);
        for (incident, exposure, policy) in &decisions {
            let variant = &exposures[incident];
            assert_eq!(exposure.as_ref(), Some(variant), "seed {seed}");
            assert_eq!(variant.0, id);
            let expected = if variant.1 == "treated" { "greedy" } else { "first" };
            assert_eq!(policy, expected, "seed {seed}: {variant:?}");
        }
        let first = &harness.first_case().incident;
        assert!(decisions.iter().filter(|(incident, ..)| incident == first).count() >= 2);
        seen.insert(exposures[first].1.clone());
    }
    assert_eq!(seen.len(), 2, "both variants occurred: {seen:?}");
}

#[test]
fn variants_are_assigned_according_to_shares() {
    let mut harness = harness(1);
    for (n, share) in [0.5, 0.2].into_iter().enumerate() {
        let id = create(&mut harness, &[], share, greedy());
        let experiment: Experiment = harness.engine.folds().experiments.experiments[&id].clone();
        let incidents = (0..200).map(|n| {
            IncidentId::derive(harness.engine.now() + SignedDuration::from_secs(n), "drawn", 1)
        });
        let treated = incidents
            .filter(|incident| experiment.variant(incident).name == "treated")
            .count() as f64;
        // Four standard deviations of 200 random assignments on either side.
        let bound = 4.0 * (200.0 * share * (1.0 - share)).sqrt();
        assert!((treated - 200.0 * share).abs() < bound, "experiment {n}: {treated} of 200");
    }
}

#[test]
fn experiment_excludes_alerts_that_it_does_not_name() {
    let mut harness = harness(8);
    harness.run_until_first_case(|case| case.plan().is_some());
    let name = harness.first_case().alert.clone();
    for (alerts, is_in) in [(["Another"], false), ([name.as_str()], true)] {
        let mut harness = self::harness(8);
        let id = create(&mut harness, &alerts, 0.9999, greedy());
        start(&mut harness, &id);
        harness.run_until_first_case(|case| case.plan().is_some());
        let first = harness.first_case().incident.clone();
        assert_eq!(exposures(&harness).contains_key(&first), is_in, "{alerts:?}");
        let (_, exposure, policy) =
            decisions(&harness).into_iter().find(|(incident, ..)| *incident == first).unwrap();
        assert_eq!(exposure.is_some(), is_in, "{alerts:?}");
        assert_eq!(policy, if is_in { "greedy" } else { "first" }, "{alerts:?}");
    }
}

/// An experiment cannot start while a running experiment shares its alerts.
#[test]
fn overlapping_experiment_cannot_start() {
    let mut harness = harness(8);
    let everything = create(&mut harness, &[], 0.5, greedy());
    let (a, b) =
        (create(&mut harness, &["A"], 0.5, greedy()), create(&mut harness, &["B"], 0.5, greedy()));
    start(&mut harness, &a);
    start(&mut harness, &b);
    let start_input = Input::ExperimentStart { id: everything.clone() };
    match harness.send(start_input) {
        EngineResponse::Refused { kind, code, message, .. } => {
            assert_eq!((kind, code.as_str()), (ErrorKind::Conflict, "experiment_overlaps"));
            let is_named = message.contains(a.as_str()) || message.contains(b.as_str());
            assert!(is_named, "{message}");
        }
        other => panic!("{other:?}"),
    }
    stop(&mut harness, &a);
    stop(&mut harness, &b);
    start(&mut harness, &everything);
}

/// Draft and stopped experiments assign no variants, and neither does one that starts after an incident's first decision.
#[test]
fn only_running_experiments_assign_variants() {
    // Status of the experiment at the first and at the second decision.
    for (first, second) in [
        (ExperimentStatus::Draft, ExperimentStatus::Draft),
        (ExperimentStatus::Draft, ExperimentStatus::Running),
        (ExperimentStatus::Stopped, ExperimentStatus::Stopped),
    ] {
        let mut harness = harness(8);
        let id = create(&mut harness, &[], 0.9999, greedy());
        let set_status = |harness: &mut EngineHarness, to| match to {
            ExperimentStatus::Draft => {}
            ExperimentStatus::Running => start(harness, &id),
            ExperimentStatus::Stopped => {
                start(harness, &id);
                stop(harness, &id);
            }
        };
        set_status(&mut harness, first);
        harness.run_until_first_case(|case| case.plan().is_some());
        if second != first {
            set_status(&mut harness, second);
        }
        replan(&mut harness);
        assert_eq!(exposures(&harness), BTreeMap::new(), "{first:?}, then {second:?}");
        for (_, exposure, policy) in decisions(&harness) {
            assert_eq!((exposure, policy.as_str()), (None, "first"), "{first:?}, {second:?}");
        }
        let response = harness.send(Input::ExperimentStart { id: id.clone() });
        match response {
            EngineResponse::Experiment { .. } => assert_eq!(second, ExperimentStatus::Draft),
            EngineResponse::Refused { kind, code, .. } => {
                assert_eq!((kind, code.as_str()), (ErrorKind::Conflict, "experiment_status"));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// An exposed incident keeps its variant after the experiment stopped.
#[test]
fn exposure_persists_after_experiment_stops() {
    let mut harness = harness(8);
    let id = create(&mut harness, &[], 0.9999, greedy());
    start(&mut harness, &id);
    harness.run_until_first_case(|case| case.plan().is_some());
    let before = exposures(&harness);
    stop(&mut harness, &id);
    replan(&mut harness);
    assert_eq!(exposures(&harness), before);
    for (incident, exposure, policy) in decisions(&harness) {
        assert_eq!((exposure.as_ref(), policy.as_str()), (before.get(&incident), "greedy"));
    }
}

#[test]
fn variant_excludes_its_templates_and_sources() {
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
        let plan =
            HarnessConfig { family: "bad-image", seed: 8, autonomy: Autonomy::Suggest, templates };
        let mut harness = EngineHarness::build(&plan);
        let id = create(&mut harness, &[], 0.9999, treatment.clone());
        start(&mut harness, &id);
        harness.run_until_first_case(|case| case.plan().is_some());
        let proposed: BTreeSet<String> = harness
            .first_case()
            .decision()
            .unwrap()
            .candidates
            .iter()
            .filter_map(|scored| match scored.source.as_str() {
                "template" => Some(of_template(&scored.workflow)),
                "do-nothing" | "escalate" => None,
                source => Some(source.into()),
            })
            .collect();
        assert_eq!(proposed, BTreeSet::from_iter(expected), "{treatment:?}");
    }
}

/// Results state whether there is enough data, and count each incident once.
#[test]
fn results_report_data_sufficiency_and_count_incidents() {
    let mut harness = harness(8);
    let id = create(&mut harness, &[], 0.5, greedy());
    start(&mut harness, &id);
    let nothing = results(&mut harness, &id);
    assert_eq!(
        (&nothing["hasEnoughData"], &nothing["summary"]),
        (&json!(false), &json!("not enough data"))
    );
    // Alerts about objects that do not exist: the engine does nothing or escalates, and records an outcome for each.
    for n in 0..40 {
        let body = json!({"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": format!("Drawn{n}")},
            "annotations": {}, "startsAt": harness.engine.now()}]});
        let body = body.to_string();
        let now = harness.engine.now();
        let delivery = alertmanager::parse(body.as_bytes(), &Limits::default(), now).unwrap();
        assert!(matches!(
            harness.send(Input::IngestAlerts(delivery)),
            EngineResponse::Received { .. }
        ));
        harness.run_for_seconds(1);
    }
    harness.run_for_seconds(900);
    let shown = results(&mut harness, &id);
    let exposures = exposures(&harness);
    for variant in shown["variants"].as_array().unwrap() {
        let own = exposures.values().filter(|(_, name)| variant["name"] == json!(name)).count();
        assert_eq!(variant["exposed"], json!(own), "{shown}");
        assert_eq!(variant["outcomes"], json!(own), "{shown}");
    }
    assert!(exposures.len() >= 40, "{}", exposures.len());
    assert_eq!(shown["hasEnoughData"], json!(true), "{shown}");
}
