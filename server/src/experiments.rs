//! Experiments: comparisons of two variants.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use store::{ExperimentRow, Queries};
use utoipa::ToSchema;
use workflow::experiment::Variant;
use workflow::id::ExperimentId;
use workflow::input::Query;
use workflow::{EngineResponse, Input};

use crate::api::{Api, unexpected};
use crate::document;
use crate::idempotency::{Idempotent, with_key};
use crate::list_item::{ExperimentItem, ListResponse};
use crate::problem::Problem;
use crate::request::{
    Id, ListParams, OptionalJson, QueryParams, ReasonBody, StrictJson, check_length,
};

/// A new experiment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentBody {
    /// A short name.
    name: String,
    /// The expected result.
    #[serde(default)]
    hypothesis: String,
    /// Two variants, the first the baseline: `{name, share, treatment: {kind}}`. Shares sum to 1.
    #[schema(value_type = Vec<Object>)]
    variants: Vec<Variant>,
    /// Alert names that the experiment includes. Default: all.
    #[serde(default)]
    alerts: Vec<String>,
    /// Error level of the confidence sequences, in (0, 0.5]. Default: 0.05.
    #[serde(default = "ExperimentBody::default_alpha")]
    alpha: f64,
    /// Minimum number of outcomes per variant before results are computed. Default: 20.
    #[serde(default = "ExperimentBody::default_minimum")]
    minimum: u32,
}

impl ExperimentBody {
    fn default_alpha() -> f64 {
        0.05
    }

    fn default_minimum() -> u32 {
        20
    }
}

/// Lists experiments. Statuses: `draft`, `running`, `stopped`.
#[utoipa::path(get, path = "/api/v1/experiments", tag = "experiments", params(ListParams),
    responses((status = 200, description = "A page of experiments.", body = ListResponse<ExperimentItem>), (status = 400, description = "A parameter is invalid.", body = Problem)))]
pub(crate) async fn experiments(
    State(api): State<Arc<Api>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<ExperimentItem>>, Problem> {
    let page = params.page(&["draft", "running", "stopped"])?;
    Ok(Json(ListResponse::of(api.store.experiments(&page).await?, ExperimentItem::of)))
}

/// Creates an experiment. It is a draft until it is started.
#[utoipa::path(post, path = "/api/v1/experiments", tag = "experiments", request_body = ExperimentBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request repeated within 24 hours with the same key and body returns the first response and has no further effect.")),
    responses((status = 201, description = "The experiment.", body = Object), (status = 422, description = "The experiment is invalid.", body = Problem)))]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Idempotent(StrictJson(body), request): Idempotent<StrictJson<ExperimentBody>>,
) -> Result<Response, Problem> {
    let ExperimentBody { name, hypothesis, variants, alerts, alpha, minimum } = body;
    let (name, hypothesis) = (check_length(name, "name")?, check_length(hypothesis, "hypothesis")?);
    let input = Input::ExperimentCreate { name, hypothesis, variants, alerts, alpha, minimum };
    match api.request(with_key(request, input)).await? {
        EngineResponse::Experiment { experiment } => {
            tracing::info!(experiment = %experiment.id, "experiment created");
            let location = format!("/api/v1/experiments/{}", experiment.id);
            let headers = [(header::LOCATION, location)];
            Ok((StatusCode::CREATED, headers, Json(experiment)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

async fn find(api: &Api, id: &ExperimentId) -> Result<ExperimentRow, Problem> {
    api.store.experiment(id).await?.ok_or_else(|| Problem::not_found("experiment", id))
}

/// Returns one experiment, with the number of incidents exposed to each variant.
#[utoipa::path(get, path = "/api/v1/experiments/{id}", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    responses((status = 200, description = "The experiment.", body = Object), (status = 404, description = "The experiment does not exist.", body = Problem)))]
pub(crate) async fn experiment(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(document::experiment(&find(&api, &id).await?)))
}

/// Starts an experiment: new incidents are assigned a variant.
#[utoipa::path(post, path = "/api/v1/experiments/{id}/start", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated experiment.", body = Object), (status = 404, description = "The experiment does not exist.", body = Problem), (status = 409, description = "The experiment is not a draft, or a running experiment includes the same alerts.", body = Problem)))]
pub(crate) async fn start(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
    OptionalJson(_): OptionalJson<ReasonBody>,
) -> Result<Json<Value>, Problem> {
    change(&api, id.clone(), Input::ExperimentStart { id }).await
}

/// Stops a running experiment.
#[utoipa::path(post, path = "/api/v1/experiments/{id}/stop", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    request_body = ReasonBody,
    responses((status = 200, description = "The updated experiment.", body = Object), (status = 404, description = "The experiment does not exist.", body = Problem), (status = 409, description = "The experiment is not running.", body = Problem)))]
pub(crate) async fn stop(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
    OptionalJson(body): OptionalJson<ReasonBody>,
) -> Result<Json<Value>, Problem> {
    let (_, reason) = body.check()?;
    change(&api, id.clone(), Input::ExperimentStop { id, reason }).await
}

async fn change(api: &Api, id: ExperimentId, input: Input) -> Result<Json<Value>, Problem> {
    find(api, &id).await?;
    match api.request(input).await? {
        EngineResponse::Done | EngineResponse::Experiment { .. } => {
            Ok(Json(document::experiment(&find(api, &id).await?)))
        }
        other => Err(unexpected(&other)),
    }
}

/// Returns the results of an experiment: whether there is enough data, and the confidence intervals.
#[utoipa::path(get, path = "/api/v1/experiments/{id}/results", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    responses((status = 200, description = "The results.", body = Object), (status = 404, description = "The experiment does not exist.", body = Problem)))]
pub(crate) async fn results(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
) -> Result<Json<Value>, Problem> {
    find(&api, &id).await?;
    Ok(Json(api.query(Query::ExperimentResults { id }).await?))
}
