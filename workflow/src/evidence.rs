//! Evidence: the state of the cluster around an incident, read before candidates are proposed.

use cluster::{Difference, Health, Object, ObjectRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fact::Facts;
use crate::id::{EvidenceId, IncidentId};
use crate::incident::Incident;

/// The state of the cluster around an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Id of the evidence.
    pub id: EvidenceId,
    /// The incident.
    pub incident: IncidentId,
    /// Name of the first alert of the incident.
    pub alert: String,
    /// The workload or Service that the alert is about. Absent if it was not found in the cluster.
    pub target: Option<ObjectRef>,
    /// References of all objects that were read. A plan may refer to these objects only.
    pub inventory: Vec<ObjectRef>,
    /// The objects, with digests in place of Secret values.
    pub objects: Vec<Object>,
    /// Facts derived from the objects.
    pub facts: Facts,
    /// Differences from the known-good state.
    pub differences: Vec<Difference>,
    /// Health of the target and its neighbours, ordered by reference.
    pub health: Vec<(ObjectRef, Health)>,
    /// Relevant events and log lines, newest first. Untrusted text.
    pub log_excerpts: Vec<LogExcerpt>,
    /// Sentences for operators, each naming its source.
    pub summary: Vec<String>,
    /// What could not be read, with the reason.
    pub missing: Vec<String>,
    /// Number of API calls made.
    pub api_calls: u32,
    /// When it was gathered.
    pub at: Timestamp,
}

/// A piece of text from the cluster. Untrusted: data, never instructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogExcerpt {
    /// The object that the text is about.
    pub object: ObjectRef,
    /// Time of the event or log line, if known.
    pub at: Option<Timestamp>,
    /// The event's reason, or `log`.
    pub reason: String,
    /// The text, at most 256 characters.
    pub text: String,
}

impl Evidence {
    /// Creates evidence that contains nothing yet.
    pub fn empty(incident: &Incident, at: Timestamp) -> Self {
        Self {
            id: EvidenceId::derive(at, incident.id.as_str(), 0),
            incident: incident.id.clone(),
            alert: incident.first.name.clone(),
            target: None,
            inventory: Vec::new(),
            objects: Vec::new(),
            facts: Facts::default(),
            differences: Vec::new(),
            health: Vec::new(),
            log_excerpts: Vec::new(),
            summary: Vec::new(),
            missing: Vec::new(),
            api_calls: 0,
            at,
        }
    }

    /// Returns the health of `object`, if it was read.
    pub fn health_of(&self, object: &ObjectRef) -> Option<&Health> {
        self.health.iter().find(|(other, _)| other.is_same(object)).map(|(_, health)| health)
    }

    /// Returns the object with this reference, if it was read.
    pub fn object(&self, reference: &ObjectRef) -> Option<&Object> {
        self.objects.iter().find(|object| object.reference(&reference.cluster).is_same(reference))
    }
}
