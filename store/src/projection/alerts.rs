use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::Alert;
use workflow::id::{AlertId, IncidentId};
use workflow::incident::IncidentEvent;

use super::row::About;
use super::{Change, Doc, Table};
use crate::port::StoreError;

/// One alert episode. Status: `firing`, `resolved`, `unseen` (it ended before we ever saw it fire).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertRow {
    /// The alert, as last delivered firing.
    pub alert: Alert,
    /// Its incident; absent where it was never seen firing.
    pub incident: Option<IncidentId>,
    /// How many episodes of its label set there were, this one included.
    pub episode: u64,
    /// How often it was delivered.
    pub deliveries: u64,
    /// Whether it fires now.
    pub is_firing: bool,
    /// When it last ended, while it does not fire.
    pub resolved_at: Option<Timestamp>,
}

pub(super) fn happened(change: &mut Change<'_>, event: &IncidentEvent) -> Result<(), StoreError> {
    match event {
        IncidentEvent::AlertFired { incident, alert, n } => fired(change, incident, alert, *n),
        IncidentEvent::AlertRepeated { alert, count, .. } => {
            alter(change, alert, |row| row.deliveries += count)
        }
        IncidentEvent::AlertResolved { alert, at, .. } => alter(change, alert, |row| {
            row.deliveries += 1;
            row.is_firing = false;
            row.resolved_at = Some(*at);
        }),
        IncidentEvent::ResolvedUnseen { alert, .. } => {
            let (id, resolved_at) = (alert.id.clone(), alert.ends_at);
            let row = AlertRow {
                alert: (**alert).clone(),
                incident: None,
                episode: 0,
                deliveries: 1,
                is_firing: false,
                resolved_at,
            };
            change.make(id.as_str(), "unseen", About::default(), Doc::Alerts(row))
        }
        IncidentEvent::Merged { incident, into, .. } => merged(change, incident, into),
        IncidentEvent::Opened { .. }
        | IncidentEvent::OwnerFound { .. }
        | IncidentEvent::Closed { .. } => Ok(()),
    }
}

fn fired(
    change: &mut Change<'_>,
    incident: &IncidentId,
    alert: &Alert,
    episode: u64,
) -> Result<(), StoreError> {
    let about = About { incident: incident.as_str(), ..About::default() };
    let before = match change.look(Table::Alerts, alert.id.as_str())? {
        Some(row) => match &row.doc {
            Doc::Alerts(row) => row.deliveries,
            _ => 0,
        },
        None => 0,
    };
    let row = AlertRow {
        alert: alert.clone(),
        incident: Some(incident.clone()),
        episode,
        deliveries: before + 1,
        is_firing: true,
        resolved_at: None,
    };
    change.make(alert.id.as_str(), "firing", about, Doc::Alerts(row))
}

/// The alerts of an incident that was merged are the other's now.
fn merged(change: &mut Change<'_>, from: &IncidentId, into: &IncidentId) -> Result<(), StoreError> {
    let alerts = match change.look(Table::Incidents, from.as_str())? {
        Some(row) => match &row.doc {
            Doc::Incidents(row) => row.incident.alerts.clone(),
            _ => return Ok(()),
        },
        None => return Ok(()),
    };
    for alert in alerts {
        alter(change, &alert, |row| row.incident = Some(into.clone()))?;
    }
    Ok(())
}

fn alter(
    change: &mut Change<'_>,
    alert: &AlertId,
    alter: impl FnOnce(&mut AlertRow),
) -> Result<(), StoreError> {
    change.alter(Table::Alerts, alert.as_str(), |row| {
        if let Doc::Alerts(doc) = &mut row.doc {
            alter(doc);
            row.status = if doc.is_firing { "firing" } else { "resolved" }.into();
            row.incident = doc.incident.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
