use workflow::Feedback;
use workflow::feedback::Rating;

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::error::StoreError;

pub(super) fn apply_feedback(
    tx: &mut ProjectionTx<'_>,
    feedback: &Feedback,
) -> Result<(), StoreError> {
    let incident = tx
        .get(Table::Plans, feedback.plan.as_str())?
        .map(|row| row.incident.clone())
        .unwrap_or_default();
    let status = match feedback.rating {
        Some(Rating::Right) => "right",
        Some(Rating::Wrong) => "wrong",
        None => "",
    };
    let links =
        RowLinks { incident: &incident, plan: feedback.plan.as_str(), ..RowLinks::default() };
    tx.upsert(feedback.id.as_str(), status, links, RowBody::Feedback(feedback.clone()))
}
