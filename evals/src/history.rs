use std::sync::Arc;

use anyhow::Result;
use engine::{ProposalSources, RunUntil};
use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, scenario};
use workflow::{Entry, PastExecution};

use crate::chiron::Chiron;
use crate::suite::Suite;
use crate::uniform::Uniform;

/// Generates past executions with the simulator: candidates are chosen uniformly, in worlds with seeds that no evaluation
/// uses.
///
/// # Errors
/// If a scenario does not match its world, or the engine fails.
pub async fn generate_history(
    suite: &Suite,
    sources: &ProposalSources,
    first_seed: u64,
    seeds: u64,
    start: Timestamp,
) -> Result<Vec<PastExecution>> {
    let mut executions = Vec::new();
    for file in &suite.scenarios {
        for seed in first_seed..first_seed + seeds {
            let chiron = Chiron {
                name: "history".into(),
                sources: sources.clone(),
                policy: || Some(Box::new(Uniform)),
                history: Arc::new(Vec::new()),
                seed,
            };
            let mut prepared = scenario::prepare(file, &suite.world, seed, start)?;
            prepared.world.set_alert_mode(AlertMode::Internal);
            let until = prepared.oracle.fault_at() + SignedDuration::from_mins(50);
            let mut session = chiron.start_session(prepared.world).await?;
            session.engine.run(RunUntil::At(until)).await?;
            for record in session.store.read(0, usize::MAX).await? {
                if let Entry::Executed(execution) = record.entry()? {
                    executions.push(execution);
                }
            }
        }
    }
    Ok(executions)
}
