//! Runs the contract tests of the `Metrics` port against the simulated cluster. Those of the `Cluster` port run in
//! `tests/it/contract.rs`, for all three implementations.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]

use std::sync::{Arc, Mutex};

use cluster::MetricQuery;
use cluster::contract::check_metrics;
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

#[tokio::test]
async fn simulated_metrics_pass_the_contract() {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut world = World::new(&WorldFile::parse(WORLD).unwrap(), 1, start).unwrap();
    world.advance_fully(start + SignedDuration::from_secs(60));
    let cluster = SimulatedCluster::new(Arc::new(Mutex::new(world)), "sim");
    let known = MetricQuery {
        metric: "kube_pod_status_ready".into(),
        labels: [("namespace".into(), "shop".into())].into(),
        window_seconds: 0,
    };
    check_metrics(&cluster, &known).await;
}
