//! What the record holds: one closed list of entries, each with the stream that it belongs to.

use cluster::{Object, ObjectRef};
use jiff::Timestamp;
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
use crate::input::{Answer, RequestKey};
use crate::outcome::Outcome;
use crate::plan::{Candidate, Plan};
use crate::run::{Event, FleetEvent};

/// One thing that the record says happened.
///
/// Written as two columns, `kind` and `payload`. A kind that is not in this list is refused at reading, never skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
pub enum Entry {
    /// A writer began: nothing of an older epoch is accepted from here on.
    EpochClaimed {
        /// The epoch.
        epoch: u64,
        /// Version of the program.
        program: String,
    },
    /// Guardrails came into force.
    GuardrailsLoaded(Guardrails),
    /// The wall clock jumped; time went on without it.
    ClockJumped {
        /// By how many seconds, forwards or (negative) backwards.
        seconds: f64,
    },
    /// Something happened to an incident.
    Incident(IncidentEvent),
    /// Evidence was gathered.
    EvidenceGathered(Evidence),
    /// Candidates were proposed.
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
    /// A person approved or rejected a plan.
    PlanReviewed(Review),
    /// A plan will not run any more.
    PlanWithdrawn {
        /// The plan.
        plan: PlanId,
        /// Why.
        why: String,
    },
    /// Something happened in a run.
    Run {
        /// The run.
        run: RunId,
        /// What.
        event: Event,
    },
    /// Something happened across runs.
    Fleet(FleetEvent),
    /// An outcome was judged.
    Observed(Outcome),
    /// A person said something.
    FeedbackGiven(Feedback),
    /// A workload has been healthy for five minutes: what stood around it.
    ObjectHealthy {
        /// The workload.
        object: ObjectRef,
        /// The workload and the objects around it, Secret values as digests, status left out.
        related: Vec<Object>,
    },
    /// An execution ended; retrieval may find it.
    Executed(PastExecution),
    /// History was brought in from a file.
    HistoryImported {
        /// Name of the file.
        from: String,
        /// The execution.
        execution: PastExecution,
    },
    /// Something happened to an experiment.
    Experiment(ExperimentEvent),
    /// A request that a client names by a key was answered: the same one is answered so again.
    Answered {
        /// The request.
        request: RequestKey,
        /// The answer.
        answer: Answer,
    },
}

/// A person's word on a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The plan.
    pub plan: PlanId,
    /// The digest that the person saw.
    pub digest: cluster::Digest,
    /// Yes or no.
    pub is_approved: bool,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// An entry about to be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The stream that it goes to.
    pub stream: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub entry: Entry,
}

impl Draft {
    /// A draft in the stream that its entry belongs to.
    pub fn new(at: Timestamp, entry: Entry) -> Self {
        Self { stream: entry.stream(), at, entry }
    }
}

impl Entry {
    /// The stream that it belongs to (design D1).
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
            Self::Answered { request, .. } => request.stream(),
        }
    }

    /// The two columns: kind and payload.
    pub fn to_parts(&self) -> (String, Value) {
        let value = serde_json::to_value(self).expect("an entry is plain data");
        let Value::Object(mut map) = value else {
            unreachable!("an entry is written as an object")
        };
        let payload = map.remove("payload").unwrap_or(Value::Null);
        match map.remove("kind") {
            Some(Value::String(kind)) => (kind, payload),
            _ => unreachable!("an entry is tagged by its kind"),
        }
    }

    /// Reads the two columns back.
    ///
    /// # Errors
    /// If the kind is unknown (a record of a newer version) or the payload is not of this kind.
    pub fn from_parts(kind: &str, payload: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::json!({"kind": kind, "payload": payload}))
    }
}
