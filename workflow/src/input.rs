//! Inputs of the engine and its responses.

use cluster::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::Delivery;
use crate::error_code::ErrorCode;
use crate::experiment::{Experiment, Variant};
use crate::feedback::Rating;
use crate::guardrail::Guardrails;
use crate::id::{AlertId, ExperimentId, FeedbackId, IncidentId, PlanId, RunId};
use crate::manifest::Workflow;
use crate::run::{Control, StopLevel, StopScope};

/// Input of the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Ingest alerts delivered by a monitoring system.
    IngestAlerts(Delivery),
    /// Approve or reject a plan.
    Review {
        /// The plan.
        plan: PlanId,
        /// Digest of the plan that the operator reviewed. The input is refused if the plan has another digest.
        digest: Digest,
        /// Whether the plan is approved.
        is_approved: bool,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
    },
    /// Control a run.
    Control {
        /// The run.
        run: RunId,
        /// The requested control.
        control: Control,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
    },
    /// Set an emergency stop.
    Stop {
        /// Scope of the stop.
        scope: StopScope,
        /// Level of the stop.
        level: StopLevel,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor.
        reason: String,
    },
    /// Clear an emergency stop.
    ClearStop {
        /// Scope of the stop.
        scope: StopScope,
        /// Who requested it.
        actor: String,
        /// Justification given by the actor. Must not be empty.
        reason: String,
    },
    /// Give feedback on a plan.
    Feedback {
        /// The plan.
        plan: PlanId,
        /// Whether the plan was right or wrong.
        rating: Option<Rating>,
        /// The workflow that should have been executed.
        correction: Option<Workflow>,
        /// Free text.
        comment: String,
        /// Who requested it.
        actor: String,
    },
    /// Load guardrails.
    Guardrails(Guardrails),
    /// Make a new plan for an incident.
    Replan {
        /// The incident.
        incident: IncidentId,
        /// Who requested it.
        actor: String,
    },
    /// Create an experiment.
    ExperimentCreate {
        /// A short name.
        name: String,
        /// The expected result.
        hypothesis: String,
        /// Exactly two variants; the first is the baseline.
        variants: Vec<Variant>,
        /// Names of the alerts that take part. Empty: all.
        alerts: Vec<String>,
        /// Significance level of the confidence sequences, in (0, 0.5].
        alpha: f64,
        /// Minimum number of outcomes per variant before results are reported.
        minimum: u32,
    },
    /// Start an experiment.
    ExperimentStart {
        /// Id of the experiment.
        id: ExperimentId,
    },
    /// Stop an experiment.
    ExperimentStop {
        /// Id of the experiment.
        id: ExperimentId,
        /// Justification given by the actor.
        reason: String,
    },
    /// A request with an idempotency key. A repeated request gets the recorded response and is not executed again.
    Idempotent {
        /// The key and the digest of the request body.
        request: RequestKey,
        /// The request: a review, feedback, a new plan, or a new experiment.
        input: Box<Input>,
    },
    /// Read state that no projection contains.
    Query(Query),
}

impl Input {
    /// Whether it is an emergency stop, the clearing of one, or the control of a run: what the engine handles first.
    pub fn is_control(&self) -> bool {
        matches!(self, Self::Control { .. } | Self::Stop { .. } | Self::ClearStop { .. })
    }
}

/// Identifies a request with an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestKey {
    /// Digest of the key given by the client.
    pub key: Digest,
    /// Digest of the request body.
    pub body: Digest,
}

impl RequestKey {
    /// Returns the stream that contains the response.
    pub fn stream(&self) -> String {
        format!("request/{}", self.key)
    }
}

/// A read request to the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Results of an experiment.
    ExperimentResults {
        /// Id of the experiment.
        id: ExperimentId,
    },
    /// Past executions similar to an incident.
    Similar {
        /// The incident.
        incident: IncidentId,
        /// Maximum number of results.
        top_k: usize,
    },
    /// Summary of the state of the learner.
    Learner,
}

/// Response of the engine. It is sent once the effects of the input are durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "response")]
pub enum EngineResponse {
    /// Alerts were recorded.
    Received {
        /// The alerts, in the order of the delivery.
        alerts: Vec<AlertId>,
        /// Their incidents, without duplicates.
        incidents: Vec<IncidentId>,
    },
    /// The input was executed; there is nothing to return.
    Done,
    /// A plan was created.
    Planned {
        /// Id of the plan.
        plan: PlanId,
    },
    /// An experiment was created or changed.
    Experiment {
        /// The current state.
        experiment: Experiment,
    },
    /// Feedback was recorded.
    Feedback {
        /// Id of the feedback.
        id: FeedbackId,
    },
    /// The result of a query.
    Result {
        /// The result as JSON.
        value: Value,
    },
    /// The input was refused.
    Refused {
        /// Class of the error.
        kind: ErrorKind,
        /// Stable error code.
        code: ErrorCode,
        /// What failed.
        message: String,
        /// How to fix it.
        hint: String,
    },
}

/// Why an input was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Class of the error.
    pub kind: ErrorKind,
    /// Stable error code.
    pub code: ErrorCode,
    /// What failed.
    pub message: String,
    /// How to fix it.
    pub hint: String,
}

impl Refusal {
    /// Creates a refusal.
    pub fn new(
        kind: ErrorKind,
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { kind, code, message: message.into(), hint: hint.into() }
    }

    /// The entity `what` with this id does not exist.
    pub fn not_found(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self::new(
            ErrorKind::NotFound,
            ErrorCode::NotFound,
            format!("{what} {id} does not exist"),
            format!("list the {what}s to find its id"),
        )
    }

    /// The state of the entity does not allow the input.
    pub fn conflict(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, message, hint)
    }

    /// The entity has changed since it was read.
    pub fn changed(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Changed, code, message, hint)
    }

    /// The input is invalid.
    pub fn invalid(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message, hint)
    }
}

impl From<Refusal> for EngineResponse {
    fn from(Refusal { kind, code, message, hint }: Refusal) -> Self {
        Self::Refused { kind, code, message, hint }
    }
}

/// Class of an error. Determines the HTTP status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorKind {
    /// The entity does not exist (404).
    NotFound,
    /// The state of the entity does not allow it (409).
    Conflict,
    /// The entity has changed since it was read (412).
    Changed,
    /// The input is invalid (422).
    Invalid,
    /// The input is forbidden (403).
    Forbidden,
    /// The record could not be written (503).
    Unavailable,
}
