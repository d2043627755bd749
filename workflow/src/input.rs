//! The engine's one enum of what can come in, and what it answers.

use cluster::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::Delivery;
use crate::experiment::{Experiment, Variant};
use crate::feedback::Opinion;
use crate::guardrail::Guardrails;
use crate::id::{AlertId, ExperimentId, FeedbackId, IncidentId, PlanId, RunId};
use crate::manifest::Workflow;
use crate::run::{Control, StopLevel, StopScope};

/// Something that came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A monitoring system delivered alerts.
    Deliver(Delivery),
    /// A person approves or rejects a plan; the digest is the one that they saw.
    Review {
        /// The plan.
        plan: PlanId,
        /// The digest that the person saw.
        digest: Digest,
        /// Yes or no.
        is_approved: bool,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A person controls a run.
    Control {
        /// The run.
        run: RunId,
        /// What they want.
        control: Control,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Emergency stop.
    Stop {
        /// Where.
        scope: StopScope,
        /// How hard.
        level: StopLevel,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The stop is lifted.
    Resume {
        /// Where.
        scope: StopScope,
        /// Who.
        by: String,
        /// Why; must not be empty.
        reason: String,
    },
    /// A person says what they think of a plan.
    Feedback {
        /// The plan.
        plan: PlanId,
        /// The opinion.
        opinion: Option<Opinion>,
        /// What should have been done.
        correction: Option<Workflow>,
        /// Words.
        comment: String,
        /// Who.
        by: String,
    },
    /// Guardrails are to come into force.
    Guardrails(Guardrails),
    /// A plan that a person asks to be made for an incident anew.
    Replan {
        /// The incident.
        incident: IncidentId,
        /// Who.
        by: String,
    },
    /// An experiment is to be made.
    ExperimentCreate {
        /// A short name.
        name: String,
        /// What is hoped for.
        hypothesis: String,
        /// Two variants.
        variants: Vec<Variant>,
        /// Alert names that take part.
        alerts: Vec<String>,
        /// Level of the confidence sequences.
        alpha: f64,
        /// Fewest outcomes of each variant.
        minimum: u32,
    },
    /// An experiment is to be started.
    ExperimentStart {
        /// Which.
        id: ExperimentId,
    },
    /// An experiment is to be stopped.
    ExperimentStop {
        /// Which.
        id: ExperimentId,
        /// Why.
        reason: String,
    },
    /// What a client asks for under a key of its own: asked for again, it is answered as it was, and not done again.
    Once {
        /// The key, and what was asked for under it.
        request: RequestKey,
        /// What is asked for: a review, feedback, another plan, or an experiment to be made.
        input: Box<Input>,
    },
    /// Something that no projection holds.
    Query(Query),
}

/// Names a request of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestKey {
    /// Digest of the client's key.
    pub key: Digest,
    /// Digest of what was asked for under it.
    pub body: Digest,
}

impl RequestKey {
    /// The stream in which its answer is kept.
    pub fn stream(&self) -> String {
        format!("request/{}", self.key)
    }
}

/// A question that the engine answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Results of an experiment.
    ExperimentResults {
        /// Which.
        id: ExperimentId,
    },
    /// Past executions that are like an incident.
    Similar {
        /// The incident.
        incident: IncidentId,
        /// How many.
        top_k: usize,
    },
    /// State of the learner, in short.
    Learner,
}

/// What the engine answers, once it is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum Answer {
    /// Alerts were recorded.
    Received {
        /// The alerts, in the order of the delivery.
        alerts: Vec<AlertId>,
        /// Their incidents, without repeats.
        incidents: Vec<IncidentId>,
    },
    /// Done.
    Done,
    /// A plan was made.
    Planned {
        /// Its id.
        plan: PlanId,
    },
    /// An experiment was made or changed.
    Experiment {
        /// As it stands now.
        experiment: Experiment,
    },
    /// Feedback was recorded.
    Feedback {
        /// Its id.
        id: FeedbackId,
    },
    /// The answer to a query.
    Result {
        /// The answer.
        value: Value,
    },
    /// It was not done.
    Refused {
        /// What kind of no.
        because: RefusedBecause,
        /// Stable code.
        code: String,
        /// What failed.
        message: String,
        /// How to mend it.
        hint: String,
    },
}

/// What kind of no an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusedBecause {
    /// There is no such thing (404).
    NotFound,
    /// It is not in a state in which this can be done (409).
    Conflict,
    /// It changed since the person looked (412).
    Changed,
    /// It is not valid (422).
    Invalid,
    /// It is not allowed (403).
    Forbidden,
    /// The record could not be written (503).
    Unavailable,
}
