use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus};
use workflow::id::{ExperimentId, IncidentId};

use super::row::About;
use super::{Change, Doc, Table};
use crate::port::StoreError;

/// An experiment, and how many incidents were exposed to each variant. Status: `draft`, `running`, `stopped`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentRow {
    /// The experiment as it stands now.
    pub experiment: Experiment,
    /// Incidents exposed, by variant.
    pub exposures: BTreeMap<String, u64>,
    /// Why it was stopped, if it was.
    pub stopped_because: Option<String>,
}

/// One incident that is exposed to a variant: sticky.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The incident.
    pub incident: IncidentId,
    /// The variant.
    pub variant: String,
    /// When it was exposed.
    pub at: Timestamp,
}

pub(super) fn happened(change: &mut Change<'_>, event: &ExperimentEvent) -> Result<(), StoreError> {
    match event {
        ExperimentEvent::Created { experiment } => {
            let row = ExperimentRow {
                experiment: experiment.clone(),
                exposures: BTreeMap::new(),
                stopped_because: None,
            };
            change.make(
                experiment.id.as_str(),
                word(experiment.status),
                About::default(),
                Doc::Experiments(row),
            )
        }
        ExperimentEvent::Started { id, at } => alter(change, id, |row| {
            row.experiment.status = ExperimentStatus::Running;
            row.experiment.started_at = Some(*at);
        }),
        ExperimentEvent::Stopped { id, at, reason } => alter(change, id, |row| {
            row.experiment.status = ExperimentStatus::Stopped;
            row.experiment.stopped_at = Some(*at);
            row.stopped_because = Some(reason.clone());
        }),
        ExperimentEvent::Exposed { id, incident, variant, at } => {
            let exposure = Exposure {
                experiment: id.clone(),
                incident: incident.clone(),
                variant: variant.clone(),
                at: *at,
            };
            let about =
                About { incident: incident.as_str(), plan: id.as_str(), ..About::default() };
            let key = format!("{id}/{incident}");
            if change.look(Table::Exposures, &key)?.is_some() {
                return Ok(());
            }
            change.make(&key, variant, about, Doc::Exposures(exposure))?;
            alter(change, id, |row| *row.exposures.entry(variant.clone()).or_default() += 1)
        }
    }
}

fn alter(
    change: &mut Change<'_>,
    id: &ExperimentId,
    alter: impl FnOnce(&mut ExperimentRow),
) -> Result<(), StoreError> {
    change.alter(Table::Experiments, id.as_str(), |row| {
        if let Doc::Experiments(doc) = &mut row.doc {
            alter(doc);
            row.status = word(doc.experiment.status).into();
        }
    })?;
    Ok(())
}

fn word(status: ExperimentStatus) -> &'static str {
    match status {
        ExperimentStatus::Draft => "draft",
        ExperimentStatus::Running => "running",
        ExperimentStatus::Stopped => "stopped",
    }
}
