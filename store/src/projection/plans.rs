use serde::{Deserialize, Serialize};
use workflow::id::{PlanId, RunId};
use workflow::{Entry, Event, Plan, PlanState};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::error::StoreError;

/// A plan with its review and its run. Status: that of [`PlanState`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRow {
    pub plan: Plan,
    #[serde(flatten)]
    pub state: PlanState,
}

pub(super) fn apply_plan(tx: &mut ProjectionTx<'_>, plan: &Plan) -> Result<(), StoreError> {
    let links = RowLinks {
        incident: plan.incident.as_str(),
        plan: plan.id.as_str(),
        ..RowLinks::default()
    };
    let row = PlanRow { plan: plan.clone(), state: PlanState::new(plan) };
    tx.upsert(plan.id.as_str(), row.state.status.as_str(), links, RowBody::Plans(row))
}

/// Folds the start or the end of a run into its plan; other events of a run do not concern it.
pub(super) fn apply_run(
    tx: &mut ProjectionTx<'_>,
    run: &RunId,
    event: &Event,
    entry: &Entry,
) -> Result<(), StoreError> {
    let plan = match event {
        Event::Started { plan, .. } => Some(plan.id.clone()),
        Event::Ended { .. } => {
            tx.get(Table::Runs, run.as_str())?.and_then(|row| row.plan.parse().ok())
        }
        _ => None,
    };
    plan.map_or(Ok(()), |plan| fold(tx, &plan, entry))
}

/// Folds an entry into the state of its plan, with the same fold that the engine uses.
pub(super) fn fold(
    tx: &mut ProjectionTx<'_>,
    plan: &PlanId,
    entry: &Entry,
) -> Result<(), StoreError> {
    update(tx, plan, |row| row.state.apply(entry))
}

fn update(
    tx: &mut ProjectionTx<'_>,
    plan: &PlanId,
    update: impl FnOnce(&mut PlanRow),
) -> Result<(), StoreError> {
    tx.update(Table::Plans, plan.as_str(), |row| {
        if let RowBody::Plans(body) = &mut row.body {
            update(body);
            row.status = body.state.status.as_str().into();
            row.run = body.state.run.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
