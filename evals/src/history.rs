use std::sync::Arc;

use anyhow::Result;
use engine::{Sources, Stop};
use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, scenario};
use workflow::{Entry, PastExecution};

use crate::chiron::Chiron;
use crate::suite::Suite;
use crate::uniform::Uniform;

/// Makes history with the simulator: what came of candidates drawn uniformly, in worlds of seeds that no evaluation uses.
///
/// # Errors
/// Where a scenario does not fit its world, or the engine fails.
pub async fn history(
    suite: &Suite,
    sources: &Sources,
    first_seed: u64,
    seeds: u64,
    start: Timestamp,
) -> Result<Vec<PastExecution>> {
    let mut executions = Vec::new();
    for file in &suite.scenarios {
        for seed in first_seed..first_seed + seeds {
            let player = Chiron {
                name: "history".into(),
                sources: sources.clone(),
                policy: || Some(Box::new(Uniform)),
                history: Arc::new(Vec::new()),
                seed,
            };
            let mut prepared = scenario::prepare(file, &suite.world, seed, start)?;
            prepared.world.set_alert_mode(AlertMode::Internal);
            let until = prepared.oracle.fault_at() + SignedDuration::from_mins(50);
            let mut session = player.begin(prepared.world).await?;
            session.engine.run(Stop::At(until)).await?;
            for record in session.store.read(0, usize::MAX).await? {
                if let Entry::Executed(execution) = record.entry()? {
                    executions.push(execution);
                }
            }
        }
    }
    Ok(executions)
}
