//! Evidence: what was seen around an incident before anything was proposed.

use cluster::{Difference, Health, Object, ObjectRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fact::Facts;
use crate::id::{EvidenceId, IncidentId};
use crate::incident::Incident;

/// What was seen around an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Its id.
    pub id: EvidenceId,
    /// The incident.
    pub incident: IncidentId,
    /// Name of the alert that began it.
    pub alert: String,
    /// The workload or service that the hints lead to, as found in the cluster; absent if nothing was found.
    pub target: Option<ObjectRef>,
    /// Every object that was read, by reference: the only objects that a plan may name.
    pub inventory: Vec<ObjectRef>,
    /// The objects themselves, Secret values as digests.
    pub objects: Vec<Object>,
    /// What is known.
    pub facts: Facts,
    /// What differs from the last time the workloads were healthy.
    pub differences: Vec<Difference>,
    /// Health of the target and its neighbours, in order of reference.
    pub health: Vec<(ObjectRef, Health)>,
    /// Events and log lines worth showing, newest first: tainted text.
    pub notes: Vec<Note>,
    /// Sentences for people, each naming what it rests on.
    pub lines: Vec<String>,
    /// What could not be read, and why.
    pub gaps: Vec<String>,
    /// How many calls it took.
    pub calls: u32,
    /// When it was gathered.
    pub at: Timestamp,
}

/// A piece of text out of the cluster: data, never instructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Of which object.
    pub object: ObjectRef,
    /// When.
    pub at: Option<Timestamp>,
    /// The event's reason, or `log`.
    pub reason: String,
    /// The text, at most 256 characters.
    pub text: String,
}

impl Evidence {
    /// Evidence of an incident of which nothing was seen yet.
    pub fn unseen(incident: &Incident, at: Timestamp) -> Self {
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
            notes: Vec::new(),
            lines: Vec::new(),
            gaps: Vec::new(),
            calls: 0,
            at,
        }
    }

    /// Health of `object` as it was seen.
    pub fn health_of(&self, object: &ObjectRef) -> Option<&Health> {
        self.health.iter().find(|(other, _)| other.is_same(object)).map(|(_, health)| health)
    }

    /// The object of this reference, as it was seen.
    pub fn object(&self, reference: &ObjectRef) -> Option<&Object> {
        self.objects.iter().find(|object| object.reference(&reference.cluster).is_same(reference))
    }
}
