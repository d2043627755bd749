use workflow::PastExecution;
use workflow::outcome::OutcomeStatus;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::error::StoreError;

pub(super) fn apply_execution(
    tx: &mut ProjectionTx<'_>,
    execution: &PastExecution,
) -> Result<(), StoreError> {
    let status = match execution.outcome {
        OutcomeStatus::Resolved => "resolved",
        OutcomeStatus::ResolvedManually => "resolved-manually",
        OutcomeStatus::NotResolved => "not-resolved",
        OutcomeStatus::Recurred => "recurred",
        OutcomeStatus::Worse => "worse",
        OutcomeStatus::Unknown => "unknown",
    };
    tx.upsert(&execution.id, status, RowLinks::default(), RowBody::Executions(execution.clone()))
}
