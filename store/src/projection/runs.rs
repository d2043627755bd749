use workflow::id::RunId;
use workflow::{Event, RunStatus, RunView};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::error::StoreError;

/// Folds one event into the view of its run, with the same fold that the executor uses.
pub(super) fn apply_run(
    tx: &mut ProjectionTx<'_>,
    run: &RunId,
    event: &Event,
) -> Result<(), StoreError> {
    if let Some(view) = RunView::begin(run, event) {
        let (incident, plan) = (view.incident.clone(), view.plan.clone());
        let links = RowLinks {
            incident: incident.as_str(),
            plan: plan.as_str(),
            run: run.as_str(),
            ..RowLinks::default()
        };
        return tx.upsert(run.as_str(), status_text(view.status), links, RowBody::Runs(view));
    }
    tx.update(Table::Runs, run.as_str(), |row| {
        if let RowBody::Runs(view) = &mut row.body {
            view.apply(event);
            row.status = status_text(view.status).into();
        }
    })?;
    Ok(())
}

/// Returns the run status as serialized in JSON.
fn status_text(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "running",
        RunStatus::Paused => "paused",
        RunStatus::AwaitingApproval => "awaiting-approval",
        RunStatus::Compensating => "compensating",
        RunStatus::NeedsHuman => "needs-human",
        RunStatus::Succeeded => "succeeded",
        RunStatus::Failed => "failed",
        RunStatus::RolledBack => "rolled-back",
        RunStatus::Cancelled => "cancelled",
    }
}
