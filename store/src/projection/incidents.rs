use serde::{Deserialize, Serialize};
use workflow::id::{IncidentId, PlanId, RunId};
use workflow::incident::IncidentEvent;
use workflow::outcome::OutcomeStatus;
use workflow::{Event, Incident, Outcome, Plan};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::error::StoreError;

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
        IncidentEvent::AlertResolved { incident, alert, .. } => {
            // A merge may have moved the alert to another incident; the alert's own row names the current one.
            let current = tx.get(Table::Alerts, alert.as_str())?.map(|row| row.incident.clone());
            let incident =
                current.and_then(|id| id.parse().ok()).unwrap_or_else(|| incident.clone());
            fold(tx, &incident, event)
        }
        IncidentEvent::AlertFired { incident, .. }
        | IncidentEvent::AlertRepeated { incident, .. }
        | IncidentEvent::OwnerFound { incident, .. }
        | IncidentEvent::Closed { incident, .. } => fold(tx, incident, event),
        IncidentEvent::Merged { incident, into, .. } => {
            let merged = match tx.get(Table::Incidents, incident.as_str())?.map(|row| &row.body) {
                Some(RowBody::Incidents(row)) => row.incident.clone(),
                Some(_) | None => return Ok(()),
            };
            fold(tx, incident, event)?;
            update(tx, into, |row| row.incident.absorb(&merged))
        }
        IncidentEvent::ResolvedWithoutFiring { .. } => Ok(()),
    }
}

/// Folds an event into an incident, with the same fold that the engine uses.
fn fold(
    tx: &mut ProjectionTx<'_>,
    incident: &IncidentId,
    event: &IncidentEvent,
) -> Result<(), StoreError> {
    update(tx, incident, |row| {
        row.deliveries += event.deliveries();
        row.incident.apply(event);
    })
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
