use workflow::EmergencyStop;
use workflow::run::{FleetEvent, StopScope};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::error::StoreError;

/// Sets the row of the scope of a stop. Key: `global`, or the id of the run. Status: `stopped`, `cleared`.
pub(super) fn apply_fleet(tx: &mut ProjectionTx<'_>, event: &FleetEvent) -> Result<(), StoreError> {
    let Some(stop) = EmergencyStop::after(event) else { return Ok(()) };
    let (key, run) = match &stop.scope {
        StopScope::Global => ("global".to_string(), String::new()),
        StopScope::Run { run } => (run.to_string(), run.to_string()),
    };
    let status = if stop.level.is_some() { "stopped" } else { "cleared" };
    tx.upsert(&key, status, RowLinks { run: &run, ..RowLinks::default() }, RowBody::Stops(stop))
}
