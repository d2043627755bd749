//! Feedback on plans.

use workflow::{EngineResponse, Entry, Feedback, Refusal};

use super::Handled;
use crate::case::IncidentCases;

/// Records feedback on a plan, whether or not the plan is the last one of its incident.
pub(crate) fn handle(cases: &IncidentCases, feedback: Feedback) -> Handled {
    if cases.by_plan(&feedback.plan).is_none() {
        return Err(Refusal::not_found("plan", feedback.plan.as_str()));
    }
    let response = EngineResponse::Feedback { id: feedback.id.clone() };
    Ok((vec![Entry::FeedbackGiven(feedback)], response))
}

#[cfg(test)]
mod tests {
    use workflow::ErrorCode;
    use workflow::id::FeedbackId;

    use super::*;
    use crate::sample;

    #[test]
    fn feedback_on_unknown_plan_is_refused() {
        let plan = sample::plan(1).id;
        let feedback = Feedback {
            id: FeedbackId::derive(sample::at(0), plan.as_str(), 0),
            plan,
            rating: None,
            correction: None,
            comment: "too slow".into(),
            actor: "ada".into(),
            at: sample::at(0),
        };
        let refused = handle(&IncidentCases::default(), feedback.clone()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
        assert!(handle(&sample::cases_with_plan(), feedback).is_ok());
    }
}
