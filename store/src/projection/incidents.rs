use serde::{Deserialize, Serialize};
use workflow::id::{IncidentId, PlanId, RunId};
use workflow::incident::IncidentEvent;
use workflow::outcome::OutcomeStatus;
use workflow::{Event, Incident, Outcome, Plan};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::port::StoreError;

/// An incident with its latest plan, run and outcome. Status: `open`, `closed`, `merged`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentRow {
    /// The incident, equal to the state that `workflow::Incidents` folds.
    pub incident: Incident,
    /// Number of deliveries of its alerts, repeats included.
    pub deliveries: u64,
    /// The latest plan.
    pub plan: Option<PlanId>,
    /// The latest run.
    pub run: Option<RunId>,
    /// Status of the latest outcome.
    pub outcome: Option<OutcomeStatus>,
}

pub(super) fn apply_incident(
    tx: &mut ProjectionTx<'_>,
    event: &IncidentEvent,
) -> Result<(), StoreError> {
    match event {
        IncidentEvent::Opened { incident } => {
            let row = IncidentRow {
                incident: (**incident).clone(),
                deliveries: 0,
                plan: None,
                run: None,
                outcome: None,
            };
            let links = RowLinks { incident: incident.id.as_str(), ..RowLinks::default() };
            tx.upsert(incident.id.as_str(), "open", links, RowBody::Incidents(row))
        }
        IncidentEvent::AlertFired { incident, alert, .. } => update(tx, incident, |row| {
            row.deliveries += 1;
            row.incident.firing.insert(alert.id.clone());
            row.incident.alerts.insert(alert.id.clone());
            row.incident.quiet_since = None;
        }),
        IncidentEvent::AlertRepeated { incident, count, .. } => {
            update(tx, incident, |row| row.deliveries += count)
        }
        IncidentEvent::AlertResolved { incident, alert, at, .. } => {
            // A merge may have moved the alert to another incident; the alert's own row names the current one.
            let current = tx.get(Table::Alerts, alert.as_str())?.map(|row| row.incident.clone());
            let incident =
                current.and_then(|id| id.parse().ok()).unwrap_or_else(|| incident.clone());
            update(tx, &incident, |row| {
                row.deliveries += 1;
                if row.incident.firing.remove(alert) && row.incident.firing.is_empty() {
                    row.incident.quiet_since = Some(*at);
                }
            })
        }
        IncidentEvent::ResolvedWithoutFiring { .. } => Ok(()),
        IncidentEvent::OwnerFound { incident, owner } => {
            update(tx, incident, |row| row.incident.owner = Some(owner.clone()))
        }
        IncidentEvent::Merged { incident, into, at } => {
            let (mut firing, mut alerts) = Default::default();
            update(tx, incident, |row| {
                row.incident.merged_into = Some(into.clone());
                row.incident.closed_at = Some(*at);
                firing = std::mem::take(&mut row.incident.firing);
                alerts = row.incident.alerts.clone();
            })?;
            update(tx, into, |row| {
                row.incident.firing.extend(firing);
                row.incident.alerts.extend(alerts);
                if !row.incident.firing.is_empty() {
                    row.incident.quiet_since = None;
                }
            })
        }
        IncidentEvent::Closed { incident, at } => {
            update(tx, incident, |row| row.incident.closed_at = Some(*at))
        }
    }
}

pub(super) fn apply_plan(tx: &mut ProjectionTx<'_>, plan: &Plan) -> Result<(), StoreError> {
    update(tx, &plan.incident, |row| row.plan = Some(plan.id.clone()))
}

pub(super) fn apply_run(
    tx: &mut ProjectionTx<'_>,
    run: &RunId,
    event: &Event,
) -> Result<(), StoreError> {
    let Event::Started { plan, .. } = event else { return Ok(()) };
    update(tx, &plan.incident, |row| row.run = Some(run.clone()))
}

pub(super) fn apply_outcome(
    tx: &mut ProjectionTx<'_>,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    update(tx, &outcome.incident, |row| row.outcome = Some(outcome.status))
}

fn update(
    tx: &mut ProjectionTx<'_>,
    incident: &IncidentId,
    update: impl FnOnce(&mut IncidentRow),
) -> Result<(), StoreError> {
    tx.update(Table::Incidents, incident.as_str(), |row| {
        if let RowBody::Incidents(body) = &mut row.body {
            update(body);
            let merged = body.incident.merged_into.is_some();
            row.status = if merged {
                "merged"
            } else if body.incident.is_open() {
                "open"
            } else {
                "closed"
            }
            .into();
            row.plan = body.plan.as_ref().map(ToString::to_string).unwrap_or_default();
            row.run = body.run.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
