//! Requests for another plan.

use tokio::sync::oneshot;
use workflow::id::IncidentId;
use workflow::{EngineResponse, Entry, ErrorCode, Incidents, Refusal, RequestKey};

use crate::case::{IncidentCases, IncidentStage};

/// A client's request for a plan, answered when the plan is made.
pub(crate) struct PlanRequest {
    pub(crate) actor: String,
    /// The idempotency key, under which the response is recorded.
    pub(crate) key: Option<RequestKey>,
    /// The request and its repetitions under the same key; all get the same response.
    pub(crate) reply_to: Vec<oneshot::Sender<EngineResponse>>,
    /// Runs of the incident when the plan was requested.
    pub(crate) runs: u32,
}

/// Refuses a request for a plan that cannot be made. `waiting` is the request for which a plan is being made, if there is
/// one; a repetition of it is not refused.
pub(crate) fn handle(
    cases: &IncidentCases,
    incidents: &Incidents,
    waiting: Option<&PlanRequest>,
    id: &IncidentId,
    key: Option<&RequestKey>,
) -> Result<(), Refusal> {
    check(cases, incidents, id)?;
    match waiting {
        Some(waiting) if key.is_none() || waiting.key.as_ref() != key => Err(Refusal::conflict(
            ErrorCode::Planning,
            "another client requested a plan for the incident, which is being made",
            "list the plans of the incident in a few seconds",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a plan for an incident that is closed, or whose last plan is being executed.
fn check(cases: &IncidentCases, incidents: &Incidents, id: &IncidentId) -> Result<(), Refusal> {
    let Some(case) = cases.cases.get(id) else {
        return Err(Refusal::not_found("incident", id.as_str()));
    };
    if matches!(case.stage, IncidentStage::Running { .. } | IncidentStage::Ready) {
        return Err(Refusal::conflict(
            ErrorCode::Running,
            "a plan of the incident is being executed",
            "wait until the run ends, or cancel it",
        ));
    }
    if incidents.current(id).is_none_or(|open| open.id != *id) {
        return Err(Refusal::conflict(
            ErrorCode::IncidentClosed,
            "the incident is closed or was merged into another incident",
            "request a plan for an open incident",
        ));
    }
    Ok(())
}

/// Refuses to continue to make a requested plan that is not possible any more.
pub(crate) fn check_still_possible(
    cases: &IncidentCases,
    incidents: &Incidents,
    request: &PlanRequest,
    id: &IncidentId,
) -> Result<(), Refusal> {
    check(cases, incidents, id)?;
    // The evidence is from before that run.
    if cases.cases.get(id).is_some_and(|case| case.runs != request.runs) {
        return Err(Refusal::conflict(
            ErrorCode::Running,
            "a plan of the incident was executed meanwhile",
            "request a plan again",
        ));
    }
    Ok(())
}

/// Returns the withdrawal of the plan that awaits approval when the making of a requested one ends.
pub(crate) fn superseded_plan(
    cases: &IncidentCases,
    request: &PlanRequest,
    id: &IncidentId,
) -> Option<Entry> {
    match &cases.cases.get(id)?.stage {
        IncidentStage::AwaitingApproval { plan } => {
            let message = format!("{} requested another plan", request.actor);
            Some(Entry::PlanWithdrawn { plan: plan.clone(), message })
        }
        IncidentStage::NeedsDecision { .. }
        | IncidentStage::Ready
        | IncidentStage::Running { .. }
        | IncidentStage::Stabilizing { .. }
        | IncidentStage::EvaluatingOutcome
        | IncidentStage::RecurrenceWatch { .. }
        | IncidentStage::Escalated
        | IncidentStage::Closed => None,
    }
}

#[cfg(test)]
mod tests {
    use cluster::Digest;
    use workflow::entry::Review;

    use super::*;
    use crate::sample;

    fn request(key: Option<RequestKey>) -> PlanRequest {
        PlanRequest { actor: "ada".into(), key, reply_to: Vec::new(), runs: 0 }
    }

    fn key(text: &[u8]) -> RequestKey {
        RequestKey { key: Digest::of(text), body: Digest::of(b"body") }
    }

    #[test]
    fn replan_of_unknown_incident_is_refused() {
        let refused = handle(
            &IncidentCases::default(),
            &Incidents::default(),
            None,
            &sample::incident().id,
            None,
        );
        assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    }

    #[test]
    fn replan_while_plan_is_executed_or_incident_is_closed_is_refused() {
        let (mut cases, incidents) = (sample::cases_with_plan(), sample::incidents());
        let id = sample::incident().id;
        assert_eq!(handle(&cases, &incidents, None, &id, None), Ok(()));
        let closed = handle(&cases, &Incidents::default(), None, &id, None).unwrap_err();
        assert_eq!(closed.code, ErrorCode::IncidentClosed);
        let plan = sample::plan(1);
        let review = Review {
            plan: plan.id,
            digest: plan.digest,
            is_approved: true,
            actor: "ada".into(),
            reason: String::new(),
        };
        sample::apply(&mut cases, vec![Entry::PlanReviewed(review)]);
        let running = handle(&cases, &incidents, None, &id, None).unwrap_err();
        assert_eq!(running.code, ErrorCode::Running);
    }

    #[test]
    fn second_replan_is_refused_unless_it_repeats_the_first() {
        let (cases, incidents) = (sample::cases_with_plan(), sample::incidents());
        let id = sample::incident().id;
        let waiting = request(Some(key(b"a")));
        let handle = |key: Option<&RequestKey>| {
            handle(&cases, &incidents, Some(&waiting), &id, key).map_err(|refused| refused.code)
        };
        assert_eq!(handle(Some(&key(b"a"))), Ok(()));
        assert_eq!(handle(Some(&key(b"b"))), Err(ErrorCode::Planning));
        assert_eq!(handle(None), Err(ErrorCode::Planning));
    }

    #[test]
    fn requested_plan_is_refused_after_a_run() {
        let (mut cases, incidents) = (sample::cases_with_plan(), sample::incidents());
        let id = sample::incident().id;
        let check = |cases: &IncidentCases| {
            check_still_possible(cases, &incidents, &request(None), &id)
                .map_err(|refused| refused.message)
        };
        assert_eq!(check(&cases), Ok(()));
        sample::apply(&mut cases, sample::cancelled_run(&sample::plan(1)));
        assert_eq!(check(&cases), Err("a plan of the incident was executed meanwhile".into()));
    }
}
