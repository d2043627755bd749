//! Experiments: two variants side by side.

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
use workflow::{Answer, Input};

use crate::api::{Api, unexpected};
use crate::document;
use crate::item::{ExperimentItem, List};
use crate::once::{Once, named};
use crate::problem::Problem;
use crate::request::{Document, Id, ListParams, Optional, Params, Reasoned, short};

/// An experiment to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentBody {
    /// A short name.
    name: String,
    /// What is hoped for.
    #[serde(default)]
    hypothesis: String,
    /// Two variants, the first the baseline: `{name, share, treatment: {kind}}`. Shares sum to 1.
    #[schema(value_type = Vec<Object>)]
    variants: Vec<Variant>,
    /// Alert names that take part; all where empty.
    #[serde(default)]
    alerts: Vec<String>,
    /// Level of the confidence sequences, in (0, 0.5]; 0.05 where it is left out.
    #[serde(default = "ExperimentBody::default_alpha")]
    alpha: f64,
    /// Fewest outcomes of each variant before results are read; 20 where it is left out.
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

/// Lists experiments; by status `draft`, `running`, `stopped`.
#[utoipa::path(get, path = "/api/v1/experiments", tag = "experiments", params(ListParams),
    responses((status = 200, description = "A page of experiments.", body = List<ExperimentItem>), (status = 400, description = "A parameter is wrong.", body = Problem)))]
pub(crate) async fn experiments(
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
) -> Result<Json<List<ExperimentItem>>, Problem> {
    let page = params.page(&["draft", "running", "stopped"])?;
    Ok(Json(List::of(api.store.experiments(&page).await?, ExperimentItem::of)))
}

/// Makes an experiment; it is a draft until it is started.
#[utoipa::path(post, path = "/api/v1/experiments", tag = "experiments", request_body = ExperimentBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeated within 24 hours with the same body, the request is answered as it was and not done again.")),
    responses((status = 201, description = "The experiment.", body = Object), (status = 422, description = "It is not one.", body = Problem)))]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Once(Document(body), request): Once<Document<ExperimentBody>>,
) -> Result<Response, Problem> {
    let ExperimentBody { name, hypothesis, variants, alerts, alpha, minimum } = body;
    let (name, hypothesis) = (short(name, "name")?, short(hypothesis, "hypothesis")?);
    let input = Input::ExperimentCreate { name, hypothesis, variants, alerts, alpha, minimum };
    match api.ask(named(request, input)).await? {
        Answer::Experiment { experiment } => {
            tracing::info!(experiment = %experiment.id, "experiment made");
            let place = format!("/api/v1/experiments/{}", experiment.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(experiment)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

async fn find(api: &Api, id: &ExperimentId) -> Result<ExperimentRow, Problem> {
    api.store.experiment(id).await?.ok_or_else(|| Problem::not_found("experiment", id))
}

/// Shows one experiment, with how many incidents were exposed to each variant.
#[utoipa::path(get, path = "/api/v1/experiments/{id}", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    responses((status = 200, description = "The experiment.", body = Object), (status = 404, description = "There is none.", body = Problem)))]
pub(crate) async fn experiment(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(document::experiment(&find(&api, &id).await?)))
}

/// Starts an experiment: incidents are exposed from now on.
#[utoipa::path(post, path = "/api/v1/experiments/{id}/start", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    request_body = Reasoned,
    responses((status = 200, description = "The experiment as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem), (status = 409, description = "It is not a draft, or one that runs shares alerts with it.", body = Problem)))]
pub(crate) async fn start(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
    Optional(_): Optional<Reasoned>,
) -> Result<Json<Value>, Problem> {
    change(&api, id.clone(), Input::ExperimentStart { id }).await
}

/// Stops an experiment.
#[utoipa::path(post, path = "/api/v1/experiments/{id}/stop", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    request_body = Reasoned,
    responses((status = 200, description = "The experiment as it stands now.", body = Object), (status = 404, description = "There is none.", body = Problem), (status = 409, description = "It does not run.", body = Problem)))]
pub(crate) async fn stop(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
    Optional(body): Optional<Reasoned>,
) -> Result<Json<Value>, Problem> {
    let (_, reason) = body.check()?;
    change(&api, id.clone(), Input::ExperimentStop { id, reason }).await
}

async fn change(api: &Api, id: ExperimentId, input: Input) -> Result<Json<Value>, Problem> {
    find(api, &id).await?;
    match api.ask(input).await? {
        Answer::Done | Answer::Experiment { .. } => {
            Ok(Json(document::experiment(&find(api, &id).await?)))
        }
        other => Err(unexpected(&other)),
    }
}

/// Shows the results of an experiment: first whether there is enough data, then the intervals.
#[utoipa::path(get, path = "/api/v1/experiments/{id}/results", tag = "experiments", params(("id" = String, Path, description = "Id of the experiment.")),
    responses((status = 200, description = "The results.", body = Object), (status = 404, description = "There is no such experiment.", body = Problem)))]
pub(crate) async fn results(
    State(api): State<Arc<Api>>,
    Id(id): Id<ExperimentId>,
) -> Result<Json<Value>, Problem> {
    find(&api, &id).await?;
    Ok(Json(api.query(Query::ExperimentResults { id }).await?))
}
