use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Object;

/// How well an object does what it is there for; worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthLevel {
    /// There is no such object.
    Missing,
    /// It serves nothing.
    Failing,
    /// It serves, but not as asked.
    Degraded,
    /// It serves as asked.
    Healthy,
}

/// How well an object does what it is there for, and why we say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// In one word.
    pub level: HealthLevel,
    /// How many of its replicas (a Service: endpoints) are ready.
    pub ready: u32,
    /// How many should be.
    pub desired: u32,
    /// The worst thing seen, for people; empty if healthy.
    pub reason: String,
}

impl Health {
    /// The health of an object that is not there.
    pub fn missing() -> Self {
        Self { level: HealthLevel::Missing, ready: 0, desired: 0, reason: "there is no such object".into() }
    }

    /// Whether this is worse than `other`: a lower level, or the same level with a lower share of ready replicas.
    pub fn is_below(&self, other: &Self) -> bool {
        unimplemented!("{other:?}")
    }
}

/// Judges the health of `object` as it is `now`.
///
/// `around` holds the pods of a workload, or the EndpointSlices of a Service.
pub fn health(object: &Object, around: &[Object], now: Timestamp) -> Health {
    unimplemented!("{object:?} {around:?} {now}")
}
