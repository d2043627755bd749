//! Ingests deliveries of monitoring systems: responds once they are durable, and with 503 while the queue is full.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use workflow::{EngineResponse, alertmanager};

use crate::api::{Api, unexpected};
use crate::body;
use crate::problem::Problem;
use crate::request::{is_json, wrong_media_type};

/// The alerts and incidents of an ingested delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IngestResult {
    /// Ids of the alerts, in the order of the delivery.
    alert_ids: Vec<String>,
    /// Ids of their incidents, without duplicates.
    incident_ids: Vec<String>,
}

/// Ingests a delivery of the Prometheus Alertmanager (webhook version 4). Planning is asynchronous.
#[utoipa::path(post, path = "/api/v1/ingest/alertmanager", tag = "ingestion",
    request_body(content = Object, description = "The webhook as Alertmanager sends it, plain or gzip."),
    responses(
        (status = 202, description = "The delivery is recorded.", body = IngestResult),
        (status = 400, description = "The body is empty, not JSON, nested too deep, or contains a duplicate key.", body = Problem),
        (status = 408, description = "The body did not arrive in time.", body = Problem),
        (status = 413, description = "The body is too large; an incident is opened for it.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 503, description = "The queue is full; retry.", body = Problem)))]
pub(crate) async fn alertmanager(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(wrong_media_type("application/json"));
    }
    let read = body::read(&parts.headers, body, api.limits.body_bytes, api.timeouts.body).await;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(problem) => {
            if problem.status == StatusCode::PAYLOAD_TOO_LARGE.as_u16() {
                // The sender does not retry after a 4xx, so the loss is recorded as an incident. If that cannot be
                // recorded either, the response is a 5xx, and the sender retries.
                api.ingest(alertmanager::oversized_delivery(&api.limits, (api.now)())).await?;
                tracing::warn!("a delivery was too large and is lost");
            }
            return Err(problem);
        }
    };
    let delivery = alertmanager::parse(&bytes, &api.limits, (api.now)())?;
    let (alerts, defects) = (delivery.alerts.len(), delivery.defects.len());
    match api.ingest(delivery).await? {
        EngineResponse::Received { alerts: ids, incidents } => {
            if defects > 0 {
                tracing::warn!(
                    defects,
                    ids = ids.len(),
                    "the invalid parts of a delivery were ignored"
                );
            }
            tracing::info!(alerts, defects, incidents = ?incidents.iter().map(|id| id.as_str()).collect::<Vec<_>>(), "alerts received");
            let received = IngestResult {
                alert_ids: ids.iter().map(ToString::to_string).collect(),
                incident_ids: incidents.iter().map(ToString::to_string).collect(),
            };
            Ok((StatusCode::ACCEPTED, Json(received)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}
