//! Facts about objects, with a closed list of predicates, and patterns over facts.
//!
//! Unknown facts are absent: unknown is never false. Verifier and optimizer use facts only.

mod observe;
mod pattern;

use std::collections::BTreeSet;
use std::fmt;

use cluster::ObjectRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use observe::{
    KeyReference, is_workload, key_references, observe, selects_pods_of, workload_of,
};
pub use pattern::{Binding, FactPattern, PatternBindings, ValuePattern, match_all};

/// Version of the list of predicates. Increased when a predicate is added.
pub const PREDICATES_VERSION: u32 = 1;

/// A property of an object.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Predicate {
    /// Whether the object exists (bool).
    Exists,
    /// Name of an alert that fires for the object (text). Set for the target of an incident.
    Firing,
    /// Health level (`missing`, `failing`, `degraded`, `healthy`).
    Health,
    /// Whether all desired replicas are ready (bool).
    Ready,
    /// Number of desired replicas (number).
    Replicas,
    /// Number of ready replicas (number).
    ReadyReplicas,
    /// Image of the container `key` (text).
    Image,
    /// Reason why the container `key` waits: `ImagePullBackOff`, `CrashLoopBackOff` (text). Set for the workload of the pod.
    Waiting,
    /// Reason why the container `key` last terminated: `OOMKilled`, `Error` (text). Set for the workload of the pod.
    Terminated,
    /// Total number of container restarts of the workload (number).
    Restarts,
    /// Whether a rollout exceeded its progress deadline (bool).
    RolloutStuck,
    /// Current rollout revision (number).
    Revision,
    /// A previous rollout revision to which a rollback is possible (number). The key is `latest` for the newest one and
    /// empty for the others.
    RevisionAvailable,
    /// Whether a ConfigMap or Secret contains the key `key` (bool). False only for keys that a workload requires.
    HasKey,
    /// The workload references `key` (`ConfigMap/name/key`) (bool, always true).
    ReferencesKey,
    /// The Service selects pods of the workload named `key` (bool, always true).
    Selects,
    /// Number of ready endpoints of the Service (number).
    Endpoints,
    /// A port declared by the container `key` of the workload (number).
    ListensOn,
    /// Pod port to which the Service port `key` forwards (number).
    TargetPort,
    /// Whether requests to the Service reach a ready pod (bool).
    Reachable,
    /// Memory limit of the container `key` in bytes (number).
    MemoryLimit,
    /// Path of the readiness probe of container `key` (text).
    ProbePath,
    /// Port of the readiness probe of container `key` (number).
    ProbePort,
    /// Whether the readiness probe of container `key` passes (bool).
    ProbePasses,
    /// Value of the environment variable `key` (`container/NAME`) (text).
    Env,
    /// The object differs from its known-good state (bool, always true). `key` is the path of the field or its class:
    /// `image`, `env`, `config`, `replicas`, `resources`, `probe`, `selector`, `port`.
    Changed,
    /// Whether a known-good state of the object is stored (bool).
    KnownGood,
    /// Whether the pod is assigned to a node (bool).
    Scheduled,
    /// Known-good image of the container `key`, if the current one differs (text).
    KnownGoodImage,
    /// Known-good value of the environment variable `key` (`container/NAME`), if the current one differs (text).
    KnownGoodEnv,
    /// Known-good number of desired replicas, if the current one differs (number).
    KnownGoodReplicas,
    /// Known-good memory limit of the container `key`, if the current one differs (text).
    KnownGoodMemory,
    /// Known-good readiness probe of the container `key`, if the current one differs (map).
    KnownGoodProbe,
    /// Known-good value of the ConfigMap key `key`, if the current one differs or is missing (text).
    KnownGoodValue,
    /// Known-good selector of the Service, if the current one differs (map).
    KnownGoodSelector,
    /// Known-good `targetPort` of the Service port `key`, if the current one differs (number or text).
    KnownGoodPort,
}

/// One fact about one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// The object.
    pub subject: ObjectRef,
    /// The property.
    pub predicate: Predicate,
    /// The part of the object: a container, a key, a port. Empty for predicates without parts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The value: a bool, a number, a text or a map.
    pub value: Value,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let predicate = serde_json::to_value(self.predicate).expect("a predicate is a word");
        let predicate = predicate.as_str().expect("a predicate is a word");
        let key = if self.key.is_empty() { String::new() } else { format!("[{}]", self.key) };
        write!(f, "{}: {predicate}{key} = {}", self.subject, self.value)
    }
}

/// A set of facts in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// Creates a set from facts in any order.
    pub fn new(facts: impl IntoIterator<Item = Fact>) -> Self {
        let mut all = Self(facts.into_iter().collect());
        all.normalize();
        all
    }

    /// Adds facts. Facts with the same subject, predicate and key but different values are all kept.
    pub fn extend(&mut self, facts: impl IntoIterator<Item = Fact>) {
        self.0.extend(facts);
        self.normalize();
    }

    fn normalize(&mut self) {
        self.0.sort_by_cached_key(|fact| {
            (fact.subject.clone(), fact.predicate, fact.key.clone(), fact.value.to_string())
        });
        self.0.dedup();
    }

    /// Iterates over the facts, ordered by subject, predicate, key and value.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter()
    }

    /// Returns the number of facts.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no facts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the facts about `subject` with `predicate`.
    pub fn of<'a>(
        &'a self,
        subject: &'a ObjectRef,
        predicate: Predicate,
    ) -> impl Iterator<Item = &'a Fact> {
        self.0
            .iter()
            .filter(move |fact| fact.predicate == predicate && fact.subject.is_same(subject))
    }

    /// Returns the first value for `subject`, `predicate` and `key`, if one is known.
    pub fn value<'a>(
        &'a self,
        subject: &'a ObjectRef,
        predicate: Predicate,
        key: &'a str,
    ) -> Option<&'a Value> {
        self.of(subject, predicate).find(|fact| fact.key == key).map(|fact| &fact.value)
    }

    /// Returns all objects that the set has facts about.
    pub fn subjects(&self) -> BTreeSet<&ObjectRef> {
        self.0.iter().map(|fact| &fact.subject).collect()
    }
}
