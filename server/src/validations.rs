use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use workflow::Diagnostic;

use crate::api::Api;
use crate::body;
use crate::problem::Problem;
use crate::request::{media_type, wrong_type};

/// What the validator found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validation {
    /// Whether the document can be used.
    is_valid: bool,
    /// What was found, in the order of the text, each with code, path, line, column and hint.
    #[schema(value_type = Vec<Object>)]
    diagnostics: Vec<Diagnostic>,
}

/// Validates a workflow, template or guardrail file, in YAML or JSON. Nothing is kept.
#[utoipa::path(post, path = "/api/v1/workflow-validations", tag = "workflows",
    request_body(content = String, content_type = "application/yaml", description = "The document."),
    responses((status = 200, description = "What was found.", body = Validation), (status = 413, description = "It is too large.", body = Problem),
        (status = 415, description = "It is neither YAML nor JSON.", body = Problem)))]
pub(crate) async fn validate(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<Validation>, Problem> {
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
        return Err(wrong_type("application/yaml or application/json"));
    }
    let bytes =
        body::read(&parts.headers, body, api.limits.document_bytes, api.bounds.body).await?;
    // A hostile document takes up to a second: not on a thread that serves others.
    let (catalogue, limits) = (Arc::clone(&api.catalogue), api.limits.clone());
    let parsed = tokio::task::spawn_blocking(move || {
        workflow::validate::validate_manifest(&bytes, &catalogue, &limits)
    });
    let parsed = parsed.await.map_err(|error| {
        tracing::error!(%error, "the validator broke off");
        let hint = "this is a defect of the program: the server's log holds more";
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "validator_broke",
            "the validator broke off",
            hint,
        )
    })?;
    Ok(Json(Validation { is_valid: parsed.value.is_some(), diagnostics: parsed.diagnostics }))
}
