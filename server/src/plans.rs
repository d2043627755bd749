//! Plans: list, get, explain, approve, reject, and feedback.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{PlanRow, Queries};
use utoipa::ToSchema;
use workflow::feedback::Rating;
use workflow::id::{IncidentId, PlanId};
use workflow::{Decision, EngineResponse, Input, RequestKey, Severity, Workflow};

use crate::api::{Api, unexpected};
use crate::document;
use crate::idempotency::{Idempotent, with_key};
use crate::list_item::{ListResponse, PlanItem};
use crate::problem::Problem;
use crate::request::{
    Id, ListParams, OptionalJson, QueryParams, ReasonBody, StrictJson, check_actor, check_length,
    if_match_digest,
};

/// Lists plans, optionally of one status, incident or run.
#[utoipa::path(get, path = "/api/v1/plans", tag = "plans", params(ListParams),
    responses((status = 200, description = "A page of plans.", body = ListResponse<PlanItem>), (status = 400, description = "A parameter is invalid.", body = Problem)))]
pub(crate) async fn plans(
    State(api): State<Arc<Api>>,
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
    Ok(Json(ListResponse::of(api.store.plans(&page).await?, PlanItem::of)))
}

/// A request for a new plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlanBody {
    /// Id of an open incident.
    incident: String,
    /// Who makes the request, at most 128 characters. Default: `api`.
    #[serde(default)]
    actor: Option<String>,
}

/// Creates a new plan for an incident from fresh evidence. A plan that waits for approval is withdrawn.
#[utoipa::path(post, path = "/api/v1/plans", tag = "plans", request_body = PlanBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    responses((status = 201, description = "The plan.", body = Object), (status = 404, description = "The incident does not exist.", body = Problem),
        (status = 409, description = "A plan of the incident is running, the incident is closed, or the guardrails allow no proposals.", body = Problem)))]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Idempotent(StrictJson(body), request): Idempotent<StrictJson<PlanBody>>,
) -> Result<Response, Problem> {
    let actor = check_actor(body.actor)?;
    let text: String = body.incident.chars().take(64).collect();
    let incident: IncidentId = text.parse().map_err(|_| Problem::not_found("incident", &text))?;
    let id = match api.request(with_key(request, Input::Replan { incident, actor })).await? {
        EngineResponse::Planned { plan } => plan,
        other => return Err(unexpected(&other)),
    };
    let row = find(&api, &id).await?;
    let location = format!("/api/v1/plans/{id}");
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, plan_response(&row)).into_response())
}

/// Returns one plan. Its ETag is its digest, which a review must send in `If-Match`.
#[utoipa::path(get, path = "/api/v1/plans/{id}", tag = "plans", params(("id" = String, Path, description = "Id of the plan.")),
    responses(
        (status = 200, description = "The plan.", body = Object, headers(("ETag" = String, description = "Digest of the plan."))),
        (status = 404, description = "The plan does not exist.", body = Problem)))]
pub(crate) async fn plan(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
) -> Result<Response, Problem> {
    Ok(plan_response(&find(&api, &id).await?))
}

async fn find(api: &Api, id: &PlanId) -> Result<PlanRow, Problem> {
    api.store.plan(id).await?.ok_or_else(|| Problem::not_found("plan", id))
}

fn plan_response(row: &PlanRow) -> Response {
    let tag = format!("\"{}\"", row.plan.digest);
    ([(header::ETAG, tag)], Json(document::plan(row))).into_response()
}

/// Explains one plan: its reasons, the evidence, the other candidates, and the decision.
#[utoipa::path(get, path = "/api/v1/plans/{id}/explain", tag = "plans", params(("id" = String, Path, description = "Id of the plan.")),
    responses((status = 200, description = "The explanation, the evidence, all candidates with estimate and propensity, and the decision.", body = Object),
        (status = 404, description = "The plan does not exist.", body = Problem)))]
pub(crate) async fn explain(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
) -> Result<Json<Value>, Problem> {
    let row = find(&api, &id).await?;
    let plan = &row.plan;
    let decision = api.store.decision(&plan.decision).await?;
    // The newest evidence gathered before the plan was frozen.
    let mut gathered = api.store.evidence_of(&plan.incident).await?;
    gathered.retain(|evidence| evidence.at <= plan.created_at);
    let evidence = gathered.iter().max_by_key(|evidence| evidence.at).map(|evidence| {
        json!({
            "id": evidence.id, "target": evidence.target, "summary": evidence.summary, "missing": evidence.missing,
            "differences": evidence.differences, "at": evidence.at,
        })
    });
    let candidates = match &decision {
        Some(decision) => candidates(&api, decision).await?,
        None => Vec::new(),
    };
    let decision = decision.map(|decision| {
        json!({
            "id": decision.id, "chosen": decision.chosen, "propensity": decision.propensity,
            "policy": decision.policy, "model": decision.model, "seed": decision.seed, "randomDraw": decision.random_draw,
            "mode": decision.mode, "exposure": decision.exposure, "retrieved": decision.retrieved,
            "attempt": decision.attempt, "at": decision.at,
        })
    });
    Ok(Json(json!({
        "plan": plan.id, "digest": plan.digest, "incident": plan.incident, "status": row.status,
        "confidence": plan.confidence, "steps": plan.steps, "explanation": plan.explanation,
        "optimization": plan.optimization, "needsApproval": plan.needs_approval,
        "evidence": evidence, "candidates": candidates, "decision": decision,
    })))
}

/// Returns all candidates of a decision, best estimate first. The order is for display; the policy chose by propensity.
async fn candidates(api: &Api, decision: &Decision) -> Result<Vec<Value>, Problem> {
    let mut scored: Vec<_> = decision.candidates.iter().collect();
    scored.sort_by(|a, b| b.estimates.plan.estimate.total_cmp(&a.estimates.plan.estimate));
    let mut items = Vec::with_capacity(scored.len());
    for option in scored {
        let reasons =
            api.store.candidate(&option.candidate).await?.map(|candidate| candidate.reasons);
        items.push(json!({
            "candidate": option.candidate, "isChosen": option.candidate == decision.chosen, "arm": option.arm,
            "source": option.source, "workflow": option.workflow, "reasons": reasons.unwrap_or_default(),
            "estimate": option.estimates.plan, "observations": option.estimates.observations,
            "steps": option.estimates.steps, "propensity": option.propensity, "rejection": option.rejection,
        }));
    }
    Ok(items)
}

/// Approves the plan with the digest in `If-Match`.
#[utoipa::path(post, path = "/api/v1/plans/{id}/approve", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("If-Match" = String, Header, description = "Digest of the plan: its ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated plan.", body = Object), (status = 404, description = "The plan does not exist.", body = Problem),
        (status = 409, description = "The plan does not wait for approval.", body = Problem), (status = 412, description = "The plan has another digest.", body = Problem),
        (status = 428, description = "If-Match is missing.", body = Problem)))]
pub(crate) async fn approve(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
    headers: HeaderMap,
    Idempotent(OptionalJson(body), request): Idempotent<OptionalJson<ReasonBody>>,
) -> Result<Response, Problem> {
    review(&api, id, &headers, true, body, request).await
}

/// Rejects the plan with the digest in `If-Match`.
#[utoipa::path(post, path = "/api/v1/plans/{id}/reject", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("If-Match" = String, Header, description = "Digest of the plan: its ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated plan.", body = Object), (status = 404, description = "The plan does not exist.", body = Problem),
        (status = 409, description = "The plan does not wait for approval.", body = Problem), (status = 412, description = "The plan has another digest.", body = Problem),
        (status = 428, description = "If-Match is missing.", body = Problem)))]
pub(crate) async fn reject(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
    headers: HeaderMap,
    Idempotent(OptionalJson(body), request): Idempotent<OptionalJson<ReasonBody>>,
) -> Result<Response, Problem> {
    review(&api, id, &headers, false, body, request).await
}

async fn review(
    api: &Api,
    plan: PlanId,
    headers: &HeaderMap,
    is_approved: bool,
    body: ReasonBody,
    request: Option<RequestKey>,
) -> Result<Response, Problem> {
    let (actor, reason) = body.check()?;
    let row = find(api, &plan).await?;
    let digest = if_match_digest(headers)?;
    if row.plan.digest != digest {
        return Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "plan_changed",
            format!("plan {plan} has the digest {}, not the one in If-Match", row.plan.digest),
            "read the plan again, then review it with its present digest",
        ));
    }
    tracing::info!(%plan, incident = %row.plan.incident, is_approved, actor, "plan reviewed");
    let input = Input::Review { plan: plan.clone(), digest, is_approved, actor, reason };
    api.command(with_key(request, input)).await?;
    Ok(plan_response(&find(api, &plan).await?))
}

/// Feedback on a plan. At least one of `rating`, `correction` and `comment` is required.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FeedbackBody {
    /// Whether the plan was `right` or `wrong`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    rating: Option<Rating>,
    /// The workflow that would have been right: an object, or a string in YAML.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    correction: Option<Value>,
    /// A comment, at most 4,096 characters.
    #[serde(default)]
    comment: String,
    /// Who makes the request, at most 128 characters. Default: `api`.
    #[serde(default)]
    actor: Option<String>,
}

/// Adds feedback on a plan. It is used as training data.
#[utoipa::path(post, path = "/api/v1/plans/{id}/feedback", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    request_body = FeedbackBody,
    responses((status = 201, description = "The id of the feedback: `{id, plan}`.", body = Object), (status = 404, description = "The plan does not exist.", body = Problem),
        (status = 422, description = "The feedback is empty, or the correction is not a valid workflow.", body = Problem)))]
pub(crate) async fn feedback(
    State(api): State<Arc<Api>>,
    Id(plan): Id<PlanId>,
    Idempotent(StrictJson(body), request): Idempotent<StrictJson<FeedbackBody>>,
) -> Result<Response, Problem> {
    find(&api, &plan).await?;
    let (actor, comment) = (check_actor(body.actor)?, check_length(body.comment, "comment")?);
    if body.rating.is_none() && body.correction.is_none() && comment.trim().is_empty() {
        return Err(Problem::invalid(
            "empty_feedback",
            "the feedback is empty",
            "set `rating`, `correction` or `comment`",
        ));
    }
    let correction = body.correction.map(|value| workflow_of(&value, &api)).transpose()?;
    tracing::info!(%plan, rating = ?body.rating, is_corrected = correction.is_some(), actor, "feedback added");
    let input =
        Input::Feedback { plan: plan.clone(), rating: body.rating, correction, comment, actor };
    match api.request(with_key(request, input)).await? {
        EngineResponse::Feedback { id } => {
            Ok((StatusCode::CREATED, Json(json!({"id": id, "plan": plan}))).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

/// Parses and validates a workflow.
fn workflow_of(value: &Value, api: &Api) -> Result<Workflow, Problem> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    let parsed = workflow::validate::validate(&text, &api.catalogue, &api.limits);
    parsed.value.ok_or_else(|| {
        let errors: Vec<_> =
            parsed.diagnostics.into_iter().filter(|d| d.severity == Severity::Error).collect();
        let detail = errors.first().map_or_else(String::new, |first| first.message.clone());
        let detail = format!("the correction is not a valid workflow: {detail}");
        Problem::invalid("invalid_workflow", detail, "fix the findings in `errors`").errors(errors)
    })
}
