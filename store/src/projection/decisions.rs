use workflow::{Decision, Plan};

use super::row::About;
use super::{Change, Doc, Table};
use crate::port::StoreError;

pub(super) fn decided(change: &mut Change<'_>, decision: &Decision) -> Result<(), StoreError> {
    let about = About { incident: decision.incident.as_str(), ..About::default() };
    change.make(decision.id.as_str(), "decided", about, Doc::Decisions(decision.clone()))
}

/// The chosen candidate became a plan.
pub(super) fn frozen(change: &mut Change<'_>, plan: &Plan) -> Result<(), StoreError> {
    change.alter(Table::Decisions, plan.decision.as_str(), |row| {
        row.status = "planned".into();
        row.plan = plan.id.to_string();
    })?;
    Ok(())
}
