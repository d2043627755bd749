//! Number of cluster calls per incident, counted at the port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use cluster::{Cluster, Delegate, MetricQuery, Metrics, ReadFailure, Sample};
use planner::ReadLimits;
use simulator::SimulatedCluster;
use workflow::guardrail::Autonomy;

use crate::harness::{EngineHarness, HarnessConfig};

/// Counts every call of the cluster and metrics ports.
struct CountingCluster {
    cluster: Arc<SimulatedCluster>,
    calls: AtomicU32,
}

#[async_trait]
impl Delegate for CountingCluster {
    fn inner(&self) -> &dyn Cluster {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &*self.cluster
    }

    /// Not a call of the cluster.
    fn name(&self) -> &str {
        self.cluster.name()
    }
}

#[async_trait]
impl Metrics for CountingCluster {
    async fn query(&self, query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.cluster.query(query).await
    }
}

/// All fault families of the starter suite.
const FAMILIES: [&str; 9] = [
    "bad-image",
    "crash-after-bad-config",
    "missing-config-key",
    "wrong-service-selector",
    "wrong-target-port",
    "scaled-to-zero",
    "memory-limit-too-low",
    "wrong-readiness-probe",
    "nothing-wrong",
];

#[test]
#[ignore = "slow: run by make test"]
fn slow_evidence_takes_at_most_60_calls_and_reports_the_number() {
    let mut max_calls = 0;
    for family in FAMILIES {
        for seed in 1..=3 {
            let plan = HarnessConfig { family, seed, autonomy: Autonomy::Observe, templates: &[] };
            let mut harness = EngineHarness::build(&plan);
            harness.run_until(|folds| !folds.cases.cases.is_empty());
            let folds = harness.engine.folds();
            for incident in folds.incidents.incidents.values() {
                let counting =
                    CountingCluster { cluster: harness.cluster(), calls: AtomicU32::new(0) };
                let evidence = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap()
                    .block_on(planner::evidence::collect(
                        &counting,
                        &counting,
                        incident,
                        &folds.known_good,
                        &ReadLimits::default(),
                        harness.engine.now(),
                    ));
                let calls = counting.calls.load(Ordering::Relaxed);
                assert!((1..=60).contains(&calls), "{family}, seed {seed}: {calls} calls");
                assert_eq!(evidence.api_calls, calls, "{family}, seed {seed}");
                max_calls = max_calls.max(calls);
            }
        }
    }
    println!("at most {max_calls} calls per incident");
}
