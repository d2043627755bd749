use workflow::Evidence;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::error::StoreError;

pub(super) fn apply_evidence(
    tx: &mut ProjectionTx<'_>,
    evidence: &Evidence,
) -> Result<(), StoreError> {
    let links = RowLinks { incident: evidence.incident.as_str(), ..RowLinks::default() };
    tx.upsert(evidence.id.as_str(), "", links, RowBody::Evidence(evidence.clone()))
}
