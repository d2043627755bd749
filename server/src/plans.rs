//! Plans: read, explained, approved or rejected under their digest, and judged by people.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{PlanRow, Queries};
use utoipa::ToSchema;
use workflow::feedback::Opinion;
use workflow::id::{IncidentId, PlanId};
use workflow::{Answer, Decision, Input, RequestKey, Severity, Workflow};

use crate::api::{Api, unexpected};
use crate::document;
use crate::item::{List, PlanItem};
use crate::once::{Once, named};
use crate::problem::Problem;
use crate::request::{
    Document, Id, ListParams, Optional, Params, Reasoned, seen_digest, short, who,
};

/// Lists plans; by status, by incident, by run.
#[utoipa::path(get, path = "/api/v1/plans", tag = "plans", params(ListParams),
    responses((status = 200, description = "A page of plans.", body = List<PlanItem>), (status = 400, description = "A parameter is wrong.", body = Problem)))]
pub(crate) async fn plans(
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
) -> Result<Json<List<PlanItem>>, Problem> {
    let page = params.page(&[
        "proposed",
        "needs-approval",
        "approved",
        "rejected",
        "running",
        "done",
        "withdrawn",
    ])?;
    Ok(Json(List::of(api.store.plans(&page).await?, PlanItem::of)))
}

/// For what a plan is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlanBody {
    /// Id of an open incident.
    incident: String,
    /// Who, at most 128 characters; `api` where it is left out.
    #[serde(default)]
    by: Option<String>,
}

/// Makes another plan for an incident, from what is seen now. One that waited for approval is withdrawn.
#[utoipa::path(post, path = "/api/v1/plans", tag = "plans", request_body = PlanBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeated within 24 hours with the same body, the request is answered as it was and not done again.")),
    responses((status = 201, description = "The plan.", body = Object), (status = 404, description = "There is no such incident.", body = Problem),
        (status = 409, description = "A plan of it runs, it is over, or the guardrails let nothing be proposed.", body = Problem)))]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Once(Document(body), request): Once<Document<PlanBody>>,
) -> Result<Response, Problem> {
    let by = who(body.by)?;
    let text: String = body.incident.chars().take(64).collect();
    let none = || Problem::not_found("incident", &text);
    let incident: IncidentId = text.parse().map_err(|_| none())?;
    let id = match api.ask(named(request, Input::Replan { incident, by })).await? {
        Answer::Planned { plan } => plan,
        other => return Err(unexpected(&other)),
    };
    let row = find(&api, &id).await?;
    let place = format!("/api/v1/plans/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], shown(&row)).into_response())
}

/// Shows one plan. Its ETag is its digest, which approval and rejection name.
#[utoipa::path(get, path = "/api/v1/plans/{id}", tag = "plans", params(("id" = String, Path, description = "Id of the plan.")),
    responses(
        (status = 200, description = "The plan.", body = Object, headers(("ETag" = String, description = "Its digest."))),
        (status = 404, description = "There is none.", body = Problem)))]
pub(crate) async fn plan(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
) -> Result<Response, Problem> {
    Ok(shown(&find(&api, &id).await?))
}

async fn find(api: &Api, id: &PlanId) -> Result<PlanRow, Problem> {
    api.store.plan(id).await?.ok_or_else(|| Problem::not_found("plan", id))
}

fn shown(row: &PlanRow) -> Response {
    let tag = format!("\"{}\"", row.plan.digest);
    ([(header::ETAG, tag)], Json(document::plan(row))).into_response()
}

/// Explains one plan: why it, what was seen, what else there was, and how it was chosen.
#[utoipa::path(get, path = "/api/v1/plans/{id}/explain", tag = "plans", params(("id" = String, Path, description = "Id of the plan.")),
    responses((status = 200, description = "The explanation, the evidence, every candidate with estimate and propensity, and the decision.", body = Object),
        (status = 404, description = "There is no such plan.", body = Problem)))]
pub(crate) async fn explain(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
) -> Result<Json<Value>, Problem> {
    let row = find(&api, &id).await?;
    let plan = &row.plan;
    let decision = api.store.decision(&plan.decision).await?;
    // The newest of what had been seen when the plan was frozen.
    let mut seen = api.store.evidence_of(&plan.incident).await?;
    seen.retain(|evidence| evidence.at <= plan.created_at);
    let evidence = seen.iter().max_by_key(|evidence| evidence.at).map(|evidence| {
        json!({
            "id": evidence.id, "target": evidence.target, "lines": evidence.lines, "gaps": evidence.gaps,
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
            "policy": decision.policy, "model": decision.model, "seed": decision.seed, "draw": decision.draw,
            "mode": decision.mode, "exposure": decision.exposure, "retrieved": decision.retrieved,
            "attempt": decision.attempt, "at": decision.at,
        })
    });
    Ok(Json(json!({
        "plan": plan.id, "digest": plan.digest, "incident": plan.incident, "status": row.status,
        "confidence": plan.confidence, "steps": plan.steps, "explanation": plan.explanation,
        "account": plan.account, "needsApproval": plan.needs_approval,
        "evidence": evidence, "candidates": candidates, "decision": decision,
    })))
}

/// Every candidate of a decision, best estimate first: an order for the eye, the policy chose by propensity.
async fn candidates(api: &Api, decision: &Decision) -> Result<Vec<Value>, Problem> {
    let mut options: Vec<_> = decision.options.iter().collect();
    options.sort_by(|a, b| b.estimates.plan.estimate.total_cmp(&a.estimates.plan.estimate));
    let mut shown = Vec::with_capacity(options.len());
    for option in options {
        let because =
            api.store.candidate(&option.candidate).await?.map(|candidate| candidate.because);
        shown.push(json!({
            "candidate": option.candidate, "isChosen": option.candidate == decision.chosen, "arm": option.arm,
            "source": option.source, "workflow": option.workflow, "because": because.unwrap_or_default(),
            "estimate": option.estimates.plan, "observations": option.estimates.observations,
            "steps": option.estimates.steps, "propensity": option.propensity, "refused": option.refused,
        }));
    }
    Ok(shown)
}

/// Approves a plan as it was seen.
#[utoipa::path(post, path = "/api/v1/plans/{id}/approve", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("If-Match" = String, Header, description = "The plan's digest, as its ETag gave it."),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeated within 24 hours with the same body, the request is answered as it was and not done again.")),
    request_body = Reasoned,
    responses((status = 200, description = "The plan as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It cannot be approved any more.", body = Problem), (status = 412, description = "It is not the plan that was seen.", body = Problem),
        (status = 428, description = "If-Match is missing.", body = Problem)))]
pub(crate) async fn approve(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
    headers: HeaderMap,
    Once(Optional(body), request): Once<Optional<Reasoned>>,
) -> Result<Response, Problem> {
    review(&api, id, &headers, true, body, request).await
}

/// Rejects a plan as it was seen.
#[utoipa::path(post, path = "/api/v1/plans/{id}/reject", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("If-Match" = String, Header, description = "The plan's digest, as its ETag gave it."),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeated within 24 hours with the same body, the request is answered as it was and not done again.")),
    request_body = Reasoned,
    responses((status = 200, description = "The plan as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It cannot be rejected any more.", body = Problem), (status = 412, description = "It is not the plan that was seen.", body = Problem),
        (status = 428, description = "If-Match is missing.", body = Problem)))]
pub(crate) async fn reject(
    State(api): State<Arc<Api>>,
    Id(id): Id<PlanId>,
    headers: HeaderMap,
    Once(Optional(body), request): Once<Optional<Reasoned>>,
) -> Result<Response, Problem> {
    review(&api, id, &headers, false, body, request).await
}

async fn review(
    api: &Api,
    plan: PlanId,
    headers: &HeaderMap,
    is_approved: bool,
    body: Reasoned,
    request: Option<RequestKey>,
) -> Result<Response, Problem> {
    let (by, reason) = body.check()?;
    let row = find(api, &plan).await?;
    let digest = seen_digest(headers)?;
    if row.plan.digest != digest {
        return Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "plan_changed",
            format!("plan {plan} has the digest {}, not the one in If-Match", row.plan.digest),
            "read the plan again and decide anew",
        ));
    }
    tracing::info!(%plan, incident = %row.plan.incident, is_approved, by, "plan reviewed");
    let input = Input::Review { plan: plan.clone(), digest, is_approved, by, reason };
    api.order(named(request, input)).await?;
    Ok(shown(&find(api, &plan).await?))
}

/// What a person says of a plan. One of opinion, correction and comment must be there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FeedbackBody {
    /// `right` or `wrong`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    opinion: Option<Opinion>,
    /// What should have been done: a workflow as an object, or as text in YAML.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    correction: Option<Value>,
    /// Words, at most 4,096 characters.
    #[serde(default)]
    comment: String,
    /// Who, at most 128 characters; `api` where it is left out.
    #[serde(default)]
    by: Option<String>,
}

/// Takes feedback on a plan; it moves the learner.
#[utoipa::path(post, path = "/api/v1/plans/{id}/feedback", tag = "plans",
    params(("id" = String, Path, description = "Id of the plan."), ("Idempotency-Key" = Option<String>, Header, description = "Repeated within 24 hours with the same body, the request is answered as it was and not done again.")),
    request_body = FeedbackBody,
    responses((status = 201, description = "It is in the record: `{id}`.", body = Object), (status = 404, description = "There is no such plan.", body = Problem),
        (status = 422, description = "It says nothing, or the correction is not a valid workflow.", body = Problem)))]
pub(crate) async fn feedback(
    State(api): State<Arc<Api>>,
    Id(plan): Id<PlanId>,
    Once(Document(body), request): Once<Document<FeedbackBody>>,
) -> Result<Response, Problem> {
    find(&api, &plan).await?;
    let (by, comment) = (who(body.by)?, short(body.comment, "comment")?);
    if body.opinion.is_none() && body.correction.is_none() && comment.trim().is_empty() {
        return Err(Problem::invalid(
            "empty_feedback",
            "the feedback says nothing",
            "give an `opinion`, a `correction` or a `comment`",
        ));
    }
    let correction = body.correction.map(|value| workflow_of(&value, &api)).transpose()?;
    tracing::info!(%plan, opinion = ?body.opinion, is_corrected = correction.is_some(), by, "feedback given");
    let input =
        Input::Feedback { plan: plan.clone(), opinion: body.opinion, correction, comment, by };
    match api.ask(named(request, input)).await? {
        Answer::Feedback { id } => {
            Ok((StatusCode::CREATED, Json(json!({"id": id, "plan": plan}))).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

/// Reads a workflow through the one validator.
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
        Problem::invalid("invalid_workflow", detail, "mend what `errors` names").errors(errors)
    })
}
