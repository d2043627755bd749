//! Every family of the starter suite: the fault fires an alert, persists without a fix, and can be fixed.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cluster::{
    Agent, HealthLevel, JsonOp, Mode, ObjectRef, Patch, Preconditions, Request, Verb, WriteReply,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::scenario::{prepare, prepare_with_naming};
use simulator::{Emission, Naming, Oracle, PreparedScenario, ScenarioFile, World, WorldFile};
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

/// Returns a world 6 min after its fault, when alerts have fired, and the names of the alerts.
fn broken(
    scenario: &ScenarioFile,
    shop: &WorldFile,
    seed: u64,
) -> (PreparedScenario, BTreeSet<String>) {
    let mut prepared = prepare(scenario, shop, seed, start()).unwrap();
    let fired = run(&mut prepared.world, prepared.oracle.fault_at() - SignedDuration::from_secs(1));
    let health_by_object = prepared.world.health_by_object();
    assert_eq!(health_by_object.len(), 30);
    for (object, health) in health_by_object {
        assert_eq!(health.level, HealthLevel::Healthy, "{object}, seed {seed}: {}", health.message);
    }
    assert_eq!(
        fired,
        BTreeSet::new(),
        "{}, seed {seed}: no alert fires before the fault",
        scenario.metadata.name
    );
    let fired = run(&mut prepared.world, prepared.oracle.fault_at() + minutes(6));
    (prepared, fired)
}

/// Advances the time to `until`; returns the names of the alerts in firing notifications.
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
        mode: Mode::Commit,
        agent: Agent { effect_key: "fix".into(), ..Agent::default() },
    };
    let reply = world.send(&request);
    assert!(matches!(reply, WriteReply::Accepted(_)), "{target}: {reply:?}");
}

/// Sends the request of one step of a reference fix.
fn apply_fix(world: &mut World, step: &Step) {
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
        "set-config-key" => {
            Patch::Merge(json!({"data": {args["key"].as_str().unwrap(): args["value"]}}))
        }
        "set-service-selector" => Patch::Json(vec![JsonOp::Replace {
            path: "/spec/selector".into(),
            value: args["selector"].clone(),
        }]),
        "set-service-port" => Patch::Strategic(
            json!({"spec": {"ports": [{"port": args["port"], "targetPort": args["targetPort"]}]}}),
        ),
        other => panic!("the action {other} occurs in no reference fix"),
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
fn starter_suite_has_eight_faults_and_one_false_alert() {
    let families: Vec<String> =
        starter().iter().map(|scenario| scenario.spec.family.clone()).collect();
    assert_eq!(families.len(), 9);
    assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), 9);
    assert_eq!(starter().iter().filter(|scenario| scenario.spec.expect_no_action).count(), 1);
}

#[test]
fn fault_fires_an_expected_alert() {
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
fn no_action_is_correct_only_without_a_fault() {
    let shop = shop();
    for scenario in starter() {
        for seed in SEEDS {
            let (mut prepared, _) = broken(&scenario, &shop, seed);
            let result = prepared.oracle.check(&mut prepared.world);
            let no_action_is_correct = scenario.spec.expect_no_action;
            assert_eq!(
                result.mitigated, no_action_is_correct,
                "{}, seed {seed}: {}",
                scenario.metadata.name, result.message
            );
        }
    }
}

#[test]
fn restarting_everything_fixes_no_fault() {
    let shop = shop();
    for scenario in starter() {
        for seed in SEEDS {
            let (mut prepared, _) = broken(&scenario, &shop, seed);
            restart_everything(&mut prepared.world);
            let result = prepared.oracle.check(&mut prepared.world);
            assert!(!result.mitigated, "{}, seed {seed}", scenario.metadata.name);
        }
    }
}

#[test]
fn deleting_the_target_fixes_no_fault() {
    let shop = shop();
    for scenario in starter() {
        let is_false_alert = scenario.spec.expect_no_action;
        for (kind, seed) in SEEDS.flat_map(|seed| [("Deployment", seed), ("Pod", seed)]) {
            let (mut prepared, _) = broken(&scenario, &shop, seed);
            let target = prepared.oracle.target().clone();
            let world = &mut prepared.world;
            let targets: Vec<ObjectRef> = world
                .objects()
                .filter(|object| {
                    object.kind().kind == kind
                        && object.name().starts_with(&target.name)
                        && object.namespace() == target.namespace.as_deref()
                })
                .map(|object| object.reference("sim"))
                .collect();
            for target in targets {
                let verb = Verb::Delete { grace_seconds: None };
                let request = Request {
                    target,
                    verb,
                    preconditions: Preconditions::default(),
                    mode: Mode::Commit,
                    agent: Agent::default(),
                };
                assert_eq!(world.send(&request), WriteReply::Deleted);
            }
            let result = prepared.oracle.check(&mut prepared.world);
            assert_eq!(
                result.mitigated,
                is_false_alert && kind == "Pod",
                "{}, seed {seed}, {kind}: {}",
                scenario.metadata.name,
                result.message
            );
        }
    }
}

#[test]
fn reference_fix_mitigates_fault_and_resolves_alerts() {
    let shop = shop();
    for scenario in starter() {
        for seed in SEEDS {
            let name = format!("{}, seed {seed}", scenario.metadata.name);
            let (mut prepared, fired) = broken(&scenario, &shop, seed);
            for step in prepared.oracle.reference_fix().to_vec() {
                apply_fix(&mut prepared.world, &step);
            }
            let result = prepared.oracle.check(&mut prepared.world);
            assert!(result.mitigated, "{name}: {}", result.message);
            let until = prepared.world.now() + minutes(20);
            prepared.world.advance_fully(until);
            assert_eq!(
                prepared.world.firing_alert_names(),
                BTreeSet::new(),
                "{name}: {fired:?} are resolved"
            );
        }
    }
}

#[test]
fn every_firing_notification_is_followed_by_a_resolved_one() {
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
        for step in prepared.oracle.reference_fix().to_vec() {
            apply_fix(&mut prepared.world, &step);
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
fn oracle_rejects_temporary_scale_to_zero() {
    let shop = shop();
    let scenario =
        starter().into_iter().find(|scenario| scenario.metadata.name == "bad-image").unwrap();
    let (mut prepared, _) = broken(&scenario, &shop, 1);
    let target = json!(prepared.oracle.target());
    send(&mut prepared.world, &target, Patch::Merge(json!({"spec": {"replicas": 0}})));
    for step in prepared.oracle.reference_fix().to_vec() {
        apply_fix(&mut prepared.world, &step);
    }
    send(&mut prepared.world, &target, Patch::Merge(json!({"spec": {"replicas": 2}})));
    let result = prepared.oracle.check(&mut prepared.world);
    assert!(!result.mitigated && result.message.contains("forbidden"), "{}", result.message);
    assert!(prepared.oracle.violated_pattern(&prepared.world).is_some());
}

#[test]
fn seed_determines_target_and_time_and_naming_only_names() {
    let shop = shop();
    let scenario = starter().remove(0);
    let facts = |oracle: &Oracle| (oracle.target().to_string(), oracle.fault_at());
    let of = |seed, naming| {
        facts(&prepare_with_naming(&scenario, &shop, seed, start(), naming).unwrap().oracle)
    };
    let random: BTreeSet<_> = (0..20).map(|seed| of(seed, Naming::Random)).collect();
    assert_eq!(random.len(), 20);
    let literal: BTreeSet<String> = (0..40).map(|seed| of(seed, Naming::Literal).0).collect();
    assert!(literal.len() >= 8, "{literal:?}");
    assert_eq!(of(5, Naming::Random).1, of(5, Naming::Obfuscated).1);
    let text = |naming| {
        let prepared = prepare_with_naming(&scenario, &shop, 5, start(), naming).unwrap();
        prepared.world.objects().map(|object| object.to_value().to_string()).collect::<String>()
    };
    assert!(text(Naming::Literal).contains("checkout"));
    for naming in [Naming::Random, Naming::Obfuscated] {
        let text = text(naming);
        assert!(!text.contains("checkout") && !text.contains("$("), "{naming:?}");
    }
    assert!(!text(Naming::Obfuscated).contains("shop.example/owner"));
}

#[test]
fn fault_can_be_injected_into_running_world() {
    let shop = shop();
    let scenario =
        starter().into_iter().find(|scenario| scenario.metadata.name == "scaled-to-zero").unwrap();
    let mut world = World::new(&shop, 1, start()).unwrap();
    let until = start() + minutes(10);
    world.advance_fully(until);
    let oracle = world.inject_fault(&scenario, 7).unwrap();
    let fired = run(&mut world, until + minutes(5));
    assert!(fired.contains("HighRequestErrorRate"), "{fired:?}");
    assert!(!oracle.check(&mut world).mitigated);
}
