use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::Alert;
use workflow::id::{AlertId, IncidentId};
use workflow::incident::IncidentEvent;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::port::StoreError;

/// One alert episode. Status: `firing`, `resolved`, or `never-fired` (resolved before any firing delivery arrived).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertRow {
    /// The alert as last delivered in state `firing`.
    pub alert: Alert,
    /// Absent for an alert that never fired.
    pub incident: Option<IncidentId>,
    /// Number of this episode among those of its label set, from 1.
    pub episode: u64,
    /// Number of deliveries, repeats included.
    pub deliveries: u64,
    pub is_firing: bool,
    /// When the episode last ended. Absent while it fires.
    pub resolved_at: Option<Timestamp>,
}

pub(super) fn apply_incident(
    tx: &mut ProjectionTx<'_>,
    event: &IncidentEvent,
) -> Result<(), StoreError> {
    match event {
        IncidentEvent::AlertFired { incident, alert, episode: n } => fired(tx, incident, alert, *n),
        IncidentEvent::AlertRepeated { alert, count, .. } => {
            update(tx, alert, |row| row.deliveries += count)
        }
        IncidentEvent::AlertResolved { alert, at, .. } => update(tx, alert, |row| {
            row.deliveries += 1;
            row.is_firing = false;
            row.resolved_at = Some(*at);
        }),
        IncidentEvent::ResolvedWithoutFiring { alert, .. } => {
            let (id, resolved_at) = (alert.id.clone(), alert.ends_at);
            let row = AlertRow {
                alert: (**alert).clone(),
                incident: None,
                episode: 0,
                deliveries: 1,
                is_firing: false,
                resolved_at,
            };
            tx.upsert(id.as_str(), "never-fired", RowLinks::default(), RowBody::Alerts(row))
        }
        IncidentEvent::Merged { incident, into, .. } => merged(tx, incident, into),
        IncidentEvent::Opened { .. }
        | IncidentEvent::OwnerFound { .. }
        | IncidentEvent::Closed { .. } => Ok(()),
    }
}

fn fired(
    tx: &mut ProjectionTx<'_>,
    incident: &IncidentId,
    alert: &Alert,
    episode: u64,
) -> Result<(), StoreError> {
    let links = RowLinks { incident: incident.as_str(), ..RowLinks::default() };
    let previous_deliveries = match tx.get(Table::Alerts, alert.id.as_str())? {
        Some(row) => match &row.body {
            RowBody::Alerts(row) => row.deliveries,
            _ => 0,
        },
        None => 0,
    };
    let row = AlertRow {
        alert: alert.clone(),
        incident: Some(incident.clone()),
        episode,
        deliveries: previous_deliveries + 1,
        is_firing: true,
        resolved_at: None,
    };
    tx.upsert(alert.id.as_str(), "firing", links, RowBody::Alerts(row))
}

/// Moves the alerts of a merged incident to the incident that it was merged into.
fn merged(
    tx: &mut ProjectionTx<'_>,
    from: &IncidentId,
    into: &IncidentId,
) -> Result<(), StoreError> {
    let alerts = match tx.get(Table::Incidents, from.as_str())? {
        Some(row) => match &row.body {
            RowBody::Incidents(row) => row.incident.alerts.clone(),
            _ => return Ok(()),
        },
        None => return Ok(()),
    };
    for alert in alerts {
        update(tx, &alert, |row| row.incident = Some(into.clone()))?;
    }
    Ok(())
}

fn update(
    tx: &mut ProjectionTx<'_>,
    alert: &AlertId,
    update: impl FnOnce(&mut AlertRow),
) -> Result<(), StoreError> {
    tx.update(Table::Alerts, alert.as_str(), |row| {
        if let RowBody::Alerts(body) = &mut row.body {
            update(body);
            row.status = if body.is_firing { "firing" } else { "resolved" }.into();
            row.incident = body.incident.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
