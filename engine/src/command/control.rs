//! Emergency stops and controls of runs.

use executor::Rejected;
use workflow::input::ErrorKind;
use workflow::{ErrorCode, Refusal};

/// Returns the refusal of an operator's command that the fleet rejected.
pub(crate) fn refusal(rejected: &Rejected) -> Refusal {
    let kind = match rejected {
        Rejected::UnknownRun { .. } => ErrorKind::NotFound,
        Rejected::MissingReason => ErrorKind::Invalid,
        Rejected::AlreadySubmitted { .. }
        | Rejected::Ended { .. }
        | Rejected::AlreadyEnding { .. }
        | Rejected::NotPending { .. }
        | Rejected::NoApprovalRequested { .. }
        | Rejected::NotPaused { .. }
        | Rejected::NotStopped { .. }
        | Rejected::InvalidPlan { .. }
        | Rejected::Runaway { .. } => ErrorKind::Conflict,
    };
    Refusal::new(kind, ErrorCode::Rejected, rejected.to_string(), rejected.hint())
}

#[cfg(test)]
mod tests {
    use workflow::run::StopScope;

    use super::*;

    #[test]
    fn rejection_is_refused_with_its_class_and_hint() {
        let run = "run_01KDVFCY8R2FH5C7GX3B9F9PP4".parse().unwrap();
        for (rejected, kind) in [
            (Rejected::UnknownRun { run }, ErrorKind::NotFound),
            (Rejected::MissingReason, ErrorKind::Invalid),
            (Rejected::NotStopped { scope: StopScope::Global }, ErrorKind::Conflict),
        ] {
            let refused = refusal(&rejected);
            assert_eq!((refused.kind, refused.code.as_str()), (kind, "rejected"));
            assert_eq!(refused.hint, rejected.hint());
        }
    }
}
