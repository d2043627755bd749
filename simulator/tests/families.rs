//! Every family of the starter suite: it breaks, it is seen, it stays broken, it can be mended.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cluster::{
    Agent, HealthLevel, JsonOp, Mode, ObjectRef, Patch, Preconditions, Reply, Request, Verb,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::scenario::{prepare, prepare_named};
use simulator::{Emission, Naming, Oracle, Prepared, ScenarioFile, World, WorldFile};
use workflow::Step;

const SEEDS: std::ops::Range<u64> = 0..6;

fn datasets() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../datasets")
}

fn shop() -> WorldFile {
    WorldFile::parse(&std::fs::read_to_string(datasets().join("worlds/shop.yaml")).unwrap())
        .unwrap()
}

fn starter() -> Vec<ScenarioFile> {
    let folder = std::fs::read_dir(datasets().join("scenarios/starter")).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            ScenarioFile::parse(&std::fs::read_to_string(path).unwrap())
                .unwrap_or_else(|e| panic!("{path:?}: {e}"))
        })
        .collect()
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// A world shortly after its fault, when alerts have had time to fire; and what fired.
fn broken(scenario: &ScenarioFile, shop: &WorldFile, seed: u64) -> (Prepared, BTreeSet<String>) {
    let mut prepared = prepare(scenario, shop, seed, start()).unwrap();
    let fired = run(&mut prepared.world, prepared.oracle.fault_at() - SignedDuration::from_secs(1));
    let healths = prepared.world.healths();
    assert_eq!(healths.len(), 30);
    for (object, health) in healths {
        assert_eq!(health.level, HealthLevel::Healthy, "{object}, seed {seed}: {}", health.reason);
    }
    assert_eq!(
        fired,
        BTreeSet::new(),
        "{}, seed {seed}: nothing fires while all is well",
        scenario.metadata.name
    );
    let fired = run(&mut prepared.world, prepared.oracle.fault_at() + minutes(6));
    (prepared, fired)
}

/// Lets time pass, and gives the names of alerts that were delivered as firing.
fn run(world: &mut World, until: Timestamp) -> BTreeSet<String> {
    let mut fired = BTreeSet::new();
    for Emission::Alerts(webhook) in world.advance_fully(until) {
        let firing = webhook.alerts.iter().filter(|alert| alert.status == "firing");
        fired.extend(firing.map(|alert| alert.labels["alertname"].clone()));
    }
    fired
}

fn send(world: &mut World, target: &Value, patch: Patch) {
    let text = |field: &str| target[field].as_str().unwrap();
    let request = Request {
        target: ObjectRef::builtin("sim", text("kind"), Some(text("namespace")), text("name")),
        verb: Verb::Patch { patch, subresource: None },
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: Agent { effect_key: "mend".into(), ..Agent::default() },
    };
    let reply = world.send(&request);
    assert!(matches!(reply, Reply::Accepted(_)), "{target}: {reply:?}");
}

/// Sends what a step of a fix asks for, by hand.
fn mend(world: &mut World, step: &Step) {
    let args = &step.arguments;
    let container = |body: Value| {
        let mut body = body;
        body["name"] = args["container"].clone();
        Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [body]}}}}))
    };
    let patch = match step.action.as_str() {
        "set-image" => container(json!({"image": args["image"]})),
        "set-env" => container(json!({"env": [{"name": args["name"], "value": args["value"]}]})),
        "set-resources" => container(json!({"resources": {"limits": args["limits"]}})),
        "set-probe" => container(json!({"readinessProbe": {"httpGet": args["httpGet"]}})),
        "scale" => Patch::Merge(json!({"spec": {"replicas": args["replicas"]}})),
        "restore-config-key" => {
            Patch::Merge(json!({"data": {args["key"].as_str().unwrap(): args["value"]}}))
        }
        "set-service-selector" => Patch::Json(vec![JsonOp::Replace {
            path: "/spec/selector".into(),
            value: args["selector"].clone(),
        }]),
        "set-service-port" => Patch::Strategic(
            json!({"spec": {"ports": [{"port": args["port"], "targetPort": args["targetPort"]}]}}),
        ),
        other => panic!("no fix uses {other}"),
    };
    send(world, &args["target"], patch);
}

fn restart_everything(world: &mut World) {
    let deployments: Vec<Value> =
        world.objects().filter(|o| o.kind().kind == "Deployment").map(|o| o.to_value()).collect();
    for deployment in deployments {
        let target = json!({"kind": "Deployment", "namespace": deployment["metadata"]["namespace"], "name": deployment["metadata"]["name"]});
        let stamp = json!({"kubectl.kubernetes.io/restartedAt": "now"});
        send(
            world,
            &target,
            Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": stamp}}}})),
        );
    }
}

#[test]
fn the_starter_suite_has_eight_faults_and_one_world_without() {
    let families: Vec<String> =
        starter().iter().map(|scenario| scenario.spec.family.clone()).collect();
    assert_eq!(families.len(), 9);
    assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), 9);
    assert_eq!(starter().iter().filter(|scenario| scenario.spec.right_to_ignore).count(), 1);
}

#[test]
fn each_fault_fires_an_expected_alert() {
    let shop = shop();
    for scenario in starter() {
        for seed in SEEDS {
            let (prepared, fired) = broken(&scenario, &shop, seed);
            let expected = prepared.oracle.expected_alerts();
            assert!(
                expected.iter().any(|name| fired.contains(name)),
                "{}, seed {seed}: {fired:?}",
                scenario.metadata.name
            );
        }
    }
}

#[test]
fn doing_nothing_mends_no_fault_and_is_right_where_nothing_is_wrong() {
    let shop = shop();
    for scenario in starter() {
        for seed in SEEDS {
            let (mut prepared, _) = broken(&scenario, &shop, seed);
            let verdict = prepared.oracle.check(&mut prepared.world);
            let is_right = scenario.spec.right_to_ignore;
            assert_eq!(
                verdict.mitigated, is_right,
                "{}, seed {seed}: {}",
                scenario.metadata.name, verdict.why
            );
        }
    }
}

#[test]
fn restarting_everything_mends_no_fault() {
    let shop = shop();
    for scenario in starter() {
        for seed in SEEDS {
            let (mut prepared, _) = broken(&scenario, &shop, seed);
            restart_everything(&mut prepared.world);
            let verdict = prepared.oracle.check(&mut prepared.world);
            assert!(!verdict.mitigated, "{}, seed {seed}", scenario.metadata.name);
        }
    }
}

#[test]
fn deleting_the_object_mends_no_fault() {
    let shop = shop();
    for scenario in starter() {
        let is_sound = scenario.spec.right_to_ignore;
        for (kind, seed) in SEEDS.flat_map(|seed| [("Deployment", seed), ("Pod", seed)]) {
            let (mut prepared, _) = broken(&scenario, &shop, seed);
            let target = prepared.oracle.target().clone();
            let world = &mut prepared.world;
            let doomed: Vec<ObjectRef> = world
                .objects()
                .filter(|object| {
                    object.kind().kind == kind
                        && object.name().starts_with(&target.name)
                        && object.namespace() == target.namespace.as_deref()
                })
                .map(|object| object.reference("sim"))
                .collect();
            for target in doomed {
                let verb = Verb::Delete { grace_seconds: None };
                let request = Request {
                    target,
                    verb,
                    preconditions: Preconditions::default(),
                    mode: Mode::Apply,
                    agent: Agent::default(),
                };
                assert_eq!(world.send(&request), Reply::Deleted);
            }
            let verdict = prepared.oracle.check(&mut prepared.world);
            assert_eq!(
                verdict.mitigated,
                is_sound && kind == "Pod",
                "{}, seed {seed}, {kind}: {}",
                scenario.metadata.name,
                verdict.why
            );
        }
    }
}

#[test]
fn the_fix_mends_each_fault_and_its_alerts_end() {
    let shop = shop();
    for scenario in starter() {
        for seed in SEEDS {
            let name = format!("{}, seed {seed}", scenario.metadata.name);
            let (mut prepared, fired) = broken(&scenario, &shop, seed);
            for step in prepared.oracle.fix().to_vec() {
                mend(&mut prepared.world, &step);
            }
            let verdict = prepared.oracle.check(&mut prepared.world);
            assert!(verdict.mitigated, "{name}: {}", verdict.why);
            let until = prepared.world.now() + minutes(20);
            prepared.world.advance_fully(until);
            assert_eq!(prepared.world.firing(), BTreeSet::new(), "{name}: {fired:?} have ended");
        }
    }
}

#[test]
fn every_alert_that_was_delivered_as_firing_is_delivered_as_resolved() {
    let shop = shop();
    for scenario in starter() {
        let mut prepared = prepare(&scenario, &shop, 3, start()).unwrap();
        let mut state: BTreeMap<BTreeMap<String, String>, String> = BTreeMap::new();
        let mut take = |world: &mut World, until| {
            for Emission::Alerts(webhook) in world.advance_fully(until) {
                let alerts = webhook.alerts.into_iter();
                state.extend(alerts.map(|alert| (alert.labels, alert.status)));
            }
        };
        take(&mut prepared.world, prepared.oracle.fault_at() + minutes(6));
        for step in prepared.oracle.fix().to_vec() {
            mend(&mut prepared.world, &step);
        }
        let until = prepared.world.now() + minutes(20);
        take(&mut prepared.world, until);
        assert!(!state.is_empty());
        assert!(
            state.values().all(|status| status == "resolved"),
            "{}: {state:?}",
            scenario.metadata.name
        );
    }
}

#[test]
fn scaling_the_target_to_nothing_is_held_against_whoever_does_it() {
    let shop = shop();
    let scenario =
        starter().into_iter().find(|scenario| scenario.metadata.name == "bad-image").unwrap();
    let (mut prepared, _) = broken(&scenario, &shop, 1);
    let target = json!(prepared.oracle.target());
    send(&mut prepared.world, &target, Patch::Merge(json!({"spec": {"replicas": 0}})));
    for step in prepared.oracle.fix().to_vec() {
        mend(&mut prepared.world, &step);
    }
    send(&mut prepared.world, &target, Patch::Merge(json!({"spec": {"replicas": 2}})));
    let verdict = prepared.oracle.check(&mut prepared.world);
    assert!(!verdict.mitigated && verdict.why.contains("forbidden"), "{}", verdict.why);
    assert!(prepared.oracle.forbidden(&prepared.world).is_some());
}

#[test]
fn the_seed_draws_names_target_and_time_and_the_naming_changes_only_names() {
    let shop = shop();
    let scenario = starter().remove(0);
    let facts = |oracle: &Oracle| (oracle.target().to_string(), oracle.fault_at());
    let of = |seed, naming| {
        facts(&prepare_named(&scenario, &shop, seed, start(), naming).unwrap().oracle)
    };
    let drawn: BTreeSet<_> = (0..20).map(|seed| of(seed, Naming::Drawn)).collect();
    assert_eq!(drawn.len(), 20);
    let literal: BTreeSet<String> = (0..40).map(|seed| of(seed, Naming::Literal).0).collect();
    assert!(literal.len() >= 8, "{literal:?}");
    assert_eq!(of(5, Naming::Drawn).1, of(5, Naming::Scrambled).1);
    let text = |naming| {
        let prepared = prepare_named(&scenario, &shop, 5, start(), naming).unwrap();
        prepared.world.objects().map(|object| object.to_value().to_string()).collect::<String>()
    };
    assert!(text(Naming::Literal).contains("checkout"));
    for naming in [Naming::Drawn, Naming::Scrambled] {
        let text = text(naming);
        assert!(!text.contains("checkout") && !text.contains("$("), "{naming:?}");
    }
    assert!(!text(Naming::Scrambled).contains("shop.example/owner"));
}

#[test]
fn a_running_world_can_be_struck() {
    let shop = shop();
    let scenario =
        starter().into_iter().find(|scenario| scenario.metadata.name == "scaled-to-zero").unwrap();
    let mut world = World::new(&shop, 1, start()).unwrap();
    let until = start() + minutes(10);
    world.advance_fully(until);
    let oracle = world.strike(&scenario, 7).unwrap();
    let fired = run(&mut world, until + minutes(5));
    assert!(fired.contains("HighRequestErrorRate"), "{fired:?}");
    assert!(!oracle.check(&mut world).mitigated);
}
