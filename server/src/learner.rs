use std::sync::Arc;

use api::LearnerResponse;
use axum::Json;
use axum::extract::State;
use workflow::input::Query;

use crate::problem::Problem;
use crate::server_state::ServerState;

/// Returns a summary of the learner's state.
#[utoipa::path(get, path = "/api/v1/learner", tag = "learning", responses((status = 200, description = "The learner's state.", body = LearnerResponse)))]
pub(crate) async fn learner(
    State(state): State<Arc<ServerState>>,
) -> Result<Json<LearnerResponse>, Problem> {
    Ok(Json(state.query(Query::Learner).await?))
}
