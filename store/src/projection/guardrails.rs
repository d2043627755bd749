use workflow::Guardrails;

use super::row::About;
use super::{Change, Doc};
use crate::port::StoreError;

/// One row each time that guardrails came into force: the newest are in force now.
pub(super) fn loaded(change: &mut Change<'_>, guardrails: &Guardrails) -> Result<(), StoreError> {
    let id = format!("{:020}", change.record.seq);
    let status = guardrails.version();
    change.make(&id, &status, About::default(), Doc::Guardrails(guardrails.clone()))
}
