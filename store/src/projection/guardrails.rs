use workflow::Guardrails;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::error::StoreError;

/// Adds one row per loaded version; the newest row is the active version.
pub(super) fn apply_guardrails(
    tx: &mut ProjectionTx<'_>,
    guardrails: &Guardrails,
) -> Result<(), StoreError> {
    let id = format!("{:020}", tx.record.seq);
    let status = guardrails.version();
    tx.upsert(&id, &status, RowLinks::default(), RowBody::Guardrails(guardrails.clone()))
}
