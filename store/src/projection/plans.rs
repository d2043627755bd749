use serde::{Deserialize, Serialize};
use workflow::entry::Review;
use workflow::id::{PlanId, RunId};
use workflow::{Event, Plan, RunStatus};

use super::row::About;
use super::{Change, Doc, Table};
use crate::port::StoreError;

/// Where a plan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanStatus {
    /// Frozen; no person needs to approve it.
    Proposed,
    /// A person must approve it before it runs.
    NeedsApproval,
    /// A person approved it.
    Approved,
    /// A person rejected it.
    Rejected,
    /// Its run is under way.
    Running,
    /// Its run ended.
    Done,
    /// It will not run any more.
    Withdrawn,
}

impl PlanStatus {
    /// As it stands in the column `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::NeedsApproval => "needs-approval",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Running => "running",
            Self::Done => "done",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A plan, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRow {
    /// The plan as frozen.
    pub plan: Plan,
    /// Where it stands.
    pub status: PlanStatus,
    /// What a person last said about it.
    pub review: Option<Review>,
    /// Why it was withdrawn, if it was.
    pub withdrawn: Option<String>,
    /// Its run.
    pub run: Option<RunId>,
    /// How its run ended, once it has.
    pub ended: Option<RunStatus>,
}

pub(super) fn frozen(change: &mut Change<'_>, plan: &Plan) -> Result<(), StoreError> {
    let status = if plan.needs_approval.is_some() {
        PlanStatus::NeedsApproval
    } else {
        PlanStatus::Proposed
    };
    let about =
        About { incident: plan.incident.as_str(), plan: plan.id.as_str(), ..About::default() };
    let row = PlanRow {
        plan: plan.clone(),
        status,
        review: None,
        withdrawn: None,
        run: None,
        ended: None,
    };
    change.make(plan.id.as_str(), status.as_str(), about, Doc::Plans(row))
}

pub(super) fn reviewed(change: &mut Change<'_>, review: &Review) -> Result<(), StoreError> {
    alter(change, &review.plan, |row| {
        row.status = if review.is_approved { PlanStatus::Approved } else { PlanStatus::Rejected };
        row.review = Some(review.clone());
    })
}

pub(super) fn withdrawn(
    change: &mut Change<'_>,
    plan: &PlanId,
    why: &str,
) -> Result<(), StoreError> {
    alter(change, plan, |row| {
        row.status = PlanStatus::Withdrawn;
        row.withdrawn = Some(why.into());
    })
}

/// Only the beginning and the end of a run move its plan.
pub(super) fn ran(change: &mut Change<'_>, run: &RunId, event: &Event) -> Result<(), StoreError> {
    if let Event::Started { plan, .. } = event {
        alter(change, &plan.id, |row| {
            row.status = PlanStatus::Running;
            row.run = Some(run.clone());
        })?;
    }
    if let Event::Ended { status, .. } = event {
        let plan = change.look(Table::Runs, run.as_str())?.and_then(|row| row.plan.parse().ok());
        let Some(plan) = plan else { return Ok(()) };
        alter(change, &plan, |row| {
            row.status = PlanStatus::Done;
            row.ended = Some(*status);
        })?;
    }
    Ok(())
}

fn alter(
    change: &mut Change<'_>,
    plan: &PlanId,
    alter: impl FnOnce(&mut PlanRow),
) -> Result<(), StoreError> {
    change.alter(Table::Plans, plan.as_str(), |row| {
        if let Doc::Plans(doc) = &mut row.doc {
            alter(doc);
            row.status = doc.status.as_str().into();
            row.run = doc.run.as_ref().map(ToString::to_string).unwrap_or_default();
        }
    })?;
    Ok(())
}
