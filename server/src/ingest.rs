//! Ingests deliveries of monitoring systems: responds once they are durable, and with 503 while the queue is full.

use std::sync::Arc;

use api::{AlertmanagerRequest, IngestResponse, ProblemResponse};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use workflow::{EngineResponse, alertmanager};

use crate::body;
use crate::problem::Problem;
use crate::request::{is_json, wrong_media_type};
use crate::server_state::{ServerState, unexpected};

/// Ingests a delivery of the Prometheus Alertmanager (webhook version 4). Planning is asynchronous.
#[utoipa::path(post, path = "/api/v1/ingest/alertmanager", tag = "ingestion",
    request_body(content = AlertmanagerRequest, description = "The webhook as Alertmanager sends it, plain or gzip."),
    responses(
        (status = 202, description = "The delivery is recorded.", body = IngestResponse),
        (status = 400, description = "The body is empty, not JSON, nested too deep, or contains a duplicate key.", body = ProblemResponse),
        (status = 408, description = "The body did not arrive in time.", body = ProblemResponse),
        (status = 413, description = "The body is too large; an incident is opened for it.", body = ProblemResponse),
        (status = 415, description = "The body is not JSON.", body = ProblemResponse),
        (status = 503, description = "The queue is full; retry.", body = ProblemResponse)))]
pub(crate) async fn alertmanager(
    State(state): State<Arc<ServerState>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(wrong_media_type("application/json"));
    }
    let read = body::read(&parts.headers, body, state.limits.body_bytes, state.timeouts.body).await;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(problem) => {
            if problem.body.status == StatusCode::PAYLOAD_TOO_LARGE.as_u16() {
                // The sender does not retry after a 4xx, so the loss is recorded as an incident. If that cannot be
                // recorded either, the response is a 5xx, and the sender retries.
                state
                    .ingest(alertmanager::oversized_delivery(&state.limits, (state.now)()))
                    .await?;
                tracing::warn!("a delivery was too large and is lost");
            }
            return Err(problem);
        }
    };
    let delivery = alertmanager::parse(&bytes, &state.limits, (state.now)())?;
    let (alerts, defects) = (delivery.alerts.len(), delivery.defects.len());
    match state.ingest(delivery).await? {
        EngineResponse::Received { alerts: ids, incidents } => {
            if defects > 0 {
                tracing::warn!(
                    defects,
                    ids = ids.len(),
                    "the invalid parts of a delivery were ignored"
                );
            }
            tracing::info!(alerts, defects, incidents = ?incidents.iter().map(|id| id.as_str()).collect::<Vec<_>>(), "alerts received");
            let received = IngestResponse { alert_ids: ids, incident_ids: incidents };
            Ok((StatusCode::ACCEPTED, Json(received)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}
