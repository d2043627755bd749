//! Runs: read, and controlled by people.

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
use crate::item::{List, RunItem};
use crate::problem::Problem;
use crate::request::{Id, ListParams, Optional, Params, Reasoned, StepOf};

/// Lists runs; by status, by incident, by plan.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(ListParams),
    responses((status = 200, description = "A page of runs.", body = List<RunItem>), (status = 400, description = "A parameter is wrong.", body = Problem)))]
pub(crate) async fn runs(
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
) -> Result<Json<List<RunItem>>, Problem> {
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
    Ok(Json(List::of(api.store.runs(&page).await?, RunItem::of)))
}

/// Shows one run, with its steps and the changes that it made.
#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    responses((status = 200, description = "The run.", body = Object), (status = 404, description = "There is none.", body = Problem)))]
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
    body: Reasoned,
) -> Result<Json<Value>, Problem> {
    let (by, reason) = body.check()?;
    let view = find(api, &run).await?;
    tracing::info!(%run, plan = %view.plan, incident = %view.incident, ?control, by, "run controlled");
    api.order(Input::Control { run: run.clone(), control, by, reason }).await?;
    Ok(Json(document::run(&find(api, &run).await?)))
}

/// Pauses a run: nothing new is started.
#[utoipa::path(post, path = "/api/v1/runs/{id}/pause", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = Reasoned,
    responses((status = 200, description = "The run as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem), (status = 409, description = "It cannot be paused.", body = Problem)))]
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    Id(id): Id<RunId>,
    Optional(body): Optional<Reasoned>,
) -> Result<Json<Value>, Problem> {
    control(&api, id, Control::Pause, body).await
}

/// Lets a paused run go on.
#[utoipa::path(post, path = "/api/v1/runs/{id}/resume", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = Reasoned,
    responses((status = 200, description = "The run as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem), (status = 409, description = "It is not paused.", body = Problem)))]
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    Id(id): Id<RunId>,
    Optional(body): Optional<Reasoned>,
) -> Result<Json<Value>, Problem> {
    control(&api, id, Control::Resume, body).await
}

/// Cancels a run: what was applied is undone.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path, description = "Id of the run.")),
    request_body = Reasoned,
    responses((status = 200, description = "The run as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem), (status = 409, description = "It has ended.", body = Problem)))]
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    Id(id): Id<RunId>,
    Optional(body): Optional<Reasoned>,
) -> Result<Json<Value>, Problem> {
    control(&api, id, Control::Cancel, body).await
}

/// Approves a step that waits for a person.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/approve", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), ("step" = String, Path, description = "Id of the step.")),
    request_body = Reasoned,
    responses((status = 200, description = "The run as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem), (status = 409, description = "The step does not wait.", body = Problem)))]
pub(crate) async fn approve_step(
    State(api): State<Arc<Api>>,
    StepOf(run, step): StepOf,
    Optional(body): Optional<Reasoned>,
) -> Result<Json<Value>, Problem> {
    control(&api, run, Control::ApproveStep { step }, body).await
}

/// Rejects a step that waits for a person.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/reject", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), ("step" = String, Path, description = "Id of the step.")),
    request_body = Reasoned,
    responses((status = 200, description = "The run as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem), (status = 409, description = "The step does not wait.", body = Problem)))]
pub(crate) async fn reject_step(
    State(api): State<Arc<Api>>,
    StepOf(run, step): StepOf,
    Optional(body): Optional<Reasoned>,
) -> Result<Json<Value>, Problem> {
    control(&api, run, Control::RejectStep { step }, body).await
}
