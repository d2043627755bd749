//! The emergency stop.

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
use crate::request::{Document, Reasoned};

/// Where and how hard to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StopBody {
    /// `global`, or the id of a run.
    scope: String,
    /// `L1`: finish the current request, verify, hold. `L2`: no new intents from now on.
    #[schema(value_type = String)]
    level: StopLevel,
    /// Why; must not be empty.
    reason: String,
    /// Who; `api` where it is left out.
    #[serde(default)]
    by: Option<String>,
}

/// Where to lift a stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResumeBody {
    /// `global`, or the id of a run.
    scope: String,
    /// Why; must not be empty.
    reason: String,
    /// Who; `api` where it is left out.
    #[serde(default)]
    by: Option<String>,
}

fn scope(text: &str) -> Result<StopScope, Problem> {
    if text == "global" {
        return Ok(StopScope::Global);
    }
    text.parse().map(|run| StopScope::Run { run }).map_err(|_| {
        let text: String = text.chars().take(64).collect();
        let detail = format!("`{text}` is no scope of a stop");
        Problem::invalid("bad_scope", detail, "use `global` or the id of a run")
    })
}

/// Stops everything, or one run, at once.
#[utoipa::path(post, path = "/api/v1/stop", tag = "stops", request_body = StopBody,
    responses((status = 200, description = "The stops that hold now.", body = Object), (status = 404, description = "There is no such run.", body = Problem),
        (status = 409, description = "The run has ended.", body = Problem), (status = 422, description = "Scope, level or reason are wrong.", body = Problem)))]
pub(crate) async fn stop(
    State(api): State<Arc<Api>>,
    Document(body): Document<StopBody>,
) -> Result<Json<Value>, Problem> {
    let scope = scope(&body.scope)?;
    let (by, reason) = Reasoned { reason: body.reason, by: body.by }.check_reason()?;
    tracing::warn!(?scope, level = ?body.level, by, "emergency stop");
    api.order(Input::Stop { scope, level: body.level, by, reason }).await?;
    shown(&api).await
}

/// Lifts a stop.
#[utoipa::path(post, path = "/api/v1/resume", tag = "stops", request_body = ResumeBody,
    responses((status = 200, description = "The stops that still hold.", body = Object), (status = 409, description = "Nothing is stopped there.", body = Problem),
        (status = 422, description = "Scope or reason are wrong.", body = Problem)))]
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    Document(body): Document<ResumeBody>,
) -> Result<Json<Value>, Problem> {
    let scope = scope(&body.scope)?;
    let (by, reason) = Reasoned { reason: body.reason, by: body.by }.check_reason()?;
    api.order(Input::Resume { scope: scope.clone(), by: by.clone(), reason }).await?;
    tracing::warn!(?scope, by, "emergency stop lifted");
    shown(&api).await
}

/// Lists the stops that hold now.
#[utoipa::path(get, path = "/api/v1/stops", tag = "stops", responses((status = 200, description = "The stops.", body = Object)))]
pub(crate) async fn stops(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    shown(&api).await
}

async fn shown(api: &Api) -> Result<Json<Value>, Problem> {
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
            json!({"scope": scope, "level": row.level, "by": row.by, "reason": row.reason, "at": row.at})
        })
        .collect();
    Ok(Json(json!({"items": items})))
}
