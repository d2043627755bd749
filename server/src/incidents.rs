//! Alerts and incidents.

use std::sync::Arc;

use api::{
    AlertItem, AlertResponse, IncidentItem, IncidentResponse, ListResponse, ProblemResponse,
    SimilarExecutionsResponse,
};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use store::Queries;
use utoipa::IntoParams;
use workflow::id::{AlertId, IncidentId};
use workflow::input::Query;

use crate::problem::Problem;
use crate::request::{Id, ListParams, QueryParams};
use crate::resource;
use crate::server_state::ServerState;

/// Lists alert episodes, optionally of one incident. Statuses: `firing`, `resolved`, `never-fired`.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(ListParams),
    responses((status = 200, description = "A page of alerts.", body = ListResponse<AlertItem>), (status = 400, description = "A parameter is invalid.", body = ProblemResponse)))]
pub(crate) async fn alerts(
    State(state): State<Arc<ServerState>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<AlertItem>>, Problem> {
    let page = params.page(&["firing", "resolved", "never-fired"])?;
    Ok(Json(resource::list(state.store.alerts(&page).await?, resource::alert_item)))
}

/// Returns one alert, with its labels, annotations and defects.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the alert.")),
    responses((status = 200, description = "The alert.", body = AlertResponse), (status = 404, description = "The alert does not exist.", body = ProblemResponse)))]
pub(crate) async fn alert(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<AlertId>,
) -> Result<Json<AlertResponse>, Problem> {
    let row = state.store.alert(&id).await?.ok_or_else(|| Problem::not_found("alert", &id))?;
    Ok(Json(resource::alert(row)))
}

/// Lists incidents. Statuses: `open`, `closed`, `merged`.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "incidents", params(ListParams),
    responses((status = 200, description = "A page of incidents.", body = ListResponse<IncidentItem>), (status = 400, description = "A parameter is invalid.", body = ProblemResponse)))]
pub(crate) async fn incidents(
    State(state): State<Arc<ServerState>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<IncidentItem>>, Problem> {
    let page = params.page(&["open", "closed", "merged"])?;
    Ok(Json(resource::list(state.store.incidents(&page).await?, resource::incident_item)))
}

/// Returns one incident, with its newest plan, run and outcome.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", tag = "incidents", params(("id" = String, Path, description = "Id of the incident.")),
    responses((status = 200, description = "The incident.", body = IncidentResponse), (status = 404, description = "The incident does not exist.", body = ProblemResponse)))]
pub(crate) async fn incident(
    State(state): State<Arc<ServerState>>,
    Id(id): Id<IncidentId>,
) -> Result<Json<IncidentResponse>, Problem> {
    let row =
        state.store.incident(&id).await?.ok_or_else(|| Problem::not_found("incident", &id))?;
    Ok(Json(resource::incident(row)))
}

/// Query parameters of a similarity search.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct SimilarParams {
    /// Maximum number of results, 1 to 50. Default: 5.
    top_k: Option<usize>,
}

/// Returns past executions similar to an incident, most similar first.
#[utoipa::path(get, path = "/api/v1/incidents/{id}/similar", tag = "incidents",
    params(("id" = String, Path, description = "Id of the incident."), SimilarParams),
    responses((status = 200, description = "Past executions.", body = SimilarExecutionsResponse), (status = 404, description = "The incident does not exist.", body = ProblemResponse)))]
pub(crate) async fn similar(
    State(state): State<Arc<ServerState>>,
    Id(incident): Id<IncidentId>,
    QueryParams(params): QueryParams<SimilarParams>,
) -> Result<Json<SimilarExecutionsResponse>, Problem> {
    if state.store.incident(&incident).await?.is_none() {
        return Err(Problem::not_found("incident", &incident));
    }
    let top_k = params.top_k.unwrap_or(5).clamp(1, 50);
    Ok(Json(state.query(Query::Similar { incident, top_k }).await?))
}
