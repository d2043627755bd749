use serde::{Deserialize, Serialize};
use workflow::id::AlertId;
use workflow::incident::IncidentEvent;
use workflow::{Alert, Episode};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::error::StoreError;

/// One alert episode. Status: `firing`, `resolved`, or `never-fired` (resolved before any firing delivery arrived).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertRow {
    /// The alert as last delivered in state `firing`.
    pub alert: Alert,
    #[serde(flatten)]
    pub episode: Episode,
}

pub(super) fn apply_incident(
    tx: &mut ProjectionTx<'_>,
    event: &IncidentEvent,
) -> Result<(), StoreError> {
    match event {
        IncidentEvent::AlertFired { alert, .. }
        | IncidentEvent::ResolvedWithoutFiring { alert, .. } => delivered(tx, alert, event),
        IncidentEvent::AlertRepeated { alert, .. } | IncidentEvent::AlertResolved { alert, .. } => {
            update(tx, alert, |row| row.episode.apply(event))
        }
        IncidentEvent::Merged { incident, .. } => {
            // The merged incident keeps the list of its alerts.
            let alerts = match tx.get(Table::Incidents, incident.as_str())?.map(|row| &row.body) {
                Some(RowBody::Incidents(row)) => row.incident.alerts.clone(),
                Some(_) | None => return Ok(()),
            };
            alerts.iter().try_for_each(|alert| update(tx, alert, |row| row.episode.apply(event)))
        }
        IncidentEvent::Opened { .. }
        | IncidentEvent::OwnerFound { .. }
        | IncidentEvent::Closed { .. } => Ok(()),
    }
}

/// Folds the delivery of an alert whose row may not exist yet.
fn delivered(
    tx: &mut ProjectionTx<'_>,
    alert: &Alert,
    event: &IncidentEvent,
) -> Result<(), StoreError> {
    let before = match tx.get(Table::Alerts, alert.id.as_str())?.map(|row| &row.body) {
        Some(RowBody::Alerts(row)) => Some(row.episode.clone()),
        Some(_) | None => None,
    };
    let episode = match before {
        Some(mut episode) => {
            episode.apply(event);
            Some(episode)
        }
        None => Episode::begin(event),
    };
    let Some(episode) = episode else { return Ok(()) };
    let incident = episode.incident.as_ref().map(ToString::to_string).unwrap_or_default();
    let links = RowLinks { incident: &incident, ..RowLinks::default() };
    let status = status_text(&episode);
    let row = AlertRow { alert: alert.clone(), episode };
    tx.upsert(alert.id.as_str(), status, links, RowBody::Alerts(row))
}

fn status_text(episode: &Episode) -> &'static str {
    match (&episode.incident, episode.is_firing) {
        (None, _) => "never-fired",
        (Some(_), true) => "firing",
        (Some(_), false) => "resolved",
    }
}

fn update(
    tx: &mut ProjectionTx<'_>,
    alert: &AlertId,
    update: impl FnOnce(&mut AlertRow),
) -> Result<(), StoreError> {
    tx.update(Table::Alerts, alert.as_str(), |row| {
        if let RowBody::Alerts(body) = &mut row.body {
            update(body);
            row.status = status_text(&body.episode).into();
            row.incident =
                body.episode.incident.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
