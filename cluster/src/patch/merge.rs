//! JSON merge patches (RFC 7396): the fields that one changes. `json_patch` applies them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::child_pointer;

pub(super) fn changed_pointers(patch: &Value, pointer: &str, pointers: &mut BTreeSet<String>) {
    match patch {
        Value::Object(map) if !map.is_empty() => {
            for (name, change) in map {
                changed_pointers(change, &child_pointer(pointer, name), pointers);
            }
        }
        // An empty patch changes nothing.
        Value::Object(_) if pointer.is_empty() => {}
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            pointers.insert(pointer.into());
        }
    }
}
