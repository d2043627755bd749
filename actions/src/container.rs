//! One container of a workload's pod template, and how its fields are set.

use cluster::{JsonOp, Object};
use serde_json::{Map, Value};

use crate::change::{Proposal, below};

/// A container and where it stands.
pub(crate) struct Place<'a> {
    /// The container, as on the wire.
    pub(crate) container: &'a Map<String, Value>,
    pointer: String,
}

impl<'a> Place<'a> {
    /// The container of the pod template of `workload` with this name.
    pub(crate) fn of(workload: &'a Object, name: &str) -> Result<Self, Proposal> {
        let list = workload
            .at("/spec/template/spec/containers")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let is_named = |value: &&Value| value.get("name").and_then(Value::as_str) == Some(name);
        let found = list.iter().enumerate().find(|(_, value)| is_named(value));
        match found.and_then(|(index, value)| Some((index, value.as_object()?))) {
            Some((index, container)) => {
                Ok(Self { container, pointer: format!("/spec/template/spec/containers/{index}") })
            }
            None => {
                let names: Vec<&str> =
                    list.iter().filter_map(|value| value.get("name")?.as_str()).collect();
                let why = format!(
                    "it has no container `{name}`; its containers are {}",
                    names.join(", ")
                );
                Err(Proposal::Refuse { code: "no-container", why })
            }
        }
    }

    /// A field of it; null where absent.
    pub(crate) fn field(&self, name: &str) -> Value {
        self.container.get(name).cloned().unwrap_or_default()
    }

    /// Sets a field of it, or removes it where `value` is null. The generation of the object is tested in the same
    /// patch, so the place cannot have moved.
    pub(crate) fn set(&self, name: &str, value: Value) -> JsonOp {
        let path = below(&self.pointer, name);
        if value.is_null() { JsonOp::Remove { path } } else { JsonOp::Add { path, value } }
    }
}
