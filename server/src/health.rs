use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::api::Api;
use crate::problem::Problem;

/// Says that the process answers.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "It answers.", body = String)))]
pub(crate) async fn livez() -> &'static str {
    "ok"
}

/// Says whether inputs are taken and the record can be read.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "It is ready.", body = String), (status = 503, description = "It is not.", body = Problem)))]
pub(crate) async fn readyz(State(api): State<Arc<Api>>) -> Result<&'static str, Problem> {
    if api.inputs.is_closed() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "engine_stopped",
            "the engine takes no more inputs",
            "restart the server; its log says why the engine stopped",
        ));
    }
    api.store.head().await?;
    Ok("ok")
}
