//! Approval and rejection of plans.

use workflow::entry::Review;
use workflow::guardrail::Autonomy;
use workflow::{EngineResponse, Entry, ErrorCode, Refusal};

use super::Handled;
use crate::case::{IncidentCases, IncidentStage};

/// Records a review of the plan that awaits approval.
pub(crate) fn handle(cases: &IncidentCases, autonomy: Autonomy, review: Review) -> Handled {
    let Some(case) = cases.by_plan(&review.plan) else {
        return Err(Refusal::not_found("plan", review.plan.as_str()));
    };
    let Some(frozen) = case.plan().filter(|frozen| frozen.id == review.plan) else {
        return Err(Refusal::conflict(
            ErrorCode::PlanSuperseded,
            "the plan was superseded by a newer plan",
            "review the newer plan",
        ));
    };
    if frozen.digest != review.digest {
        let message = format!(
            "the plan's digest is {}, which is not the digest that was reviewed",
            frozen.digest
        );
        return Err(Refusal::changed(ErrorCode::PlanChanged, message, "read the plan again"));
    }
    if !matches!(case.stage, IncidentStage::AwaitingApproval { .. }) {
        return Err(Refusal::conflict(
            ErrorCode::NotAwaitingApproval,
            "the plan does not await approval",
            "show the plan to see its status",
        ));
    }
    if review.is_approved && !autonomy.allows_execution() {
        return Err(Refusal::conflict(
            ErrorCode::SuggestedOnly,
            "the active guardrails do not allow execution of plans",
            "set `autonomy` to `approve` or higher in the guardrails, then approve the plan",
        ));
    }
    Ok((vec![Entry::PlanReviewed(review)], EngineResponse::Done))
}

#[cfg(test)]
mod tests {
    use cluster::Digest;
    use workflow::input::ErrorKind;

    use super::*;
    use crate::sample;

    fn review(plan: &workflow::Plan) -> Review {
        Review {
            plan: plan.id.clone(),
            digest: plan.digest,
            is_approved: true,
            actor: "ada".into(),
            reason: "it fits".into(),
        }
    }

    fn refusal(
        cases: &IncidentCases,
        autonomy: Autonomy,
        review: Review,
    ) -> (ErrorKind, ErrorCode) {
        let refusal = handle(cases, autonomy, review).unwrap_err();
        assert!(!refusal.hint.is_empty());
        (refusal.kind, refusal.code)
    }

    #[test]
    fn review_of_unknown_plan_is_refused() {
        let refused =
            refusal(&IncidentCases::default(), Autonomy::Approve, review(&sample::plan(1)));
        assert_eq!(refused, (ErrorKind::NotFound, ErrorCode::NotFound));
    }

    #[test]
    fn review_of_superseded_plan_is_refused() {
        let mut cases = sample::cases_with_plan();
        sample::freeze(&mut cases, sample::plan(2));
        let refused = refusal(&cases, Autonomy::Approve, review(&sample::plan(1)));
        assert_eq!(refused, (ErrorKind::Conflict, ErrorCode::PlanSuperseded));
    }

    #[test]
    fn review_of_other_digest_is_refused() {
        let review = Review { digest: Digest::of(b"another"), ..review(&sample::plan(1)) };
        let refused = refusal(&sample::cases_with_plan(), Autonomy::Approve, review);
        assert_eq!(refused, (ErrorKind::Changed, ErrorCode::PlanChanged));
    }

    #[test]
    fn second_review_is_refused() {
        let mut cases = sample::cases_with_plan();
        let (entries, response) =
            handle(&cases, Autonomy::Approve, review(&sample::plan(1))).unwrap();
        assert_eq!(response, EngineResponse::Done);
        sample::apply(&mut cases, entries);
        let refused = refusal(&cases, Autonomy::Approve, review(&sample::plan(1)));
        assert_eq!(refused, (ErrorKind::Conflict, ErrorCode::NotAwaitingApproval));
    }

    #[test]
    fn approval_under_autonomy_suggest_is_refused_and_rejection_is_not() {
        let cases = sample::cases_with_plan();
        let refused = refusal(&cases, Autonomy::Suggest, review(&sample::plan(1)));
        assert_eq!(refused, (ErrorKind::Conflict, ErrorCode::SuggestedOnly));
        let rejection = Review { is_approved: false, ..review(&sample::plan(1)) };
        assert!(handle(&cases, Autonomy::Suggest, rejection).is_ok());
    }
}
