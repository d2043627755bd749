//! Plans: list, get, explain, approve, reject, and feedback.

use std::sync::Arc;

use api::{
    CandidateItem, CreatePlanRequest, DecisionItem, EvidenceItem, ExplainPlanResponse,
    FeedbackRequest, FeedbackResponse, ListResponse, PlanItem, PlanResponse, ProblemResponse,
    ReasonRequest,
};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use store::{PlanRow, Queries};
use workflow::id::{IncidentId, PlanId};
use workflow::plan::PlanState;
use workflow::{Decision, EngineResponse, ErrorCode, Input, RequestKey, Severity, Workflow};

use crate::idempotency::{Idempotent, with_key};
use crate::problem::Problem;
use crate::request::{
    Id, ListParams, OptionalJson, QueryParams, StrictJson, check_actor, check_length, check_reason,
    if_match_digest,
};
use crate::resource;
use crate::server_state::{ServerState, unexpected};

/// Lists plans, optionally of one status, incident or run.
#[utoipa::path(get, path = "/api/v1/plans", tag = "plans", params(ListParams),
    responses((status = 200, description = "A page of plans.", body = ListResponse<PlanItem>), (status = 400, description = "A parameter is invalid.", body = ProblemResponse)))]
pub(crate) async fn plans(
    State(state): State<Arc<ServerState>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<PlanItem>>, Problem> {
    let page = params.page(&[
        "proposed",
        "needs-approval",
        "approved",
        "rejected",
        "running",
        "done",
        "withdrawn",
    ])?;
    Ok(Json(resource::list(state.store.plans(&page).await?, resource::plan_item)))
}

/// Creates a new plan for an incident from fresh evidence. A plan that waits for approval is withdrawn.
#[utoipa::path(post, path = "/api/v1/plans", tag = "plans", request_body = CreatePlanRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    responses((status = 201, description = "The plan.", body = PlanResponse), (status = 404, description = "The incident does not exist.", body = ProblemResponse),
        (status = 409, description = "A plan of the incident is running, the incident is closed, or the guardrails allow no proposals.", body = ProblemResponse)))]
pub(crate) async fn create(
    State(state): State<Arc<ServerState>>,
    Idempotent(StrictJson(body), request): Idempotent<StrictJson<CreatePlanRequest>>,
) -> Result<Response, Problem> {
    let actor = check_actor(body.actor)?;
    let text: String = body.incident.chars().take(64).collect();
    let incident: IncidentId = text.parse().map_err(|_| Problem::not_found("incident", &text))?;
    let id = match state.request(with_key(request, Input::Replan { incident, actor })).await? {
        EngineResponse::Planned { plan } => plan,
        other => return Err(unexpected(&other)),
    };
    let row = find(&state, &id).await?;
    let location = format!("/api/v1/plans/{id}");
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, plan_response(row)).into_response())
}

/// Returns one plan. Its ETag is its digest, which a review must send in `If-Match`.
#[utoipa::path(get, path = "/api/v1/plans/{id}", tag = "plans", params(("id" = String, Path, description = "Id of the plan.")),
    responses(
        (status = 200, description = "The plan.", body = PlanResponse, headers(("ETag" = String, description = "Digest of the plan."))),
        (status = 404, description = "The plan does not exist.", body = ProblemResponse)))]
pub(crate) async fn plan(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<PlanId>,
) -> Result<Response, Problem> {
    Ok(plan_response(find(&state, &id).await?))
}

async fn find(state: &ServerState, id: &PlanId) -> Result<PlanRow, Problem> {
    state.store.plan(id).await?.ok_or_else(|| Problem::not_found("plan", id))
}

fn plan_response(row: PlanRow) -> Response {
    let tag = format!("\"{}\"", row.plan.digest);
    ([(header::ETAG, tag)], Json(resource::plan(row))).into_response()
}

/// Explains one plan: its reasons, the evidence, the other candidates, and the decision.
#[utoipa::path(get, path = "/api/v1/plans/{id}/explain", tag = "plans", params(("id" = String, Path, description = "Id of the plan.")),
    responses((status = 200, description = "The explanation, the evidence, all candidates with estimate and propensity, and the decision.", body = ExplainPlanResponse),
        (status = 404, description = "The plan does not exist.", body = ProblemResponse)))]
pub(crate) async fn explain(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<PlanId>,
) -> Result<Json<ExplainPlanResponse>, Problem> {
    let PlanRow { plan, state: PlanState { status, .. } } = find(&state, &id).await?;
    let decision = state.store.decision(&plan.decision).await?;
    // The newest evidence gathered before the plan was frozen.
    let mut gathered = state.store.evidence_of(&plan.incident).await?;
    gathered.retain(|evidence| evidence.at <= plan.created_at);
    let newest = gathered.into_iter().max_by_key(|evidence| evidence.at);
    let evidence = newest.map(|evidence| EvidenceItem {
        id: evidence.id,
        target: evidence.target,
        summary: evidence.summary,
        missing: evidence.missing,
        differences: evidence.differences,
        at: evidence.at,
    });
    let candidates = match &decision {
        Some(decision) => candidates(&state, decision).await?,
        None => Vec::new(),
    };
    let decision = decision.map(|decision| DecisionItem {
        id: decision.id,
        chosen: decision.chosen,
        propensity: decision.propensity,
        policy: decision.policy,
        model: decision.model,
        seed: decision.seed,
        random_draw: decision.random_draw,
        mode: decision.mode,
        exposure: decision.exposure,
        retrieved: decision.retrieved,
        attempt: decision.attempt,
        at: decision.at,
    });
    Ok(Json(ExplainPlanResponse {
        plan: plan.id,
        digest: plan.digest,
        incident: plan.incident,
        status,
        confidence: plan.estimates.plan,
        steps: plan.estimates.steps.clone(),
        explanation: plan.explanation,
        optimization: plan.optimization,
        needs_approval: plan.needs_approval,
        evidence,
        candidates,
        decision,
    }))
}

/// Returns all candidates of a decision, best estimate first. The order is for display; the policy chose by propensity.
async fn candidates(
    state: &ServerState,
    decision: &Decision,
) -> Result<Vec<CandidateItem>, Problem> {
    let mut scored: Vec<_> = decision.candidates.iter().collect();
    scored.sort_by(|a, b| b.estimates.plan.estimate.total_cmp(&a.estimates.plan.estimate));
    let mut items = Vec::with_capacity(scored.len());
    for scored in scored {
        let candidate = state.store.candidate(&scored.candidate).await?;
        items.push(CandidateItem {
            candidate: scored.candidate.clone(),
            is_chosen: scored.candidate == decision.chosen,
            arm: scored.arm.clone(),
            source: scored.source.clone(),
            workflow: scored.workflow.clone(),
            reasons: candidate.map(|candidate| candidate.reasons).unwrap_or_default(),
            estimate: scored.estimates.plan,
            observations: scored.estimates.observations,
            steps: scored.estimates.steps.clone(),
            propensity: scored.propensity,
            rejection: scored.rejection.clone(),
        });
    }
    Ok(items)
}

/// Approves the plan with the digest in `If-Match`.
#[utoipa::path(post, path = "/api/v1/plans/{id}/approve", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("If-Match" = String, Header, description = "Digest of the plan: its ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated plan.", body = PlanResponse), (status = 404, description = "The plan does not exist.", body = ProblemResponse),
        (status = 409, description = "The plan does not wait for approval.", body = ProblemResponse), (status = 412, description = "The plan has another digest.", body = ProblemResponse),
        (status = 428, description = "If-Match is missing.", body = ProblemResponse)))]
pub(crate) async fn approve(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<PlanId>,
    headers: HeaderMap,
    Idempotent(OptionalJson(body), request): Idempotent<OptionalJson<ReasonRequest>>,
) -> Result<Response, Problem> {
    review(&state, id, &headers, true, body, request).await
}

/// Rejects the plan with the digest in `If-Match`.
#[utoipa::path(post, path = "/api/v1/plans/{id}/reject", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("If-Match" = String, Header, description = "Digest of the plan: its ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated plan.", body = PlanResponse), (status = 404, description = "The plan does not exist.", body = ProblemResponse),
        (status = 409, description = "The plan does not wait for approval.", body = ProblemResponse), (status = 412, description = "The plan has another digest.", body = ProblemResponse),
        (status = 428, description = "If-Match is missing.", body = ProblemResponse)))]
pub(crate) async fn reject(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<PlanId>,
    headers: HeaderMap,
    Idempotent(OptionalJson(body), request): Idempotent<OptionalJson<ReasonRequest>>,
) -> Result<Response, Problem> {
    review(&state, id, &headers, false, body, request).await
}

async fn review(
    state: &ServerState,
    plan: PlanId,
    headers: &HeaderMap,
    is_approved: bool,
    body: ReasonRequest,
    request: Option<RequestKey>,
) -> Result<Response, Problem> {
    let (actor, reason) = check_reason(body)?;
    let row = find(state, &plan).await?;
    let digest = if_match_digest(headers)?;
    if row.plan.digest != digest {
        return Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            ErrorCode::PlanChanged,
            format!("plan {plan} has the digest {}, not the one in If-Match", row.plan.digest),
            "read the plan again, then review it with its present digest",
        ));
    }
    tracing::info!(%plan, incident = %row.plan.incident, is_approved, actor, "plan reviewed");
    let input = Input::Review { plan: plan.clone(), digest, is_approved, actor, reason };
    state.command(with_key(request, input)).await?;
    Ok(plan_response(find(state, &plan).await?))
}

/// Adds feedback on a plan. It is used as training data.
#[utoipa::path(post, path = "/api/v1/plans/{id}/feedback", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    request_body = FeedbackRequest,
    responses((status = 201, description = "The id of the feedback.", body = FeedbackResponse), (status = 404, description = "The plan does not exist.", body = ProblemResponse),
        (status = 422, description = "The feedback is empty, or the correction is not a valid workflow.", body = ProblemResponse)))]
pub(crate) async fn feedback(
    State(state): State<Arc<ServerState>>,
    Id(plan): Id<PlanId>,
    Idempotent(StrictJson(body), request): Idempotent<StrictJson<FeedbackRequest>>,
) -> Result<Response, Problem> {
    find(&state, &plan).await?;
    let (actor, comment) = (check_actor(body.actor)?, check_length(body.comment, "comment")?);
    if body.rating.is_none() && body.correction.is_none() && comment.trim().is_empty() {
        return Err(Problem::invalid(
            ErrorCode::EmptyFeedback,
            "the feedback is empty",
            "set `rating`, `correction` or `comment`",
        ));
    }
    let correction = body.correction.map(|value| workflow_of(&value, &state)).transpose()?;
    tracing::info!(%plan, rating = ?body.rating, is_corrected = correction.is_some(), actor, "feedback added");
    let input =
        Input::Feedback { plan: plan.clone(), rating: body.rating, correction, comment, actor };
    match state.request(with_key(request, input)).await? {
        EngineResponse::Feedback { id } => {
            Ok((StatusCode::CREATED, Json(FeedbackResponse { id, plan })).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

/// Parses and validates a workflow.
fn workflow_of(value: &Value, state: &ServerState) -> Result<Workflow, Problem> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    let parsed = workflow::validate::validate(&text, &state.catalogue, &state.limits);
    parsed.value.ok_or_else(|| {
        let errors: Vec<_> =
            parsed.diagnostics.into_iter().filter(|d| d.severity == Severity::Error).collect();
        let detail = errors.first().map_or_else(String::new, |first| first.message.clone());
        let detail = format!("the correction is not a valid workflow: {detail}");
        Problem::invalid(ErrorCode::InvalidWorkflow, detail, "fix the findings in `errors`")
            .errors(errors)
    })
}
