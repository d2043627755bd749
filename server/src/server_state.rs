use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::Store;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::oneshot::{self, Receiver};
use workflow::input::Query;
use workflow::{Catalogue, Delivery, EngineResponse, ErrorCode, Input, Limits};

use crate::problem::Problem;
use crate::timeouts::Timeouts;

/// An input for the engine, with the channel for its response.
pub type EngineRequest = (Input, oneshot::Sender<EngineResponse>);

/// The dependencies and settings of the API.
pub struct ServerConfig {
    /// Queue of the engine's inputs. While it is full, deliveries are rejected with 503.
    pub inputs: Sender<EngineRequest>,
    /// Queue of emergency stops and run controls, which the engine reads first.
    pub controls: Sender<EngineRequest>,
    /// Store that is read for all resources.
    pub store: Arc<dyn Store>,
    /// Action catalogue, used to validate manifests.
    pub catalogue: Arc<Catalogue>,
    /// Bearer token required on all routes except the probes.
    pub token: String,
    /// Limits on request bodies.
    pub limits: Limits,
    /// Accepted values of the `Host` header, for example `127.0.0.1:8080`.
    pub hosts: Vec<String>,
    /// Returns the current time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Additional routes behind the same authentication.
    pub extra: Option<axum::Router>,
}

/// State shared by all handlers.
pub(crate) struct ServerState {
    pub(crate) inputs: Sender<EngineRequest>,
    pub(crate) controls: Sender<EngineRequest>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The OpenAPI document of all routes.
    pub(crate) document: Arc<Value>,
}

impl ServerState {
    /// Sends a delivery to the engine. Fails immediately while the queue is full: the sender retries after a 5xx.
    pub(crate) async fn ingest(&self, delivery: Delivery) -> Result<EngineResponse, Problem> {
        let (respond, response) = oneshot::channel();
        match self.inputs.try_send((Input::IngestAlerts(delivery), respond)) {
            Ok(()) => self.wait_for(response).await,
            Err(TrySendError::Full(_)) => Err(queue_full()),
            Err(TrySendError::Closed(_)) => Err(engine_stopped()),
        }
    }

    /// Sends an operator's request to the engine. While deliveries fill the queue, waits for space in it.
    pub(crate) async fn request(&self, input: Input) -> Result<EngineResponse, Problem> {
        let (respond, response) = oneshot::channel();
        let queue = if input.is_control() { &self.controls } else { &self.inputs };
        match queue.send_timeout((input, respond), self.timeouts.engine_response).await {
            Ok(()) => self.wait_for(response).await,
            Err(SendTimeoutError::Timeout(_)) => Err(queue_full()),
            Err(SendTimeoutError::Closed(_)) => Err(engine_stopped()),
        }
    }

    /// Queries the engine for state that no projection contains.
    pub(crate) async fn query<T: DeserializeOwned>(&self, query: Query) -> Result<T, Problem> {
        let response = self.request(Input::Query(query)).await?;
        let EngineResponse::Result { value } = &response else { return Err(unexpected(&response)) };
        T::deserialize(value).map_err(|error| {
            tracing::error!(%error, "the result of the query has another type");
            unexpected(&response)
        })
    }

    /// Sends an input whose response carries no data.
    pub(crate) async fn command(&self, input: Input) -> Result<(), Problem> {
        match self.request(input).await? {
            EngineResponse::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn wait_for(
        &self,
        response: Receiver<EngineResponse>,
    ) -> Result<EngineResponse, Problem> {
        match tokio::time::timeout(self.timeouts.engine_response, response).await {
            Ok(Ok(EngineResponse::Refused { kind, code, message, hint })) => {
                Err(Problem::refused(kind, code, message, hint))
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(engine_stopped()),
            Err(_) => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::EngineTimeout,
                format!(
                    "the engine did not respond within {} s",
                    self.timeouts.engine_response.as_secs()
                ),
                "check the resource before you retry: the change may have been recorded",
            )
            .retry_after(30)),
        }
    }
}

fn queue_full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::QueueFull,
        "the engine's input queue is full",
        "retry after the time in Retry-After; nothing was recorded",
    )
    .retry_after(5)
}

fn engine_stopped() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::EngineStopped,
        "the engine accepts no more inputs",
        "restart the server, then retry; the server's log contains the reason",
    )
    .retry_after(30)
}

/// Returns the problem for a response that does not match its request, which is a bug.
pub(crate) fn unexpected(response: &EngineResponse) -> Problem {
    tracing::error!(?response, "the engine's response does not match the request");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::InternalError,
        "the engine's response does not match the request",
        "this is a bug in Chiron; the server's log contains the response",
    )
}
