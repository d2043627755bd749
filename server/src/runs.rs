//! Runs: list, get, and control.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use store::Queries;
use workflow::id::RunId;
use workflow::run::Control;
use workflow::{Input, RunView};

use crate::api::Api;
use crate::document;
use crate::list_item::{ListResponse, RunItem};
use crate::problem::Problem;
use crate::request::{Id, ListParams, OptionalJson, QueryParams, ReasonBody, StepPath};

/// Lists runs, optionally of one status, incident or plan.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(ListParams),
    responses((status = 200, description = "A page of runs.", body = ListResponse<RunItem>), (status = 400, description = "A parameter is invalid.", body = Problem)))]
pub(crate) async fn runs(
    State(api): State<Arc<Api>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<RunItem>>, Problem> {
    let page = params.page(&[
        "running",
        "paused",
        "awaiting-approval",
        "compensating",
        "needs-human",
        "succeeded",
        "failed",
        "rolled-back",
        "cancelled",
    ])?;
    Ok(Json(ListResponse::of(api.store.runs(&page).await?, RunItem::of)))
}

/// Returns one run, with its steps and the changes that it made.
#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    responses((status = 200, description = "The run.", body = Object), (status = 404, description = "The run does not exist.", body = Problem)))]
pub(crate) async fn run(
    State(api): State<Arc<Api>>,
    Id(id): Id<RunId>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(document::run(&find(&api, &id).await?)))
}

pub(crate) async fn find(api: &Api, id: &RunId) -> Result<RunView, Problem> {
    api.store.run(id).await?.ok_or_else(|| Problem::not_found("run", id))
}

async fn control(
    api: &Api,
    run: RunId,
    control: Control,
    body: ReasonBody,
) -> Result<Json<Value>, Problem> {
    let (actor, reason) = body.check()?;
    let view = find(api, &run).await?;
    tracing::info!(%run, plan = %view.plan, incident = %view.incident, ?control, actor, "run controlled");
    api.command(Input::Control { run: run.clone(), control, actor, reason }).await?;
    Ok(Json(document::run(&find(api, &run).await?)))
}

/// Pauses a run: no new step starts.
#[utoipa::path(post, path = "/api/v1/runs/{id}/pause", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated run.", body = Object), (status = 404, description = "The run does not exist.", body = Problem), (status = 409, description = "The run cannot be paused.", body = Problem)))]
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    Id(id): Id<RunId>,
    OptionalJson(body): OptionalJson<ReasonBody>,
) -> Result<Json<Value>, Problem> {
    control(&api, id, Control::Pause, body).await
}

/// Resumes a paused run.
#[utoipa::path(post, path = "/api/v1/runs/{id}/resume", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated run.", body = Object), (status = 404, description = "The run does not exist.", body = Problem), (status = 409, description = "The run is not paused.", body = Problem)))]
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    Id(id): Id<RunId>,
    OptionalJson(body): OptionalJson<ReasonBody>,
) -> Result<Json<Value>, Problem> {
    control(&api, id, Control::Resume, body).await
}

/// Cancels a run: applied changes are rolled back.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated run.", body = Object), (status = 404, description = "The run does not exist.", body = Problem), (status = 409, description = "The run has ended.", body = Problem)))]
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    Id(id): Id<RunId>,
    OptionalJson(body): OptionalJson<ReasonBody>,
) -> Result<Json<Value>, Problem> {
    control(&api, id, Control::Cancel, body).await
}

/// Approves a step that waits for approval.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/approve", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), ("step" = String, Path, description = "Id of the step.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated run.", body = Object), (status = 404, description = "The run does not exist.", body = Problem), (status = 409, description = "The step does not wait for approval.", body = Problem)))]
pub(crate) async fn approve_step(
    State(api): State<Arc<Api>>,
    StepPath(run, step): StepPath,
    OptionalJson(body): OptionalJson<ReasonBody>,
) -> Result<Json<Value>, Problem> {
    control(&api, run, Control::ApproveStep { step }, body).await
}

/// Rejects a step that waits for approval.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/reject", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), ("step" = String, Path, description = "Id of the step.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated run.", body = Object), (status = 404, description = "The run does not exist.", body = Problem), (status = 409, description = "The step does not wait for approval.", body = Problem)))]
pub(crate) async fn reject_step(
    State(api): State<Arc<Api>>,
    StepPath(run, step): StepPath,
    OptionalJson(body): OptionalJson<ReasonBody>,
) -> Result<Json<Value>, Problem> {
    control(&api, run, Control::RejectStep { step }, body).await
}
