use workflow::id::RunId;
use workflow::{Event, RunStatus, RunView};

use super::row::About;
use super::{Change, Doc, Table};
use crate::port::StoreError;

/// Folds one event into the view of its run: the same fold that the machine embeds.
pub(super) fn happened(
    change: &mut Change<'_>,
    run: &RunId,
    event: &Event,
) -> Result<(), StoreError> {
    if let Some(view) = RunView::begin(run, event) {
        let (incident, plan) = (view.incident.clone(), view.plan.clone());
        let about = About { incident: incident.as_str(), plan: plan.as_str(), run: run.as_str() };
        return change.make(run.as_str(), word(view.status), about, Doc::Runs(view));
    }
    change.alter(Table::Runs, run.as_str(), |row| {
        if let Doc::Runs(view) = &mut row.doc {
            view.apply(event);
            row.status = word(view.status).into();
        }
    })?;
    Ok(())
}

/// A run's status as it is written in JSON.
fn word(status: RunStatus) -> &'static str {
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
