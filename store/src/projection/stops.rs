use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::run::{FleetEvent, StopLevel, StopScope};

use super::row::About;
use super::{Change, Doc};
use crate::port::StoreError;

/// The emergency stop of one scope. Key: `global`, or the id of the run. Status: `stopped`, `lifted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopRow {
    /// Where it holds.
    pub scope: StopScope,
    /// How hard, while it holds.
    pub level: Option<StopLevel>,
    /// Who stopped, or lifted it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

pub(super) fn happened(change: &mut Change<'_>, event: &FleetEvent) -> Result<(), StoreError> {
    match event {
        FleetEvent::Stopped { scope, level, by, reason, at } => {
            let row = StopRow {
                scope: scope.clone(),
                level: Some(*level),
                by: by.clone(),
                reason: reason.clone(),
                at: *at,
            };
            set(change, "stopped", row)
        }
        FleetEvent::Lifted { scope, by, reason, at } => {
            let row = StopRow {
                scope: scope.clone(),
                level: None,
                by: by.clone(),
                reason: reason.clone(),
                at: *at,
            };
            set(change, "lifted", row)
        }
        FleetEvent::Locked { .. } | FleetEvent::Unlocked { .. } | FleetEvent::Budgeted { .. } => {
            Ok(())
        }
    }
}

fn set(change: &mut Change<'_>, status: &str, row: StopRow) -> Result<(), StoreError> {
    let (key, run) = match &row.scope {
        StopScope::Global => ("global".to_string(), String::new()),
        StopScope::Run { run } => (run.to_string(), run.to_string()),
    };
    change.make(&key, status, About { run: &run, ..About::default() }, Doc::Stops(row))
}
