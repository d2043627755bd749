use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::experiment::{Experiment, ExperimentEvent};
use workflow::id::{ExperimentId, IncidentId};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::error::StoreError;

/// An experiment with its exposure counts. Status: `draft`, `running`, `stopped`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentRow {
    pub experiment: Experiment,
    /// Number of exposed incidents by variant name.
    pub exposures: BTreeMap<String, u64>,
    /// Reason given when the experiment was stopped.
    pub stop_reason: Option<String>,
}

/// The assignment of one incident to a variant. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    pub experiment: ExperimentId,
    pub incident: IncidentId,
    /// Name of the variant.
    pub variant: String,
    pub at: Timestamp,
}

pub(super) fn apply_experiment(
    tx: &mut ProjectionTx<'_>,
    event: &ExperimentEvent,
) -> Result<(), StoreError> {
    match event {
        ExperimentEvent::Created { experiment } => {
            let row = ExperimentRow {
                experiment: experiment.clone(),
                exposures: BTreeMap::new(),
                stop_reason: None,
            };
            tx.upsert(
                experiment.id.as_str(),
                experiment.status.as_str(),
                RowLinks::default(),
                RowBody::Experiments(row),
            )
        }
        ExperimentEvent::Started { id, .. } => update(tx, id, |row| row.experiment.apply(event)),
        ExperimentEvent::Stopped { id, reason, .. } => update(tx, id, |row| {
            row.experiment.apply(event);
            row.stop_reason = Some(reason.clone());
        }),
        ExperimentEvent::Exposed { id, incident, variant, at } => {
            let exposure = Exposure {
                experiment: id.clone(),
                incident: incident.clone(),
                variant: variant.clone(),
                at: *at,
            };
            let links = RowLinks {
                incident: incident.as_str(),
                experiment: id.as_str(),
                ..RowLinks::default()
            };
            let key = format!("{id}/{incident}");
            if tx.get(Table::Exposures, &key)?.is_some() {
                return Ok(());
            }
            tx.upsert(&key, variant, links, RowBody::Exposures(exposure))?;
            update(tx, id, |row| *row.exposures.entry(variant.clone()).or_default() += 1)
        }
    }
}

fn update(
    tx: &mut ProjectionTx<'_>,
    id: &ExperimentId,
    update: impl FnOnce(&mut ExperimentRow),
) -> Result<(), StoreError> {
    tx.update(Table::Experiments, id.as_str(), |row| {
        if let RowBody::Experiments(body) = &mut row.body {
            update(body);
            row.status = body.experiment.status.as_str().into();
        }
    })?;
    Ok(())
}
