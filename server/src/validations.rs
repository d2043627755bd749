use std::sync::Arc;

use api::{ProblemResponse, ValidateManifestResponse};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use workflow::ErrorCode;

use crate::body;
use crate::problem::Problem;
use crate::request::{media_type, wrong_media_type};
use crate::server_state::ServerState;

/// Validates a workflow, template or guardrails manifest in YAML or JSON. Stores nothing.
#[utoipa::path(post, path = "/api/v1/manifests:validate", tag = "manifests",
    request_body(content = String, content_type = "application/yaml", description = "The manifest."),
    responses((status = 200, description = "The findings.", body = ValidateManifestResponse), (status = 413, description = "The manifest is too large.", body = ProblemResponse),
        (status = 415, description = "The body is neither YAML nor JSON.", body = ProblemResponse)))]
pub(crate) async fn validate(
    State(state): State<Arc<ServerState>>,
    request: Request,
) -> Result<Json<ValidateManifestResponse>, Problem> {
    let (parts, body) = request.into_parts();
    let kind = media_type(&parts.headers).unwrap_or_default();
    const KINDS: [&str; 6] = [
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
        "text/x-yaml",
        "text/plain",
        "application/json",
    ];
    if !KINDS.contains(&kind.as_str()) {
        return Err(wrong_media_type("application/yaml or application/json"));
    }
    let bytes =
        body::read(&parts.headers, body, state.limits.document_bytes, state.timeouts.body).await?;
    // A hostile document takes up to a second, which would block a thread that serves other requests.
    let (catalogue, limits) = (Arc::clone(&state.catalogue), state.limits.clone());
    let parsed = tokio::task::spawn_blocking(move || {
        workflow::validate::validate_manifest(&bytes, &catalogue, &limits)
    });
    let parsed = parsed.await.map_err(|error| {
        tracing::error!(%error, "the validator panicked");
        let hint = "this is a bug in Chiron; the server's log contains the details";
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::InternalError,
            "the validator panicked",
            hint,
        )
    })?;
    Ok(Json(ValidateManifestResponse {
        is_valid: parsed.value.is_some(),
        diagnostics: parsed.diagnostics,
    }))
}
