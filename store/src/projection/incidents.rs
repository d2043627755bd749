use serde::{Deserialize, Serialize};
use workflow::id::{IncidentId, PlanId, RunId};
use workflow::incident::IncidentEvent;
use workflow::outcome::Verdict;
use workflow::{Event, Incident, Outcome, Plan};

use super::row::About;
use super::{Change, Doc, Table};
use crate::port::StoreError;

/// An incident, and the newest of what was made for it. Status: `open`, `closed`, `merged`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentRow {
    /// The incident, as `workflow::Incidents` folds it.
    pub incident: Incident,
    /// How often alerts of it were delivered.
    pub deliveries: u64,
    /// Its newest plan.
    pub plan: Option<PlanId>,
    /// Its newest run.
    pub run: Option<RunId>,
    /// What was last observed.
    pub outcome: Option<Verdict>,
}

pub(super) fn happened(change: &mut Change<'_>, event: &IncidentEvent) -> Result<(), StoreError> {
    match event {
        IncidentEvent::Opened { incident } => {
            let row = IncidentRow {
                incident: (**incident).clone(),
                deliveries: 0,
                plan: None,
                run: None,
                outcome: None,
            };
            let about = About { incident: incident.id.as_str(), ..About::default() };
            change.make(incident.id.as_str(), "open", about, Doc::Incidents(row))
        }
        IncidentEvent::AlertFired { incident, alert, .. } => alter(change, incident, |row| {
            row.deliveries += 1;
            row.incident.firing.insert(alert.id.clone());
            row.incident.alerts.insert(alert.id.clone());
            row.incident.quiet_since = None;
        }),
        IncidentEvent::AlertRepeated { incident, count, .. } => {
            alter(change, incident, |row| row.deliveries += count)
        }
        IncidentEvent::AlertResolved { incident, alert, at, .. } => {
            // A merge may have moved the alert since: its own row says where it is now.
            let now_in =
                change.look(Table::Alerts, alert.as_str())?.map(|row| row.incident.clone());
            let incident =
                now_in.and_then(|id| id.parse().ok()).unwrap_or_else(|| incident.clone());
            alter(change, &incident, |row| {
                row.deliveries += 1;
                if row.incident.firing.remove(alert) && row.incident.firing.is_empty() {
                    row.incident.quiet_since = Some(*at);
                }
            })
        }
        IncidentEvent::ResolvedUnseen { .. } => Ok(()),
        IncidentEvent::OwnerFound { incident, owner } => {
            alter(change, incident, |row| row.incident.owner = Some(owner.clone()))
        }
        IncidentEvent::Merged { incident, into, at } => {
            let (mut firing, mut alerts) = Default::default();
            alter(change, incident, |row| {
                row.incident.merged_into = Some(into.clone());
                row.incident.closed_at = Some(*at);
                firing = std::mem::take(&mut row.incident.firing);
                alerts = row.incident.alerts.clone();
            })?;
            alter(change, into, |row| {
                row.incident.firing.extend(firing);
                row.incident.alerts.extend(alerts);
                if !row.incident.firing.is_empty() {
                    row.incident.quiet_since = None;
                }
            })
        }
        IncidentEvent::Closed { incident, at } => {
            alter(change, incident, |row| row.incident.closed_at = Some(*at))
        }
    }
}

pub(super) fn planned(change: &mut Change<'_>, plan: &Plan) -> Result<(), StoreError> {
    alter(change, &plan.incident, |row| row.plan = Some(plan.id.clone()))
}

pub(super) fn ran(change: &mut Change<'_>, run: &RunId, event: &Event) -> Result<(), StoreError> {
    let Event::Started { plan, .. } = event else { return Ok(()) };
    alter(change, &plan.incident, |row| row.run = Some(run.clone()))
}

pub(super) fn observed(change: &mut Change<'_>, outcome: &Outcome) -> Result<(), StoreError> {
    alter(change, &outcome.incident, |row| row.outcome = Some(outcome.verdict))
}

fn alter(
    change: &mut Change<'_>,
    incident: &IncidentId,
    alter: impl FnOnce(&mut IncidentRow),
) -> Result<(), StoreError> {
    change.alter(Table::Incidents, incident.as_str(), |row| {
        if let Doc::Incidents(doc) = &mut row.doc {
            alter(doc);
            let merged = doc.incident.merged_into.is_some();
            row.status = if merged {
                "merged"
            } else if doc.incident.is_open() {
                "open"
            } else {
                "closed"
            }
            .into();
            row.plan = doc.plan.as_ref().map(ToString::to_string).unwrap_or_default();
            row.run = doc.run.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
