use workflow::{Decision, Plan};

use super::row::RowLinks;
use super::{ProjectionTx, RowBody, Table};
use crate::error::StoreError;

pub(super) fn apply_decision(
    tx: &mut ProjectionTx<'_>,
    decision: &Decision,
) -> Result<(), StoreError> {
    let links = RowLinks { incident: decision.incident.as_str(), ..RowLinks::default() };
    tx.upsert(decision.id.as_str(), "decided", links, RowBody::Decisions(decision.clone()))
}

/// Links the decision to the plan frozen from its chosen candidate.
pub(super) fn apply_plan(tx: &mut ProjectionTx<'_>, plan: &Plan) -> Result<(), StoreError> {
    tx.update(Table::Decisions, plan.decision.as_str(), |row| {
        row.status = "planned".into();
        row.plan = plan.id.to_string();
    })?;
    Ok(())
}
