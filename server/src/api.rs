use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use store::Store;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::oneshot::{self, Receiver};
use workflow::input::Query;
use workflow::{Answer, Catalogue, Delivery, Input, Limits};

use crate::bounds::Bounds;
use crate::problem::Problem;

/// An input for the engine, and where its answer goes.
pub type Message = (Input, oneshot::Sender<Answer>);

/// What the API is made of.
pub struct Server {
    /// The engine's queue. When it is full, deliveries are answered with 503.
    pub inputs: Sender<Message>,
    /// The record, for reads.
    pub store: Arc<dyn Store>,
    /// The actions, for validations.
    pub catalogue: Arc<Catalogue>,
    /// The bearer token that every route but the probes wants.
    pub token: String,
    /// Limits on what comes in.
    pub limits: Limits,
    /// The values of `Host` that are let in: `127.0.0.1:8080`.
    pub hosts: Vec<String>,
    /// The clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// More routes behind the same door.
    pub extra: Option<axum::Router>,
}

/// What handlers share.
pub(crate) struct Api {
    pub(crate) inputs: Sender<Message>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) limits: Limits,
    pub(crate) bounds: Bounds,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Api {
    /// Hands a delivery to the engine; a full queue sheds it at once, for the sender comes again after a 5xx.
    pub(crate) async fn deliver(&self, delivery: Delivery) -> Result<Answer, Problem> {
        let (back, answer) = oneshot::channel();
        match self.inputs.try_send((Input::Deliver(delivery), back)) {
            Ok(()) => self.wait_for(answer).await,
            Err(TrySendError::Full(_)) => Err(full()),
            Err(TrySendError::Closed(_)) => Err(gone()),
        }
    }

    /// Hands what a person wants to the engine; in a storm of deliveries it waits for a place in the queue.
    pub(crate) async fn ask(&self, input: Input) -> Result<Answer, Problem> {
        let (back, answer) = oneshot::channel();
        match self.inputs.send_timeout((input, back), self.bounds.answer).await {
            Ok(()) => self.wait_for(answer).await,
            Err(SendTimeoutError::Timeout(_)) => Err(full()),
            Err(SendTimeoutError::Closed(_)) => Err(gone()),
        }
    }

    /// Asks the engine for something that no projection holds.
    pub(crate) async fn query(&self, query: Query) -> Result<serde_json::Value, Problem> {
        match self.ask(Input::Query(query)).await? {
            Answer::Result { value } => Ok(value),
            other => Err(unexpected(&other)),
        }
    }

    /// Hands over what is answered with no more than a yes.
    pub(crate) async fn order(&self, input: Input) -> Result<(), Problem> {
        match self.ask(input).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn wait_for(&self, answer: Receiver<Answer>) -> Result<Answer, Problem> {
        match tokio::time::timeout(self.bounds.answer, answer).await {
            Ok(Ok(Answer::Refused { because, code, message, hint })) => {
                Err(Problem::refused(because, code, message, hint))
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unanswered",
                format!("the engine did not answer within {} s", self.bounds.answer.as_secs()),
                "look at what was done before trying again: it may have been recorded meanwhile",
            )
            .retry_after(30)),
        }
    }
}

fn full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "queue_full",
        "the queue of inputs is full",
        "send it again after the time in Retry-After; nothing of it was recorded",
    )
    .retry_after(5)
}

fn gone() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "engine_stopped",
        "the engine takes no more inputs",
        "send it again once the server was restarted; its log says why it stopped",
    )
    .retry_after(30)
}

/// A defect: the engine answered another question than was asked.
pub(crate) fn unexpected(answer: &Answer) -> Problem {
    tracing::error!(?answer, "the engine answered another question");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "unexpected_answer",
        "the engine's answer is not one to this request",
        "this is a defect of the program: the server's log holds the answer",
    )
}
