//! `chiron chaos proxy`: runs through a proxy that harms changes on their way.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use simulator::http::{Fault, FaultProxy};

use super::ground::Ground;
use super::play::{Server, is_ended, watch};
use super::tally::Tally;

/// One change in so many is harmed.
const HARMED: f64 = 0.25;

/// Plays runs through the proxy until `effects` changes were made, and counts what came of them.
///
/// # Errors
/// Where a process cannot be started.
pub(crate) async fn proxy(effects: u32, seed: u64) -> Result<Value> {
    let folder = tempfile::Builder::new().prefix("chiron-chaos-").tempdir()?;
    let ground = Ground::start(folder.path(), seed).await?;
    let through = folder.path().join("through-the-proxy");
    let schedule = Arc::new(move |ordinal| fault(seed, ordinal));
    let proxy = FaultProxy::start(ground.kubeconfig(), schedule).await?;
    crate::kubeconfig::write(&through, &proxy.kubeconfig)?;
    let server = Server::start(folder.path(), &through).await?;
    let mut tally = Tally::default();
    let mut endings: BTreeMap<String, u32> = BTreeMap::new();
    let mut runs = 0_u32;
    while tally.effects() < effects as usize {
        ensure!(runs < effects, "after {runs} runs only {} changes were made", tally.effects());
        let namespace = format!("chaos-{runs:04}");
        runs += 1;
        ground.prepare(&namespace).await?;
        let mut witness = server.witness(&namespace).await?;
        server.fire(&namespace).await?;
        let end = watch(&mut witness, is_ended).await?;
        let ending = end.status.map_or("none".into(), |status| format!("{status:?}"));
        *endings.entry(ending).or_default() += 1;
        tally.count(&end, &ground.applied().await?);
    }
    let faults: BTreeMap<&str, u32> =
        proxy.met().into_iter().map(|(fault, times)| (fault.word(), times)).collect();
    let mut report = json!({"runs": runs, "endings": endings, "faults": faults});
    tally.write(&mut report, &ground.applied().await?, &server.announced().await?);
    Ok(report)
}

/// What befalls a change: nothing, for most.
fn fault(seed: u64, ordinal: u64) -> Option<Fault> {
    let id = format!("{seed}/{ordinal}");
    if workflow::seed::unit("chaos/harm", &id) >= HARMED {
        return None;
    }
    let draw = workflow::seed::unit("chaos/fault", &id) * Fault::ALL.len() as f64;
    Fault::ALL.get(draw as usize).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_is_drawn_and_a_quarter_of_the_changes_harmed() {
        let drawn: Vec<Fault> = (0..4_000).filter_map(|ordinal| fault(1, ordinal)).collect();
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), Fault::ALL.len());
        assert!((800..1_200).contains(&drawn.len()), "{}", drawn.len());
    }
}
