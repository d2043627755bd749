//! `chiron chaos kill`: sends SIGKILL at each position of a run in turn.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::cluster::ChaosCluster;
use super::report::ChaosReport;
use super::server::{ChaosServer, is_ended, watch};

/// Executes `cycles` runs, interrupts each once, and reports the results.
///
/// # Errors
/// If a process cannot be started, or the uninterrupted run does not succeed.
pub(crate) async fn kill(cycles: u32, seed: u64) -> Result<Value> {
    let folder = tempfile::Builder::new().prefix("chiron-chaos-").tempdir()?;
    let cluster = ChaosCluster::start(folder.path(), seed).await?;
    let mut server = ChaosServer::start(folder.path(), cluster.kubeconfig()).await?;

    // An uninterrupted run gives the number of positions.
    cluster.prepare("chaos-uninterrupted").await?;
    let mut observer = server.observe("chaos-uninterrupted").await?;
    server.fire("chaos-uninterrupted").await?;
    let uninterrupted = watch(&mut observer, is_ended).await?;
    ensure!(
        uninterrupted.status == Some(workflow::RunStatus::Succeeded)
            && uninterrupted.applied.len() == 10,
        "the uninterrupted run ended as {:?} with {} changes: {}",
        uninterrupted.status,
        uninterrupted.applied.len(),
        uninterrupted.message
    );

    let mut results = ChaosReport::default();
    let mut kill_positions: BTreeMap<usize, u32> = BTreeMap::new();
    let order = positions(uninterrupted.positions, cycles, seed);
    for (cycle, position) in order.into_iter().enumerate() {
        let namespace = format!("chaos-{cycle:04}");
        cluster.prepare(&namespace).await?;
        let mut observer = server.observe(&namespace).await?;
        server.fire(&namespace).await?;
        watch(&mut observer, |run| run.positions >= position || run.status.is_some()).await?;
        let delay = 20.0 * workflow::seed::uniform01("chaos/delay", &format!("{seed}/{cycle}"));
        tokio::time::sleep(Duration::from_secs_f64(delay / 1_000.0)).await;
        server.kill()?;
        let found = observer.poll().await?.positions;
        *kill_positions.entry(found).or_default() += 1;
        server.restart()?;
        let end = watch(&mut observer, is_ended).await?;
        results.count(&end, &cluster.applied().await?);
        tracing::info!(cycle, position, found, status = ?end.status, "interrupted");
    }
    let missed: Vec<usize> = (1..=uninterrupted.positions)
        .filter(|position| !kill_positions.contains_key(position))
        .collect();
    let mut report = json!({"cycles": cycles, "positions": uninterrupted.positions, "killPositions": kill_positions, "missed": missed});
    results.write(&mut report, &cluster.applied().await?, &server.recorded_keys().await?);
    Ok(report)
}

/// Returns the position of each cycle: all positions in turn, in a random order per round.
fn positions(positions: usize, cycles: u32, seed: u64) -> Vec<usize> {
    let mut order = Vec::new();
    for round in 0.. {
        if order.len() >= cycles as usize {
            break;
        }
        let mut shuffled: Vec<usize> = (1..=positions).collect();
        shuffled.sort_by_key(|position| {
            workflow::seed::seed("chaos/position", &format!("{seed}/{round}/{position}"))
        });
        order.extend(shuffled);
    }
    order.truncate(cycles as usize);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_cover_each_round_before_repeating() {
        let order = positions(7, 17, 3);
        assert_eq!(order.len(), 17);
        for round in order.chunks_exact(7) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 2, 3, 4, 5, 6, 7]);
        }
        assert_ne!(order[..7], order[7..14]);
        assert_eq!(order, positions(7, 17, 3));
        assert_ne!(order, positions(7, 17, 4));
    }
}
