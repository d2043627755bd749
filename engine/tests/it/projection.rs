//! The engine's state and the store's projections are the same folds of one record.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::RowBody;
use workflow::guardrail::Autonomy;
use workflow::run::{StopLevel, StopScope};
use workflow::{EngineResponse, Input};

use crate::harness::{EngineHarness, HarnessConfig};

/// Entities by id, as the projections of the record show them.
fn projected(harness: &EngineHarness) -> BTreeMap<String, Value> {
    let mut entities = BTreeMap::new();
    for row in store::projection::replay(&harness.records()).unwrap() {
        let entity = match row.body {
            RowBody::Incidents(incident) => json!(incident.incident),
            RowBody::Alerts(alert) if alert.episode.incident.is_some() => json!(alert.episode),
            RowBody::Plans(plan) => json!([plan.plan, plan.state]),
            RowBody::Runs(run) => json!(run),
            RowBody::Experiments(experiment) => json!(experiment.experiment),
            RowBody::Stops(stop) if stop.level.is_some() => json!(stop),
            _ => continue,
        };
        entities.insert(format!("{} {}", row.table, row.id), entity);
    }
    entities
}

/// The same entities as the engine folds them. Only the last plan of an incident is kept.
fn folded(harness: &EngineHarness) -> BTreeMap<String, Value> {
    let (folds, fleet) = (harness.engine.folds(), harness.engine.fleet());
    let mut entities = BTreeMap::new();
    for (id, incident) in &folds.incidents.incidents {
        entities.insert(format!("incidents {id}"), json!(incident));
    }
    for (id, episode) in &folds.incidents.episodes {
        entities.insert(format!("alerts {id}"), json!(episode));
    }
    for attempt in folds.cases.cases.values().filter_map(|case| case.last_attempt.as_ref()) {
        let id = &attempt.plan.id;
        entities.insert(format!("plans {id}"), json!([attempt.plan, attempt.state]));
        if let Some(run) = &attempt.state.run {
            entities.insert(format!("runs {run}"), json!(fleet.view(run).unwrap()));
        }
    }
    for (id, experiment) in &folds.experiments.experiments {
        entities.insert(format!("experiments {id}"), json!(experiment));
    }
    for stop in fleet.stops() {
        let scope = match &stop.scope {
            StopScope::Global => "global".to_string(),
            StopScope::Run { run } => run.to_string(),
        };
        entities.insert(format!("stops {scope}"), json!(stop));
    }
    entities
}

/// Asserts that both agree, and returns how many entities of each table were compared.
fn check(harness: &EngineHarness) -> BTreeMap<String, usize> {
    let (projected, folded) = (projected(harness), folded(harness));
    let mut counts = BTreeMap::new();
    for (key, entity) in &folded {
        assert_eq!(Some(entity), projected.get(key), "{key}");
        *counts.entry(key.split(' ').next().unwrap().to_string()).or_default() += 1;
    }
    for key in projected.keys() {
        let is_earlier = key.starts_with("plans ") || key.starts_with("runs ");
        assert!(is_earlier || folded.contains_key(key), "{key} is not folded by the engine");
    }
    counts
}

#[test]
fn engine_and_projections_fold_the_same_entities() {
    let templates = &["restore-missing-key", "undo-bad-image", "restore-service-selector"];
    for (family, seed) in [
        ("missing-config-key", 2),
        ("missing-config-key", 42),
        ("bad-image", 8),
        ("wrong-service-selector", 3),
        ("nothing-wrong", 1),
    ] {
        let mut harness = EngineHarness::build(&HarnessConfig {
            family,
            seed,
            autonomy: Autonomy::Auto,
            templates,
        });
        harness.run_until(|folds| !folds.cases.cases.is_empty());
        let actor = "ada".to_string();
        let stop = Input::Stop {
            scope: StopScope::Global,
            level: StopLevel::L1,
            actor: actor.clone(),
            reason: "drill".into(),
        };
        assert_eq!(harness.send(stop), EngineResponse::Done);
        let created = harness.send(Input::ExperimentCreate {
            name: "sources".into(),
            hypothesis: String::new(),
            variants: serde_json::from_value(json!([
                {"name": "a", "share": 0.5, "treatment": {"kind": "baseline"}},
                {"name": "b", "share": 0.5, "treatment": {"kind": "baseline"}}
            ]))
            .unwrap(),
            alerts: Vec::new(),
            alpha: 0.05,
            minimum: 5,
        });
        let EngineResponse::Experiment { experiment } = created else { panic!("{created:?}") };
        let start = Input::ExperimentStart { id: experiment.id.clone() };
        assert!(matches!(harness.send(start), EngineResponse::Experiment { .. }));
        harness.run_for_seconds(30);
        let counts = check(&harness);
        assert!(
            ["alerts", "experiments", "incidents", "stops"]
                .iter()
                .all(|table| counts.contains_key(*table)),
            "{counts:?}"
        );
        let clear = Input::ClearStop {
            scope: StopScope::Global,
            actor,
            reason: "the drill is over".into(),
        };
        assert_eq!(harness.send(clear), EngineResponse::Done);
        let end = Input::ExperimentStop { id: experiment.id, reason: "enough".into() };
        assert!(matches!(harness.send(end), EngineResponse::Experiment { .. }));
        for minutes in [5, 15, 40] {
            harness.run_until_minutes(minutes);
            let counts = check(&harness);
            assert!(!counts.contains_key("stops"), "{counts:?}");
        }
    }
}
