//! Emergency stops.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Queries;
use utoipa::ToSchema;
use workflow::Input;
use workflow::run::{StopLevel, StopScope};

use crate::api::Api;
use crate::problem::Problem;
use crate::request::{ReasonBody, StrictJson};

/// A new emergency stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EmergencyStopBody {
    /// `global`, or the id of a run.
    scope: String,
    /// `L1`: finish the current request, verify it, then wait. `L2`: send no new requests.
    #[schema(value_type = String)]
    level: StopLevel,
    /// Reason for the stop; must not be empty.
    reason: String,
    /// Who sets the stop. Default: `api`.
    #[serde(default)]
    actor: Option<String>,
}

/// The emergency stop to clear.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClearBody {
    /// `global`, or the id of a run.
    scope: String,
    /// Reason for clearing the stop; must not be empty.
    reason: String,
    /// Who clears the stop. Default: `api`.
    #[serde(default)]
    actor: Option<String>,
}

fn parse_scope(text: &str) -> Result<StopScope, Problem> {
    if text == "global" {
        return Ok(StopScope::Global);
    }
    text.parse().map(|run| StopScope::Run { run }).map_err(|_| {
        let text: String = text.chars().take(64).collect();
        let detail = format!("`{text}` is not a valid scope of an emergency stop");
        Problem::invalid("invalid_scope", detail, "use `global` or the id of a run")
    })
}

/// Sets an emergency stop for all runs or for one run. It takes effect immediately.
#[utoipa::path(post, path = "/api/v1/emergency-stops", tag = "emergency-stops", request_body = EmergencyStopBody,
    responses((status = 200, description = "The active emergency stops.", body = Object), (status = 404, description = "The run does not exist.", body = Problem),
        (status = 409, description = "The run has ended.", body = Problem), (status = 422, description = "The scope, the level or the reason is invalid.", body = Problem)))]
pub(crate) async fn set(
    State(api): State<Arc<Api>>,
    StrictJson(body): StrictJson<EmergencyStopBody>,
) -> Result<Json<Value>, Problem> {
    let scope = parse_scope(&body.scope)?;
    let (actor, reason) =
        ReasonBody { reason: body.reason, actor: body.actor }.check_with_reason()?;
    tracing::warn!(?scope, level = ?body.level, actor, "emergency stop set");
    api.command(Input::Stop { scope, level: body.level, actor, reason }).await?;
    active(&api).await
}

/// Clears an emergency stop.
#[utoipa::path(delete, path = "/api/v1/emergency-stops", tag = "emergency-stops", request_body = ClearBody,
    responses((status = 200, description = "The emergency stops that are still active.", body = Object), (status = 409, description = "No emergency stop with this scope is active.", body = Problem),
        (status = 422, description = "The scope or the reason is invalid.", body = Problem)))]
pub(crate) async fn clear(
    State(api): State<Arc<Api>>,
    StrictJson(body): StrictJson<ClearBody>,
) -> Result<Json<Value>, Problem> {
    let scope = parse_scope(&body.scope)?;
    let (actor, reason) =
        ReasonBody { reason: body.reason, actor: body.actor }.check_with_reason()?;
    api.command(Input::ClearStop { scope: scope.clone(), actor: actor.clone(), reason }).await?;
    tracing::warn!(?scope, actor, "emergency stop cleared");
    active(&api).await
}

/// Lists the active emergency stops.
#[utoipa::path(get, path = "/api/v1/emergency-stops", tag = "emergency-stops", responses((status = 200, description = "The active emergency stops.", body = Object)))]
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    active(&api).await
}

async fn active(api: &Api) -> Result<Json<Value>, Problem> {
    let items: Vec<Value> = api
        .store
        .stops()
        .await?
        .into_iter()
        .map(|row| {
            let scope = match &row.scope {
                StopScope::Global => "global",
                StopScope::Run { run } => run.as_str(),
            };
            json!({"scope": scope, "level": row.level, "actor": row.actor, "reason": row.reason, "at": row.at})
        })
        .collect();
    Ok(Json(json!({"items": items})))
}
