//! Emergency stops.

use std::sync::Arc;

use api::{
    ClearEmergencyStopRequest, EmergencyStopsResponse, ProblemResponse, ReasonRequest,
    SetEmergencyStopRequest,
};
use axum::Json;
use axum::extract::State;
use store::Queries;
use workflow::run::StopScope;
use workflow::{ErrorCode, Input};

use crate::problem::Problem;
use crate::request::{StrictJson, check_given_reason};
use crate::resource;
use crate::server_state::ServerState;

fn parse_scope(text: &str) -> Result<StopScope, Problem> {
    if text == "global" {
        return Ok(StopScope::Global);
    }
    text.parse().map(|run| StopScope::Run { run }).map_err(|_| {
        let text: String = text.chars().take(64).collect();
        let detail = format!("`{text}` is not a valid scope of an emergency stop");
        Problem::invalid(ErrorCode::InvalidScope, detail, "use `global` or the id of a run")
    })
}

/// Sets an emergency stop for all runs or for one run. It takes effect immediately.
#[utoipa::path(post, path = "/api/v1/emergency-stops", tag = "emergency-stops", request_body = SetEmergencyStopRequest,
    responses((status = 200, description = "The active emergency stops.", body = EmergencyStopsResponse), (status = 404, description = "The run does not exist.", body = ProblemResponse),
        (status = 409, description = "The run has ended.", body = ProblemResponse), (status = 422, description = "The scope, the level or the reason is invalid.", body = ProblemResponse)))]
pub(crate) async fn set(
    State(state): State<Arc<ServerState>>,
    StrictJson(body): StrictJson<SetEmergencyStopRequest>,
) -> Result<Json<EmergencyStopsResponse>, Problem> {
    let scope = parse_scope(&body.scope)?;
    let (actor, reason) =
        check_given_reason(ReasonRequest { reason: body.reason, actor: body.actor })?;
    tracing::warn!(?scope, level = ?body.level, actor, "emergency stop set");
    state.command(Input::Stop { scope, level: body.level, actor, reason }).await?;
    active(&state).await
}

/// Clears an emergency stop.
#[utoipa::path(delete, path = "/api/v1/emergency-stops", tag = "emergency-stops", request_body = ClearEmergencyStopRequest,
    responses((status = 200, description = "The emergency stops that are still active.", body = EmergencyStopsResponse), (status = 409, description = "No emergency stop with this scope is active.", body = ProblemResponse),
        (status = 422, description = "The scope or the reason is invalid.", body = ProblemResponse)))]
pub(crate) async fn clear(
    State(state): State<Arc<ServerState>>,
    StrictJson(body): StrictJson<ClearEmergencyStopRequest>,
) -> Result<Json<EmergencyStopsResponse>, Problem> {
    let scope = parse_scope(&body.scope)?;
    let (actor, reason) =
        check_given_reason(ReasonRequest { reason: body.reason, actor: body.actor })?;
    state.command(Input::ClearStop { scope: scope.clone(), actor: actor.clone(), reason }).await?;
    tracing::warn!(?scope, actor, "emergency stop cleared");
    active(&state).await
}

/// Lists the active emergency stops.
#[utoipa::path(get, path = "/api/v1/emergency-stops", tag = "emergency-stops", responses((status = 200, description = "The active emergency stops.", body = EmergencyStopsResponse)))]
pub(crate) async fn list(
    State(state): State<Arc<ServerState>>,
) -> Result<Json<EmergencyStopsResponse>, Problem> {
    active(&state).await
}

async fn active(state: &ServerState) -> Result<Json<EmergencyStopsResponse>, Problem> {
    let stops = state.store.stops().await?;
    let items = stops.into_iter().filter_map(resource::emergency_stop_item).collect();
    Ok(Json(EmergencyStopsResponse { items }))
}
