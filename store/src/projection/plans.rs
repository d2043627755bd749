use serde::{Deserialize, Serialize};
use workflow::entry::Review;
use workflow::id::{PlanId, RunId};
use workflow::plan::PlanStatus;
use workflow::{Event, Plan, RunStatus};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::port::StoreError;

/// A plan with its review and its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRow {
    pub plan: Plan,
    pub status: PlanStatus,
    /// The latest approval or rejection.
    pub review: Option<Review>,
    /// Why the plan was withdrawn, if it was.
    pub withdrawn: Option<String>,
    pub run: Option<RunId>,
    /// Final status of the run, once it ended.
    pub ended: Option<RunStatus>,
}

pub(super) fn apply_plan(tx: &mut ProjectionTx<'_>, plan: &Plan) -> Result<(), StoreError> {
    let status = if plan.needs_approval.is_some() {
        PlanStatus::NeedsApproval
    } else {
        PlanStatus::Proposed
    };
    let links = RowLinks {
        incident: plan.incident.as_str(),
        plan: plan.id.as_str(),
        ..RowLinks::default()
    };
    let row = PlanRow {
        plan: plan.clone(),
        status,
        review: None,
        withdrawn: None,
        run: None,
        ended: None,
    };
    tx.upsert(plan.id.as_str(), status.as_str(), links, RowBody::Plans(row))
}

pub(super) fn apply_review(tx: &mut ProjectionTx<'_>, review: &Review) -> Result<(), StoreError> {
    update(tx, &review.plan, |row| {
        row.status = if review.is_approved { PlanStatus::Approved } else { PlanStatus::Rejected };
        row.review = Some(review.clone());
    })
}

pub(super) fn apply_withdrawal(
    tx: &mut ProjectionTx<'_>,
    plan: &PlanId,
    message: &str,
) -> Result<(), StoreError> {
    update(tx, plan, |row| {
        row.status = PlanStatus::Withdrawn;
        row.withdrawn = Some(message.into());
    })
}

/// Only the start and the end of a run change the status of its plan.
pub(super) fn apply_run(
    tx: &mut ProjectionTx<'_>,
    run: &RunId,
    event: &Event,
) -> Result<(), StoreError> {
    if let Event::Started { plan, .. } = event {
        update(tx, &plan.id, |row| {
            row.status = PlanStatus::Running;
            row.run = Some(run.clone());
        })?;
    }
    if let Event::Ended { status, .. } = event {
        let plan = tx.get(Table::Runs, run.as_str())?.and_then(|row| row.plan.parse().ok());
        let Some(plan) = plan else { return Ok(()) };
        update(tx, &plan, |row| {
            row.status = PlanStatus::Done;
            row.ended = Some(*status);
        })?;
    }
    Ok(())
}

fn update(
    tx: &mut ProjectionTx<'_>,
    plan: &PlanId,
    update: impl FnOnce(&mut PlanRow),
) -> Result<(), StoreError> {
    tx.update(Table::Plans, plan.as_str(), |row| {
        if let RowBody::Plans(body) = &mut row.body {
            update(body);
            row.status = body.status.as_str().into();
            row.run = body.run.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
