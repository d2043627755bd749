//! JSON merge patches: RFC 7386.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::child_pointer;

pub(super) fn apply(patch: &Value, document: Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut map = match document {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    for (name, change) in patch {
        if change.is_null() {
            map.remove(name);
        } else {
            let old = map.remove(name).unwrap_or_default();
            map.insert(name.clone(), apply(change, old));
        }
    }
    Value::Object(map)
}

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
