//! Typed read views of objects: they borrow the object, read when asked, and store nothing.
//!
//! A getter gives what the field says, or what Kubernetes takes where the field is absent; a field of the wrong type
//! reads as absent.

mod container;
mod deployment;
mod pod;
mod service;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Object;
pub use container::{
    Container, ContainerPort, EnvSource, EnvVar, PortRef, Probe, ProbeCheck, containers,
};
pub(crate) use deployment::selector;
pub use deployment::{Deployment, ReplicaSet, Strategy};
pub use pod::{ContainerState, ContainerStatus, Pod, PodPhase};
pub use service::{Endpoint, EndpointSlice, Service, ServicePort};

/// One condition of an object's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// Its type: `Available`, `Progressing`, `Ready`.
    pub kind: &'a str,
    /// Whether it holds; none where the cluster says `Unknown`.
    pub holds: Option<bool>,
    /// Why, in one word.
    pub reason: &'a str,
    /// Why, for people.
    pub message: &'a str,
    /// When it last changed, as on the wire; empty if not said.
    pub last_transition_time: &'a str,
}

impl<'a> Condition<'a> {
    /// The conditions in the status of `object`.
    pub fn all_of(object: &'a Object) -> impl Iterator<Item = Condition<'a>> {
        items(object.field("status"), "conditions").map(Self::read)
    }

    /// The condition of type `kind` in the status of `object`.
    pub fn of(object: &'a Object, kind: &str) -> Option<Condition<'a>> {
        let mut all = items(object.field("status"), "conditions");
        all.find(|condition| text(condition, "type") == kind).map(Self::read)
    }

    fn read(condition: &'a Value) -> Self {
        Condition {
            kind: text(condition, "type"),
            holds: match text(condition, "status") {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            },
            reason: text(condition, "reason"),
            message: text(condition, "message"),
            last_transition_time: text(condition, "lastTransitionTime"),
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn count(value: Option<&Value>, field: &str, absent: u32) -> u32 {
    value
        .and_then(|value| value.get(field))
        .and_then(Value::as_u64)
        .map_or(absent, |n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn items<'a>(value: Option<&'a Value>, field: &str) -> std::slice::Iter<'a, Value> {
    value
        .and_then(|value| value.get(field))
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
}

fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let Some(Value::Object(map)) = value else { return BTreeMap::new() };
    map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string()))).collect()
}

#[cfg(test)]
mod tests;
