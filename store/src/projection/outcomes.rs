use workflow::Outcome;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::error::StoreError;

pub(super) fn apply_outcome(
    tx: &mut ProjectionTx<'_>,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let status = outcome.status.as_str();
    let run = outcome.run.as_ref().map(ToString::to_string).unwrap_or_default();
    let links = RowLinks {
        incident: outcome.incident.as_str(),
        plan: outcome.plan.as_str(),
        run: &run,
        ..RowLinks::default()
    };
    tx.upsert(outcome.id.as_str(), status, links, RowBody::Outcomes(outcome.clone()))
}
