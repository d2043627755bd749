//! The entries of the record: a closed list of kinds, each with its stream.

use cluster::{Object, ObjectRef};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decision::Decision;
use crate::evidence::Evidence;
use crate::experiment::ExperimentEvent;
use crate::feedback::Feedback;
use crate::guardrail::Guardrails;
use crate::history::PastExecution;
use crate::id::{IncidentId, PlanId, RunId};
use crate::incident::IncidentEvent;
use crate::input::{EngineResponse, RequestKey};
use crate::outcome::Outcome;
use crate::plan::{Candidate, Plan};
use crate::run::{Event, FleetEvent};

/// The content of one record.
///
/// Stored in two columns, `kind` and `payload`. Decoding an unknown kind is an error; it is never skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
pub enum Entry {
    /// A writer claimed the record. Appends with an older epoch are refused from then on.
    EpochClaimed {
        /// The new epoch.
        epoch: u64,
        /// Version of the writing program.
        program: String,
    },
    /// Guardrails were loaded and are active from then on.
    GuardrailsLoaded(Guardrails),
    /// The wall clock jumped. Chiron's own time does not follow the jump.
    ClockJumped {
        /// Size of the jump in seconds, negative if backwards.
        seconds: f64,
    },
    /// An event of an incident.
    Incident(IncidentEvent),
    /// Evidence was gathered.
    EvidenceGathered(Evidence),
    /// Candidates were proposed for an incident.
    Proposed {
        /// The incident.
        incident: IncidentId,
        /// The candidates.
        candidates: Vec<Candidate>,
    },
    /// A decision was made.
    Decided(Decision),
    /// A plan was frozen.
    PlanFrozen(Plan),
    /// An operator approved or rejected a plan.
    PlanReviewed(Review),
    /// A plan was withdrawn and can no longer run.
    PlanWithdrawn {
        /// The plan.
        plan: PlanId,
        /// Explanation in one sentence.
        message: String,
    },
    /// An event of a run.
    Run {
        /// The run.
        run: RunId,
        /// The event.
        event: Event,
    },
    /// An event that concerns more than one run.
    Fleet(FleetEvent),
    /// The outcome of a plan was determined.
    Observed(Outcome),
    /// An operator gave feedback on a plan.
    FeedbackGiven(Feedback),
    /// A workload has been healthy for the configured time: its known-good state.
    ObjectHealthy {
        /// The workload.
        object: ObjectRef,
        /// The workload and its related objects, without status and with digests in place of Secret values.
        related: Vec<Object>,
    },
    /// An execution ended. Retrieval may return it.
    Executed(PastExecution),
    /// A past execution was imported from a file.
    HistoryImported {
        /// Name of the file.
        file: String,
        /// The execution.
        execution: PastExecution,
    },
    /// An event of an experiment.
    Experiment(ExperimentEvent),
    /// A request with an idempotency key was answered. A repeated request gets the same response.
    RequestAnswered {
        /// The request.
        request: RequestKey,
        /// The response.
        response: EngineResponse,
    },
}

/// The approval or rejection of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The plan.
    pub plan: PlanId,
    /// Digest of the plan that the operator reviewed.
    pub digest: cluster::Digest,
    /// Whether the plan was approved.
    pub is_approved: bool,
    /// The operator.
    pub actor: String,
    /// Justification given by the operator.
    pub reason: String,
}

/// An entry about to be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Name of the stream.
    pub stream: String,
    /// Time of the entry.
    pub at: Timestamp,
    /// The entry.
    pub entry: Entry,
}

impl Draft {
    /// Creates a draft in the default stream of the entry.
    pub fn new(at: Timestamp, entry: Entry) -> Self {
        Self { stream: entry.stream(), at, entry }
    }
}

impl Entry {
    /// Returns the default stream of the entry (design D1).
    pub fn stream(&self) -> String {
        match self {
            Self::EpochClaimed { .. } => "config".into(),
            Self::GuardrailsLoaded(_) => "guardrails".into(),
            Self::ClockJumped { .. } => "clock".into(),
            Self::Incident(event) => {
                event.incident().map_or_else(|| "import".into(), |id| id.to_string())
            }
            Self::EvidenceGathered(evidence) => evidence.incident.to_string(),
            Self::Proposed { incident, .. } => incident.to_string(),
            Self::Decided(decision) => decision.incident.to_string(),
            Self::PlanFrozen(plan) => plan.id.to_string(),
            Self::PlanReviewed(review) => review.plan.to_string(),
            Self::PlanWithdrawn { plan, .. } => plan.to_string(),
            Self::Run { run, .. } => run.to_string(),
            Self::Fleet(event) => event.stream(),
            Self::Observed(outcome) => outcome.incident.to_string(),
            Self::FeedbackGiven(feedback) => feedback.plan.to_string(),
            Self::ObjectHealthy { object, .. } => {
                format!(
                    "object/{}/{}",
                    object.cluster,
                    object.uid.as_deref().unwrap_or(object.name.as_str())
                )
            }
            Self::Executed(_) | Self::HistoryImported { .. } => "import".into(),
            Self::Experiment(event) => event.experiment().to_string(),
            Self::RequestAnswered { request, .. } => request.stream(),
        }
    }

    /// Encodes the entry as the columns `kind` and `payload`.
    pub fn to_parts(&self) -> (String, Value) {
        let value = serde_json::to_value(self).expect("an entry is plain data");
        let Value::Object(mut map) = value else {
            unreachable!("an entry is serialized as an object")
        };
        let payload = map.remove("payload").unwrap_or(Value::Null);
        match map.remove("kind") {
            Some(Value::String(kind)) => (kind, payload),
            _ => unreachable!("an entry is tagged by its kind"),
        }
    }

    /// Decodes an entry from the columns `kind` and `payload`.
    ///
    /// # Errors
    /// If the kind is unknown (the record was written by a newer version) or the payload does not match the kind.
    pub fn from_parts(kind: &str, payload: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::json!({"kind": kind, "payload": payload}))
    }
}
