//! One container of a workload's pod template, and patches of its fields.

use cluster::{JsonOp, Object};
use serde_json::{Map, Value};
use workflow::{Args, ErrorCode};

use crate::argument::text;
use crate::change::child_pointer;
use crate::refused::Refused;

/// A container and its JSON pointer.
pub(crate) struct ContainerRef<'a> {
    /// The container as JSON.
    pub(crate) container: &'a Map<String, Value>,
    pointer: String,
}

impl<'a> ContainerRef<'a> {
    /// Returns the container with this name from the pod template of `workload`.
    pub(crate) fn of(workload: &'a Object, name: &str) -> Result<Self, Refused> {
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
                let message =
                    format!("no container `{name}`; the containers are {}", names.join(", "));
                Err(Refused { code: ErrorCode::NoContainer, message })
            }
        }
    }

    /// Returns a field of the container, or null if it is absent.
    pub(crate) fn field(&self, name: &str) -> Value {
        self.container.get(name).cloned().unwrap_or_default()
    }

    /// Returns the operation that sets a field of the container, or removes it if `value` is null. The same patch tests the
    /// generation of the object, so the index of the container is still valid when it is applied.
    pub(crate) fn set(&self, name: &str, value: Value) -> JsonOp {
        let path = child_pointer(&self.pointer, name);
        if value.is_null() { JsonOp::Remove { path } } else { JsonOp::Add { path, value } }
    }
}

/// Returns whether the field at this display path belongs to the container that the argument `container` names.
pub(crate) fn is_in_container(args: &Args, path: &str) -> bool {
    text(args, "container").is_ok_and(|name| path.contains(&format!("containers[{name}]")))
}
