use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::run::{FleetEvent, StopLevel, StopScope};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::port::StoreError;

/// The emergency stop of one scope. Key: `global`, or the id of the run. Status: `stopped`, `cleared`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopRow {
    pub scope: StopScope,
    /// Absent once the stop is cleared.
    pub level: Option<StopLevel>,
    /// Who set or cleared the stop.
    pub actor: String,
    /// Reason given by that operator.
    pub reason: String,
    pub at: Timestamp,
}

pub(super) fn apply_fleet(tx: &mut ProjectionTx<'_>, event: &FleetEvent) -> Result<(), StoreError> {
    match event {
        FleetEvent::Stopped { scope, level, actor, reason, at } => {
            let row = StopRow {
                scope: scope.clone(),
                level: Some(*level),
                actor: actor.clone(),
                reason: reason.clone(),
                at: *at,
            };
            set(tx, "stopped", row)
        }
        FleetEvent::StopCleared { scope, actor, reason, at } => {
            let row = StopRow {
                scope: scope.clone(),
                level: None,
                actor: actor.clone(),
                reason: reason.clone(),
                at: *at,
            };
            set(tx, "cleared", row)
        }
        FleetEvent::Locked { .. }
        | FleetEvent::Unlocked { .. }
        | FleetEvent::RateLimitReserved { .. } => Ok(()),
    }
}

fn set(tx: &mut ProjectionTx<'_>, status: &str, row: StopRow) -> Result<(), StoreError> {
    let (key, run) = match &row.scope {
        StopScope::Global => ("global".to_string(), String::new()),
        StopScope::Run { run } => (run.to_string(), run.to_string()),
    };
    tx.upsert(&key, status, RowLinks { run: &run, ..RowLinks::default() }, RowBody::Stops(row))
}
