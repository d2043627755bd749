use jiff::Timestamp;

use super::{Footprint, Guardrails, Ledger, Verdict};

/// What the guardrails say to one step, given what was done of late.
pub fn judge(guardrails: &Guardrails, footprint: &Footprint, ledger: &Ledger, now: Timestamp) -> Verdict {
    let _ = (footprint, ledger, now);
    Verdict::Deny { rule: "unjudged".into(), message: guardrails.metadata.name.clone(), hint: String::new() }
}
