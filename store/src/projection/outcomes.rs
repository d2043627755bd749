use workflow::Outcome;
use workflow::outcome::Verdict;

use super::row::About;
use super::{Change, Doc};
use crate::port::StoreError;

pub(super) fn observed(change: &mut Change<'_>, outcome: &Outcome) -> Result<(), StoreError> {
    let status = match outcome.verdict {
        Verdict::Resolved => "resolved",
        Verdict::ByPerson => "by-person",
        Verdict::NotResolved => "not-resolved",
        Verdict::Recurred => "recurred",
        Verdict::Worse => "worse",
        Verdict::Unknown => "unknown",
    };
    let run = outcome.run.as_ref().map(ToString::to_string).unwrap_or_default();
    let about =
        About { incident: outcome.incident.as_str(), plan: outcome.plan.as_str(), run: &run };
    change.make(outcome.id.as_str(), status, about, Doc::Outcomes(outcome.clone()))
}
