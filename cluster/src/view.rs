//! Typed read-only views of objects. A view borrows the object and reads its fields on access.
//!
//! A getter returns the value of the field, or the Kubernetes default if the field is absent. A field of the wrong type
//! counts as absent.

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
pub use deployment::{Deployment, DeploymentStrategy, ReplicaSet};
pub use pod::{ContainerState, ContainerStatus, Pod, PodPhase};
pub use service::{Endpoint, EndpointSlice, Service, ServicePort};

/// One condition of an object's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectCondition<'a> {
    /// Condition type: `Available`, `Progressing`, `Ready`.
    pub kind: &'a str,
    /// Condition status; `None` for `Unknown`.
    pub status: Option<bool>,
    /// Machine-readable reason of the last transition, in CamelCase.
    pub reason: &'a str,
    /// Human-readable details of the last transition.
    pub message: &'a str,
    /// Time of the last status change in RFC 3339, as stored; empty if absent.
    pub last_transition_time: &'a str,
}

impl<'a> ObjectCondition<'a> {
    /// Returns the conditions in the status of `object`.
    pub fn all_of(object: &'a Object) -> impl Iterator<Item = ObjectCondition<'a>> {
        items(object.field("status"), "conditions").map(Self::read)
    }

    /// Returns the condition of type `kind` in the status of `object`.
    pub fn of(object: &'a Object, kind: &str) -> Option<ObjectCondition<'a>> {
        let mut all = items(object.field("status"), "conditions");
        all.find(|condition| text(condition, "type") == kind).map(Self::read)
    }

    fn read(condition: &'a Value) -> Self {
        ObjectCondition {
            kind: text(condition, "type"),
            status: match text(condition, "status") {
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

fn count(value: Option<&Value>, field: &str, default: u32) -> u32 {
    value
        .and_then(|value| value.get(field))
        .and_then(Value::as_u64)
        .map_or(default, |n| u32::try_from(n).unwrap_or(u32::MAX))
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
