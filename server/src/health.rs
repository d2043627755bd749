use std::sync::Arc;

use api::ProblemResponse;
use axum::extract::State;
use axum::http::StatusCode;
use workflow::ErrorCode;

use crate::problem::Problem;
use crate::server_state::ServerState;

/// Liveness probe: the process responds.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "The process is alive.", body = String)))]
pub(crate) async fn livez() -> &'static str {
    "ok"
}

/// Readiness probe: the engine accepts inputs and the store can be read.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "The server is ready.", body = String), (status = 503, description = "The server is not ready.", body = ProblemResponse)))]
pub(crate) async fn readyz(State(state): State<Arc<ServerState>>) -> Result<&'static str, Problem> {
    if state.inputs.is_closed() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::EngineStopped,
            "the engine accepts no more inputs",
            "restart the server; its log contains the reason",
        ));
    }
    state.store.head().await?;
    Ok("ok")
}
