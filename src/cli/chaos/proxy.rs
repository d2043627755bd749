//! `chiron chaos proxy`: executes runs through a proxy that injects faults.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use simulator::http::{FaultProxy, NetworkFault};

use super::cluster::ChaosCluster;
use super::report::ChaosReport;
use super::server::{ChaosServer, is_ended, watch};

/// Probability that the proxy injects a fault into a change.
const FAULT_RATE: f64 = 0.25;

/// Executes runs through the proxy until `effects` changes were made, and reports the results.
///
/// # Errors
/// If a process cannot be started.
pub(crate) async fn proxy(effects: u32, seed: u64) -> Result<Value> {
    let folder = tempfile::Builder::new().prefix("chiron-chaos-").tempdir()?;
    let cluster = ChaosCluster::start(folder.path(), seed).await?;
    let proxied = folder.path().join("proxy-kubeconfig");
    let schedule = Arc::new(move |ordinal| fault(seed, ordinal));
    let proxy = FaultProxy::start(cluster.kubeconfig(), schedule).await?;
    crate::kubeconfig::write(&proxied, &proxy.kubeconfig)?;
    let server = ChaosServer::start(folder.path(), &proxied).await?;
    let mut results = ChaosReport::default();
    let mut endings: BTreeMap<String, u32> = BTreeMap::new();
    let mut runs = 0_u32;
    while results.effects() < effects as usize {
        ensure!(runs < effects, "after {runs} runs only {} changes were made", results.effects());
        let namespace = format!("chaos-{runs:04}");
        runs += 1;
        cluster.prepare(&namespace).await?;
        let mut observer = server.observe(&namespace).await?;
        server.fire(&namespace).await?;
        let end = watch(&mut observer, is_ended).await?;
        let ending = end.status.map_or("none".into(), |status| format!("{status:?}"));
        *endings.entry(ending).or_default() += 1;
        results.count(&end, &cluster.applied().await?);
    }
    let faults: BTreeMap<&str, u32> =
        proxy.injected().into_iter().map(|(fault, times)| (fault.as_str(), times)).collect();
    let mut report = json!({"runs": runs, "endings": endings, "faults": faults});
    results.write(&mut report, &cluster.applied().await?, &server.recorded_keys().await?);
    Ok(report)
}

/// Returns the fault for a change; `None` for most.
fn fault(seed: u64, ordinal: u64) -> Option<NetworkFault> {
    let id = format!("{seed}/{ordinal}");
    if workflow::seed::uniform01("chaos/harm", &id) >= FAULT_RATE {
        return None;
    }
    let draw = workflow::seed::uniform01("chaos/fault", &id) * NetworkFault::ALL.len() as f64;
    NetworkFault::ALL.get(draw as usize).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_faults_occur_at_the_configured_rate() {
        let drawn: Vec<NetworkFault> = (0..4_000).filter_map(|ordinal| fault(1, ordinal)).collect();
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), NetworkFault::ALL.len());
        assert!((800..1_200).contains(&drawn.len()), "{}", drawn.len());
    }
}
