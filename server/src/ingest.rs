//! Deliveries of monitoring systems: answered once they are durable, shed with 503 when the queue is full.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use workflow::{Answer, alertmanager};

use crate::api::{Api, unexpected};
use crate::body;
use crate::problem::Problem;
use crate::request::{is_json, wrong_type};

/// What became of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Received {
    /// The alerts, in the order of the delivery.
    alert_ids: Vec<String>,
    /// Their incidents, without repeats.
    incident_ids: Vec<String>,
}

/// Takes a delivery of Prometheus' Alertmanager (webhook version 4). Plans follow later, as events.
#[utoipa::path(post, path = "/api/v1/ingest/alertmanager", tag = "ingestion",
    request_body(content = Object, description = "The webhook as Alertmanager sends it, plain or gzip."),
    responses(
        (status = 202, description = "It is in the record.", body = Received),
        (status = 400, description = "It has no shape: empty, no JSON, too deep, or a key twice.", body = Problem),
        (status = 408, description = "The body took too long.", body = Problem),
        (status = 413, description = "It is too large; an incident of ours says so.", body = Problem),
        (status = 415, description = "It is not JSON.", body = Problem),
        (status = 503, description = "The queue is full; send it again.", body = Problem)))]
pub(crate) async fn alertmanager(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(wrong_type("application/json"));
    }
    let read = body::read(&parts.headers, body, api.limits.body_bytes, api.bounds.body).await;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(problem) => {
            if problem.status == StatusCode::PAYLOAD_TOO_LARGE.as_u16() {
                // The sender does not come again after a 4xx, so the loss must be seen. If this cannot be recorded
                // either, a 5xx makes the sender come again.
                api.deliver(alertmanager::too_large(&api.limits, (api.now)())).await?;
                tracing::warn!("a group of alerts was too large and is lost");
            }
            return Err(problem);
        }
    };
    let delivery = alertmanager::parse(&bytes, &api.limits, (api.now)())?;
    let (alerts, defects) = (delivery.alerts.len(), delivery.defects.len());
    match api.deliver(delivery).await? {
        Answer::Received { alerts: ids, incidents } => {
            if defects > 0 {
                tracing::warn!(
                    defects,
                    ids = ids.len(),
                    "a delivery was not all as it should be: what could not be read in it is left out"
                );
            }
            tracing::info!(alerts, defects, incidents = ?incidents.iter().map(|id| id.as_str()).collect::<Vec<_>>(), "alerts received");
            let received = Received {
                alert_ids: ids.iter().map(ToString::to_string).collect(),
                incident_ids: incidents.iter().map(ToString::to_string).collect(),
            };
            Ok((StatusCode::ACCEPTED, Json(received)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}
