use workflow::PastExecution;
use workflow::outcome::Verdict;

use super::row::About;
use super::{Change, Doc};
use crate::port::StoreError;

pub(super) fn ended(change: &mut Change<'_>, execution: &PastExecution) -> Result<(), StoreError> {
    let status = match execution.verdict {
        Verdict::Resolved => "resolved",
        Verdict::ByPerson => "by-person",
        Verdict::NotResolved => "not-resolved",
        Verdict::Recurred => "recurred",
        Verdict::Worse => "worse",
        Verdict::Unknown => "unknown",
    };
    change.make(&execution.id, status, About::default(), Doc::Executions(execution.clone()))
}
