//! `chiron chaos kill`: SIGKILL at every position of a run in turn.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::Ground;
use super::play::{Server, is_ended, watch};
use super::tally::Tally;

/// Plays `cycles` runs, each cut off once, and counts what came of them.
///
/// # Errors
/// Where a process cannot be started, or the run that is not cut off does not succeed.
pub(crate) async fn kill(cycles: u32, seed: u64) -> Result<Value> {
    let folder = tempfile::Builder::new().prefix("chiron-chaos-").tempdir()?;
    let ground = Ground::start(folder.path(), seed).await?;
    let mut server = Server::start(folder.path(), ground.kubeconfig()).await?;

    // What a run is when nobody disturbs it.
    ground.prepare("chaos-uncut").await?;
    let mut witness = server.witness("chaos-uncut").await?;
    server.fire("chaos-uncut").await?;
    let uncut = watch(&mut witness, is_ended).await?;
    ensure!(
        uncut.status == Some(workflow::RunStatus::Succeeded) && uncut.applied.len() == 10,
        "the undisturbed run ended as {:?} with {} changes: {}",
        uncut.status,
        uncut.applied.len(),
        uncut.why
    );

    let mut tally = Tally::default();
    let mut at_position: BTreeMap<usize, u32> = BTreeMap::new();
    let order = positions(uncut.positions, cycles, seed);
    for (cycle, position) in order.into_iter().enumerate() {
        let namespace = format!("chaos-{cycle:04}");
        ground.prepare(&namespace).await?;
        let mut witness = server.witness(&namespace).await?;
        server.fire(&namespace).await?;
        watch(&mut witness, |seen| seen.positions >= position || seen.status.is_some()).await?;
        let delay = 20.0 * workflow::seed::unit("chaos/delay", &format!("{seed}/{cycle}"));
        tokio::time::sleep(Duration::from_secs_f64(delay / 1_000.0)).await;
        server.kill()?;
        let found = witness.look().await?.positions;
        *at_position.entry(found).or_default() += 1;
        server.restart()?;
        let end = watch(&mut witness, is_ended).await?;
        tally.count(&end, &ground.applied().await?);
        tracing::info!(cycle, position, found, status = ?end.status, "cut off");
    }
    let missed: Vec<usize> =
        (1..=uncut.positions).filter(|position| !at_position.contains_key(position)).collect();
    let mut report = json!({"cycles": cycles, "positions": uncut.positions, "atPosition": at_position, "missed": missed});
    tally.write(&mut report, &ground.applied().await?, &server.announced().await?);
    Ok(report)
}

/// Which position each cycle is cut off at: all in turn, in an order that the seed draws anew each time round.
fn positions(positions: usize, cycles: u32, seed: u64) -> Vec<usize> {
    let mut order = Vec::new();
    for round in 0.. {
        if order.len() >= cycles as usize {
            break;
        }
        let mut drawn: Vec<usize> = (1..=positions).collect();
        drawn.sort_by_key(|position| {
            workflow::seed::seed("chaos/position", &format!("{seed}/{round}/{position}"))
        });
        order.extend(drawn);
    }
    order.truncate(cycles as usize);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_has_its_turn_before_any_has_its_second() {
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
