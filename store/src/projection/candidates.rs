use workflow::Candidate;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody};
use crate::error::StoreError;

pub(super) fn apply_candidates(
    tx: &mut ProjectionTx<'_>,
    candidates: &[Candidate],
) -> Result<(), StoreError> {
    for candidate in candidates {
        let links = RowLinks { incident: candidate.incident.as_str(), ..RowLinks::default() };
        tx.upsert(
            candidate.id.as_str(),
            candidate.source.as_str(),
            links,
            RowBody::Candidates(candidate.clone()),
        )?;
    }
    Ok(())
}
