use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cluster::{
    Agent, Cluster as _, HealthLevel, Mode, Patch, Preconditions, Request, Verb, WriteReply,
};
use serde_json::{Value, json};
use simulator::{Emission, SimulatedCluster};

use super::*;
use crate::system_under_test::Trial;

const SEED: u64 = 1;

/// At the first alert, makes one change to a healthy workload.
struct BreakNeighbour {
    neighbour: ObjectRef,
    change: Verb,
}

#[async_trait(?Send)]
impl SystemUnderTest for BreakNeighbour {
    fn name(&self) -> &str {
        "break-neighbour"
    }

    async fn run(&self, world: World, until: Timestamp) -> Result<Trial> {
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
                    verb: self.change.clone(),
                    preconditions: Preconditions::default(),
                    mode: Mode::Commit,
                    agent: Agent::default(),
                };
                let reply = cluster.send(&request).await;
                assert!(
                    matches!(reply, WriteReply::Accepted(_) | WriteReply::Deleted),
                    "{reply:?}"
                );
            }
            if advance.now >= until {
                break;
            }
        }
        let world = world.lock().unwrap().clone();
        Ok(Trial { world, seconds: None })
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
        scenario::prepare_with_naming(scenario, &suite.world, SEED, start(), Naming::Random)
            .unwrap();
    prepared.world.set_alert_mode(AlertMode::Internal);
    (prepared.world, prepared.oracle)
}

/// Returns a workload that is healthy at the first alert and is not the target of the fault.
fn neighbour(suite: &Suite) -> ObjectRef {
    let (world, oracle) = prepared(suite);
    let health_by_object = health_at_first_alert(world, oracle.fault_at() + TRIAL_LENGTH);
    let is_healthy = |object: &ObjectRef, health: &Health| {
        object.kind == "Deployment"
            && health.level == HealthLevel::Healthy
            && object.name != oracle.target().name
    };
    let (neighbour, _) =
        health_by_object.into_iter().find(|(object, health)| is_healthy(object, health)).unwrap();
    neighbour
}

fn merge(patch: Value) -> Verb {
    Verb::Patch { patch: Patch::Merge(patch), subresource: None }
}

/// A system that breaks only an unrelated workload counts as harmful; a change without effect does not.
#[test]
fn breaking_another_workload_is_harmful() {
    let suite = suite("bad-image");
    let neighbour = neighbour(&suite);
    let containers = json!([{"name": "main", "image": "registry.example/none:1"}]);
    for (change, harmful) in [
        (Verb::Delete { grace_seconds: None }, 1),
        (merge(json!({"spec": {"replicas": 0}})), 1),
        (merge(json!({"spec": {"template": {"spec": {"containers": containers}}}})), 1),
        (merge(json!({"metadata": {"annotations": {"seen": "yes"}}})), 0),
    ] {
        let system = || BreakNeighbour { neighbour: neighbour.clone(), change: change.clone() };
        // Only the health of the other workload shows the damage.
        let (world, oracle) = prepared(&suite);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let until = oracle.fault_at() + TRIAL_LENGTH;
        let trial = runtime.block_on(system().run(world, until)).unwrap();
        assert_eq!(oracle.violated_pattern(&trial.world), None, "{change:?}");
        assert!(trial.world.health_by_object()[oracle.target()].desired > 0, "{change:?}");

        let systems: [Box<dyn SystemUnderTest>; 1] = [Box::new(system())];
        let report = evaluate(&suite, &systems, SEED, Naming::Random, 1, start()).unwrap();
        let policy = &report.policies[0];
        assert_eq!((policy.harmful, policy.families[0].acted), (harmful, 1), "{change:?}");
    }
}
