//! Experiments: comparisons of two variants.

use std::sync::Arc;

use api::{
    CreateExperimentRequest, CreateExperimentResponse, ExperimentItem, ExperimentResponse,
    ExperimentResultsResponse, ListResponse, ProblemResponse, ReasonRequest,
};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use store::{ExperimentRow, Queries};
use workflow::id::ExperimentId;
use workflow::input::Query;
use workflow::{EngineResponse, Input};

use crate::idempotency::{Idempotent, with_key};
use crate::problem::Problem;
use crate::request::{
    Id, ListParams, OptionalJson, QueryParams, StrictJson, check_length, check_reason,
};
use crate::resource;
use crate::server_state::{ServerState, unexpected};

/// Lists experiments. Statuses: `draft`, `running`, `stopped`.
#[utoipa::path(get, path = "/api/v1/experiments", tag = "experiments", params(ListParams),
    responses((status = 200, description = "A page of experiments.", body = ListResponse<ExperimentItem>), (status = 400, description = "A parameter is invalid.", body = ProblemResponse)))]
pub(crate) async fn experiments(
    State(state): State<Arc<ServerState>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<ExperimentItem>>, Problem> {
    let page = params.page(&["draft", "running", "stopped"])?;
    Ok(Json(resource::list(state.store.experiments(&page).await?, resource::experiment_item)))
}

/// Creates an experiment. It is a draft until it is started.
#[utoipa::path(post, path = "/api/v1/experiments", tag = "experiments", request_body = CreateExperimentRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    responses((status = 201, description = "The experiment.", body = CreateExperimentResponse), (status = 422, description = "The experiment is invalid.", body = ProblemResponse)))]
pub(crate) async fn create(
    State(state): State<Arc<ServerState>>,
    Idempotent(StrictJson(body), request): Idempotent<StrictJson<CreateExperimentRequest>>,
) -> Result<Response, Problem> {
    let CreateExperimentRequest { name, hypothesis, variants, alerts, alpha, minimum } = body;
    let (name, hypothesis) = (check_length(name, "name")?, check_length(hypothesis, "hypothesis")?);
    let input = Input::ExperimentCreate { name, hypothesis, variants, alerts, alpha, minimum };
    match state.request(with_key(request, input)).await? {
        EngineResponse::Experiment { experiment } => {
            tracing::info!(experiment = %experiment.id, "experiment created");
            let location = format!("/api/v1/experiments/{}", experiment.id);
            let headers = [(header::LOCATION, location)];
            Ok((StatusCode::CREATED, headers, Json(CreateExperimentResponse(experiment)))
                .into_response())
        }
        other => Err(unexpected(&other)),
    }
}

async fn find(state: &ServerState, id: &ExperimentId) -> Result<ExperimentRow, Problem> {
    state.store.experiment(id).await?.ok_or_else(|| Problem::not_found("experiment", id))
}

/// Returns one experiment, with the number of incidents exposed to each variant.
#[utoipa::path(get, path = "/api/v1/experiments/{id}", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    responses((status = 200, description = "The experiment.", body = ExperimentResponse), (status = 404, description = "The experiment does not exist.", body = ProblemResponse)))]
pub(crate) async fn experiment(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<ExperimentId>,
) -> Result<Json<ExperimentResponse>, Problem> {
    Ok(Json(resource::experiment(find(&state, &id).await?)))
}

/// Starts an experiment: new incidents are assigned a variant.
#[utoipa::path(post, path = "/api/v1/experiments/{id}/start", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated experiment.", body = ExperimentResponse), (status = 404, description = "The experiment does not exist.", body = ProblemResponse), (status = 409, description = "The experiment is not a draft, or a running experiment includes the same alerts.", body = ProblemResponse)))]
pub(crate) async fn start(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<ExperimentId>,
    OptionalJson(_): OptionalJson<ReasonRequest>,
) -> Result<Json<ExperimentResponse>, Problem> {
    change(&state, id.clone(), Input::ExperimentStart { id }).await
}

/// Stops a running experiment.
#[utoipa::path(post, path = "/api/v1/experiments/{id}/stop", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    request_body = ReasonRequest,
    responses((status = 200, description = "The updated experiment.", body = ExperimentResponse), (status = 404, description = "The experiment does not exist.", body = ProblemResponse), (status = 409, description = "The experiment is not running.", body = ProblemResponse)))]
pub(crate) async fn stop(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<ExperimentId>,
    OptionalJson(body): OptionalJson<ReasonRequest>,
) -> Result<Json<ExperimentResponse>, Problem> {
    let (_, reason) = check_reason(body)?;
    change(&state, id.clone(), Input::ExperimentStop { id, reason }).await
}

async fn change(
    state: &ServerState,
    id: ExperimentId,
    input: Input,
) -> Result<Json<ExperimentResponse>, Problem> {
    find(state, &id).await?;
    match state.request(input).await? {
        EngineResponse::Done | EngineResponse::Experiment { .. } => {
            Ok(Json(resource::experiment(find(state, &id).await?)))
        }
        other => Err(unexpected(&other)),
    }
}

/// Returns the results of an experiment: whether there is enough data, and the confidence intervals.
#[utoipa::path(get, path = "/api/v1/experiments/{id}/results", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    responses((status = 200, description = "The results.", body = ExperimentResultsResponse), (status = 404, description = "The experiment does not exist.", body = ProblemResponse)))]
pub(crate) async fn results(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<ExperimentId>,
) -> Result<Json<ExperimentResultsResponse>, Problem> {
    find(&state, &id).await?;
    Ok(Json(state.query(Query::ExperimentResults { id }).await?))
}
