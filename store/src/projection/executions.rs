use workflow::PastExecution;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::error::StoreError;

pub(super) fn apply_execution(
    tx: &mut ProjectionTx<'_>,
    execution: &PastExecution,
) -> Result<(), StoreError> {
    let status = execution.outcome.as_str();
    tx.upsert(&execution.id, status, RowLinks::default(), RowBody::Executions(execution.clone()))
}
