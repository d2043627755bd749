//! Runs the contract tests of the ports against the simulated cluster.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cluster::contract::{CONTRACT_TESTS, Fixture, check_metrics};
use cluster::{Cluster, MetricQuery};
use jiff::{SignedDuration, Timestamp};
use simulator::{SimulatedCluster, World, WorldFile};

const WORLD: &str = r#"
apiVersion: chiron.dev/v1alpha1
kind: World
metadata: {name: contract}
spec:
  objects:
  - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: cart, namespace: shop}
    spec:
      replicas: 2
      selector: {matchLabels: {app: cart}}
      template:
        metadata: {labels: {app: cart}}
        spec: {containers: [{name: main, image: "cart:1"}]}
  images:
    "cart:1": {listens: [{port: 8080, paths: [/]}]}
"#;

struct Simulated {
    world: Arc<Mutex<World>>,
    cluster: Arc<SimulatedCluster>,
}

impl Simulated {
    fn new() -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let world = World::new(&WorldFile::parse(WORLD).unwrap(), 1, start).unwrap();
        let world = Arc::new(Mutex::new(world));
        let cluster = Arc::new(SimulatedCluster::new(world.clone(), "sim"));
        Self { world, cluster }
    }
}

#[async_trait]
impl Fixture for Simulated {
    fn cluster(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    fn admin(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    async fn as_service_account(&self, namespace: &str, name: &str) -> Arc<dyn Cluster> {
        Arc::new(self.cluster.as_service_account(namespace, name))
    }

    async fn wait(&mut self, seconds: u32) {
        let mut world = self.world.lock().unwrap();
        let until = world.now() + SignedDuration::from_secs(i64::from(seconds));
        world.advance_fully(until);
    }
}

#[tokio::test]
async fn simulated_cluster_passes_each_contract_test() {
    let mut failed = Vec::new();
    for (name, contract_test) in CONTRACT_TESTS {
        let outcome = tokio::spawn(async move { contract_test(&mut Simulated::new()).await }).await;
        if let Err(error) = outcome {
            let panic = error.into_panic();
            let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failed.push(format!("{name}: {message}"));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} failed:\n{}",
        failed.len(),
        CONTRACT_TESTS.len(),
        failed.join("\n")
    );
}

#[tokio::test]
async fn simulated_cluster_passes_all_contract_tests_in_one_world() {
    cluster::contract::check_cluster(&mut Simulated::new()).await;
}

#[tokio::test]
async fn simulated_metrics_pass_the_contract() {
    let mut simulated = Simulated::new();
    simulated.wait(60).await;
    let known = MetricQuery {
        metric: "kube_pod_status_ready".into(),
        labels: [("namespace".into(), "shop".into())].into(),
        window_seconds: 0,
    };
    check_metrics(&*simulated.cluster, &known).await;
}
