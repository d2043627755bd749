//! Facts: what is known of one object, out of a closed list of predicates, and patterns over them.
//!
//! What is not known is absent, and unknown is never false. Verifier and optimizer reason on facts alone.

mod observe;
mod pattern;

use std::collections::BTreeSet;
use std::fmt;

use cluster::ObjectRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use observe::{KeyRead, is_workload, observe, reads, selects_pods_of, workload_of};
pub use pattern::{Binding, Bindings, FactPattern, ValuePattern, solve};

/// Version of the list of predicates: grows when one is added, never otherwise.
pub const PREDICATES_VERSION: u32 = 1;

/// What can be said of an object.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Predicate {
    /// Whether the object exists (bool).
    Exists,
    /// An alert of this name fires for it (text). Of an incident's target.
    Firing,
    /// Its health (`missing`, `failing`, `degraded`, `healthy`).
    Health,
    /// Whether all of what was asked for is ready (bool).
    Ready,
    /// How many replicas are asked for (number).
    Replicas,
    /// How many are ready (number).
    ReadyReplicas,
    /// Image of the container that `key` names (text).
    Image,
    /// Why the container that `key` names waits: `ImagePullBackOff`, `CrashLoopBackOff` (text). Of a pod's workload.
    Waiting,
    /// Why the container that `key` names last ended: `OOMKilled`, `Error` (text). Of a pod's workload.
    Terminated,
    /// How often the containers of the workload have started again, all together (number).
    Restarts,
    /// Whether a roll-out stands still (bool).
    RolloutStuck,
    /// The roll-out revision in force (number).
    Revision,
    /// A roll-out revision that can be gone back to, other than the one in force (number). Key `latest` for the newest of
    /// them, empty for the others.
    RevisionAvailable,
    /// Whether a ConfigMap or Secret holds the key that `key` names (bool). False only of keys that a workload asks for.
    KeyPresent,
    /// That the workload reads key `key` (`ConfigMap/name/key`) (bool).
    ReadsKey,
    /// That the Service selects pods of the workload whose name is `key` (bool).
    Selects,
    /// How many ready endpoints the Service has (number).
    Endpoints,
    /// A port that the container `key` of the workload listens on (number).
    ListensOn,
    /// The pod port that the Service port `key` leads to (number).
    TargetPort,
    /// Whether requests to the Service arrive (bool).
    Reachable,
    /// Memory limit of the container `key` in bytes (number).
    MemoryLimit,
    /// Path of the readiness probe of container `key` (text).
    ProbePath,
    /// Port of the readiness probe of container `key` (number).
    ProbePort,
    /// Whether the readiness probe of container `key` passes (bool).
    ProbePasses,
    /// Value of the environment variable `container/NAME` that `key` names (text).
    Env,
    /// That the object differs from the last time its workload was healthy, at the path `key`, and in a field of the
    /// kind that `key` names: `image`, `env`, `config`, `replicas`, `resources`, `probe`, `selector`, `port` (bool).
    Changed,
    /// Whether a known-good state of the object is remembered (bool).
    KnownGood,
    /// Whether it has a node (bool).
    Scheduled,
    /// The image that the container `key` had when its workload was last healthy, where it has another now (text).
    KnownImage,
    /// The value that the variable `container/NAME` had then, where it has another now (text).
    KnownEnv,
    /// How many replicas were asked for then, where it is another number now (number).
    KnownReplicas,
    /// The memory limit that the container `key` had then, where it has another now (text).
    KnownMemory,
    /// The whole readiness probe that the container `key` had then, where it has another now (map).
    KnownProbe,
    /// The value that the key `key` of a ConfigMap had then, where it has another or none now (text).
    KnownValue,
    /// The whole selector that a Service had then, where it has another now (map).
    KnownSelector,
    /// The `targetPort` that the Service port `key` had then, where it has another now (number or text).
    KnownPort,
}

/// One thing known of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// Of what.
    pub subject: ObjectRef,
    /// What.
    pub predicate: Predicate,
    /// Which part of it: a container, a key, a port; empty where the predicate has no parts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// How it stands: a bool, a number or a text.
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

/// What is known, in a fixed order and without repeats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// Takes facts in any order.
    pub fn new(facts: impl IntoIterator<Item = Fact>) -> Self {
        let mut all = Self(facts.into_iter().collect());
        all.tidy();
        all
    }

    /// Adds facts. Where both hold a value for one subject, predicate and key, both stay: a predicate may have many.
    pub fn extend(&mut self, facts: impl IntoIterator<Item = Fact>) {
        self.0.extend(facts);
        self.tidy();
    }

    fn tidy(&mut self) {
        self.0.sort_by_cached_key(|fact| {
            (fact.subject.clone(), fact.predicate, fact.key.clone(), fact.value.to_string())
        });
        self.0.dedup();
    }

    /// All of them, ordered by subject, predicate, key and value.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The facts about `subject` under `predicate`.
    pub fn of<'a>(
        &'a self,
        subject: &'a ObjectRef,
        predicate: Predicate,
    ) -> impl Iterator<Item = &'a Fact> {
        self.0
            .iter()
            .filter(move |fact| fact.predicate == predicate && fact.subject.is_same(subject))
    }

    /// The one value of `subject`, `predicate` and `key`, if it is known.
    pub fn value<'a>(
        &'a self,
        subject: &'a ObjectRef,
        predicate: Predicate,
        key: &'a str,
    ) -> Option<&'a Value> {
        self.of(subject, predicate).find(|fact| fact.key == key).map(|fact| &fact.value)
    }

    /// Every object that something is known of.
    pub fn subjects(&self) -> BTreeSet<&ObjectRef> {
        self.0.iter().map(|fact| &fact.subject).collect()
    }
}
