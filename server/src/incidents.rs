//! Alerts and incidents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use store::Queries;
use utoipa::IntoParams;
use workflow::id::{AlertId, IncidentId};
use workflow::input::Query;

use crate::api::Api;
use crate::document;
use crate::list_item::{AlertItem, IncidentItem, ListResponse};
use crate::problem::Problem;
use crate::request::{Id, ListParams, QueryParams};

/// Lists alert episodes, optionally of one incident. Statuses: `firing`, `resolved`, `never-fired`.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(ListParams),
    responses((status = 200, description = "A page of alerts.", body = ListResponse<AlertItem>), (status = 400, description = "A parameter is invalid.", body = Problem)))]
pub(crate) async fn alerts(
    State(api): State<Arc<Api>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<AlertItem>>, Problem> {
    let page = params.page(&["firing", "resolved", "never-fired"])?;
    Ok(Json(ListResponse::of(api.store.alerts(&page).await?, AlertItem::of)))
}

/// Returns one alert, with its labels, annotations and defects.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the alert.")),
    responses((status = 200, description = "The alert.", body = Object), (status = 404, description = "The alert does not exist.", body = Problem)))]
pub(crate) async fn alert(
    State(api): State<Arc<Api>>,
    Id(id): Id<AlertId>,
) -> Result<Json<Value>, Problem> {
    let row = api.store.alert(&id).await?.ok_or_else(|| Problem::not_found("alert", &id))?;
    Ok(Json(document::alert(&row)))
}

/// Lists incidents. Statuses: `open`, `closed`, `merged`.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "incidents", params(ListParams),
    responses((status = 200, description = "A page of incidents.", body = ListResponse<IncidentItem>), (status = 400, description = "A parameter is invalid.", body = Problem)))]
pub(crate) async fn incidents(
    State(api): State<Arc<Api>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<IncidentItem>>, Problem> {
    let page = params.page(&["open", "closed", "merged"])?;
    Ok(Json(ListResponse::of(api.store.incidents(&page).await?, IncidentItem::of)))
}

/// Returns one incident, with its newest plan, run and outcome.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", tag = "incidents", params(("id" = String, Path, description = "Id of the incident.")),
    responses((status = 200, description = "The incident.", body = Object), (status = 404, description = "The incident does not exist.", body = Problem)))]
pub(crate) async fn incident(
    State(api): State<Arc<Api>>,
    Id(id): Id<IncidentId>,
) -> Result<Json<Value>, Problem> {
    let row = api.store.incident(&id).await?.ok_or_else(|| Problem::not_found("incident", &id))?;
    Ok(Json(document::incident(&row)))
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
    responses((status = 200, description = "Past executions.", body = Object), (status = 404, description = "The incident does not exist.", body = Problem)))]
pub(crate) async fn similar(
    State(api): State<Arc<Api>>,
    Id(incident): Id<IncidentId>,
    QueryParams(params): QueryParams<SimilarParams>,
) -> Result<Json<Value>, Problem> {
    if api.store.incident(&incident).await?.is_none() {
        return Err(Problem::not_found("incident", &incident));
    }
    let top_k = params.top_k.unwrap_or(5).clamp(1, 50);
    Ok(Json(api.query(Query::Similar { incident, top_k }).await?))
}
