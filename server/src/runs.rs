//! Runs: list, get, and control.

use std::sync::Arc;

use api::{ListResponse, ProblemResponse, ReasonRequest, RunItem, RunResponse};
use axum::Json;
use axum::extract::State;
use store::Queries;
use workflow::id::RunId;
use workflow::run::Control;
use workflow::{Input, RunView};

use crate::problem::Problem;
use crate::request::{Id, ListParams, OptionalJson, QueryParams, StepPath, check_reason};
use crate::resource;
use crate::server_state::ServerState;

/// Lists runs, optionally of one status, incident or plan.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(ListParams),
    responses((status = 200, description = "A page of runs.", body = ListResponse<RunItem>), (status = 400, description = "A parameter is invalid.", body = ProblemResponse)))]
pub(crate) async fn runs(
    State(state): State<Arc<ServerState>>,
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
    Ok(Json(resource::list(state.store.runs(&page).await?, resource::run_item)))
}

/// Returns one run, with its steps and the changes that it made.
#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    responses((status = 200, description = "The run.", body = RunResponse), (status = 404, description = "The run does not exist.", body = ProblemResponse)))]
pub(crate) async fn run(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<RunId>,
) -> Result<Json<RunResponse>, Problem> {
    Ok(Json(resource::run(find(&state, &id).await?)))
}

pub(crate) async fn find(state: &ServerState, id: &RunId) -> Result<RunView, Problem> {
    state.store.run(id).await?.ok_or_else(|| Problem::not_found("run", id))
}

async fn control(
    state: &ServerState,
    run: RunId,
    control: Control,
    body: ReasonRequest,
) -> Result<Json<RunResponse>, Problem> {
    let (actor, reason) = check_reason(body)?;
    let view = find(state, &run).await?;
    tracing::info!(%run, plan = %view.plan, incident = %view.incident, ?control, actor, "run controlled");
    state.command(Input::Control { run: run.clone(), control, actor, reason }).await?;
    Ok(Json(resource::run(find(state, &run).await?)))
}

/// Pauses a run: no new step starts.
#[utoipa::path(post, path = "/api/v1/runs/{id}/pause", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated run.", body = RunResponse), (status = 404, description = "The run does not exist.", body = ProblemResponse), (status = 409, description = "The run cannot be paused.", body = ProblemResponse)))]
pub(crate) async fn pause(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<RunId>,
    OptionalJson(body): OptionalJson<ReasonRequest>,
) -> Result<Json<RunResponse>, Problem> {
    control(&state, id, Control::Pause, body).await
}

/// Resumes a paused run.
#[utoipa::path(post, path = "/api/v1/runs/{id}/resume", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated run.", body = RunResponse), (status = 404, description = "The run does not exist.", body = ProblemResponse), (status = 409, description = "The run is not paused.", body = ProblemResponse)))]
pub(crate) async fn resume(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<RunId>,
    OptionalJson(body): OptionalJson<ReasonRequest>,
) -> Result<Json<RunResponse>, Problem> {
    control(&state, id, Control::Resume, body).await
}

/// Cancels a run: applied changes are rolled back.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated run.", body = RunResponse), (status = 404, description = "The run does not exist.", body = ProblemResponse), (status = 409, description = "The run has ended.", body = ProblemResponse)))]
pub(crate) async fn cancel(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<RunId>,
    OptionalJson(body): OptionalJson<ReasonRequest>,
) -> Result<Json<RunResponse>, Problem> {
    control(&state, id, Control::Cancel, body).await
}

/// Approves a step that waits for approval.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/approve", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), ("step" = String, Path, description = "Id of the step.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated run.", body = RunResponse), (status = 404, description = "The run does not exist.", body = ProblemResponse), (status = 409, description = "The step does not wait for approval.", body = ProblemResponse)))]
pub(crate) async fn approve_step(
    State(state): State<Arc<ServerState>>,
    StepPath(run, step): StepPath,
    OptionalJson(body): OptionalJson<ReasonRequest>,
) -> Result<Json<RunResponse>, Problem> {
    control(&state, run, Control::ApproveStep { step }, body).await
}

/// Rejects a step that waits for approval.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/reject", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), ("step" = String, Path, description = "Id of the step.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated run.", body = RunResponse), (status = 404, description = "The run does not exist.", body = ProblemResponse), (status = 409, description = "The step does not wait for approval.", body = ProblemResponse)))]
pub(crate) async fn reject_step(
    State(state): State<Arc<ServerState>>,
    StepPath(run, step): StepPath,
    OptionalJson(body): OptionalJson<ReasonRequest>,
) -> Result<Json<RunResponse>, Problem> {
    control(&state, run, Control::RejectStep { step }, body).await
}
