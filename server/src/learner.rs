use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use workflow::input::Query;

use crate::api::Api;
use crate::problem::Problem;

/// Returns a summary of the learner's state.
#[utoipa::path(get, path = "/api/v1/learner", tag = "learning", responses((status = 200, description = "The learner's state.", body = Object)))]
pub(crate) async fn learner(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    Ok(Json(api.query(Query::Learner).await?))
}
