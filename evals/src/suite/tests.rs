use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cluster::{Agent, Cluster as _, HealthLevel, Mode, Patch, Preconditions, Reply, Request, Verb};
use serde_json::{Value, json};
use simulator::{Emission, SimulatedCluster};

use super::*;
use crate::contestant::Played;

const SEED: u64 = 1;

/// At the first alert it does one thing to a workload that nothing is wrong with, and nothing else.
struct BreakNeighbour {
    neighbour: ObjectRef,
    deed: Verb,
}

#[async_trait(?Send)]
impl Contestant for BreakNeighbour {
    fn name(&self) -> &str {
        "break-neighbour"
    }

    async fn play(&self, world: World, until: Timestamp) -> Result<Played> {
        let world = Arc::new(Mutex::new(world));
        let cluster = SimulatedCluster::new(world.clone(), "simulated");
        let mut has_acted = false;
        loop {
            let advance = world.lock().unwrap().advance(until);
            let is_alerted =
                advance.emitted.iter().any(|Emission::Alerts(webhook)| !webhook.alerts.is_empty());
            if is_alerted && !has_acted {
                has_acted = true;
                let request = Request {
                    target: self.neighbour.clone(),
                    verb: self.deed.clone(),
                    preconditions: Preconditions::default(),
                    mode: Mode::Apply,
                    agent: Agent::default(),
                };
                let reply = cluster.send(&request).await;
                assert!(matches!(reply, Reply::Accepted(_) | Reply::Deleted), "{reply:?}");
            }
            if advance.now >= until {
                break;
            }
        }
        let world = world.lock().unwrap().clone();
        Ok(Played { world, seconds: None })
    }
}

fn suite(family: &str) -> Suite {
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
    let read = |path: &str| std::fs::read_to_string(datasets.join(path)).unwrap();
    Suite {
        name: family.into(),
        world: WorldFile::parse(&read("worlds/shop.yaml")).unwrap(),
        scenarios: vec![
            ScenarioFile::parse(&read(&format!("scenarios/starter/{family}.yaml"))).unwrap(),
        ],
    }
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn prepared(suite: &Suite) -> (World, simulator::Oracle) {
    let scenario = &suite.scenarios[0];
    let mut prepared =
        scenario::prepare_named(scenario, &suite.world, SEED, start(), Naming::Drawn).unwrap();
    prepared.world.set_alert_mode(AlertMode::Internal);
    (prepared.world, prepared.oracle)
}

/// A workload that is well when the first alert comes, and is not the one at fault.
fn neighbour(suite: &Suite) -> ObjectRef {
    let (world, oracle) = prepared(suite);
    let healths = at_first_alert(world, oracle.fault_at() + PLAY);
    let is_well = |object: &ObjectRef, health: &Health| {
        object.kind == "Deployment"
            && health.level == HealthLevel::Healthy
            && object.name != oracle.target().name
    };
    let (neighbour, _) =
        healths.into_iter().find(|(object, health)| is_well(object, health)).unwrap();
    neighbour
}

fn merge(patch: Value) -> Verb {
    Verb::Patch { patch: Patch::Merge(patch), subresource: None }
}

#[test]
fn who_breaks_a_neighbour_only_is_harmful_and_who_touches_it_to_no_end_is_not() {
    let suite = suite("bad-image");
    let neighbour = neighbour(&suite);
    let containers = json!([{"name": "main", "image": "registry.example/none:1"}]);
    for (deed, harmful) in [
        (Verb::Delete { grace_seconds: None }, 1),
        (merge(json!({"spec": {"replicas": 0}})), 1),
        (merge(json!({"spec": {"template": {"spec": {"containers": containers}}}})), 1),
        (merge(json!({"metadata": {"annotations": {"seen": "yes"}}})), 0),
    ] {
        let contestant = || BreakNeighbour { neighbour: neighbour.clone(), deed: deed.clone() };
        // Nothing but the health of the neighbour tells of it.
        let (world, oracle) = prepared(&suite);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let until = oracle.fault_at() + PLAY;
        let played = runtime.block_on(contestant().play(world, until)).unwrap();
        assert_eq!(oracle.forbidden(&played.world), None, "{deed:?}");
        assert!(played.world.healths()[oracle.target()].desired > 0, "{deed:?}");

        let contestants: [Box<dyn Contestant>; 1] = [Box::new(contestant())];
        let report = evaluate(&suite, &contestants, SEED, Naming::Drawn, 1, start()).unwrap();
        let policy = &report.policies[0];
        assert_eq!((policy.harmful, policy.families[0].acted), (harmful, 1), "{deed:?}");
    }
}
