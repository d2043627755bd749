use serde_json::Value;

use super::topology::identifies;
use super::{FieldSet, Topology, edge, topology};

/// Merges `applied` into `live`. Where both have a field, the applied value wins.
pub(in crate::api) fn merge<'v>(live: Value, applied: &'v Value, path: &mut Vec<&'v str>) -> Value {
    match (topology(path, applied), live, applied) {
        (Topology::Map, Value::Object(mut live), Value::Object(applied)) => {
            for (name, member) in applied.iter().filter(|(_, member)| !member.is_null()) {
                path.push(name);
                let old = live.remove(name).unwrap_or_default();
                live.insert(name.clone(), merge(old, member, path));
                path.pop();
            }
            Value::Object(live)
        }
        (Topology::AssociativeList(keys), Value::Array(mut live), Value::Array(applied)) => {
            for element in applied {
                let wanted = edge(keys, element);
                match live.iter_mut().find(|old| wanted.is_some() && edge(keys, old) == wanted) {
                    Some(old) => *old = merge(old.take(), element, path),
                    None => live.push(element.clone()),
                }
            }
            Value::Array(live)
        }
        (Topology::Set, Value::Array(mut live), Value::Array(applied)) => {
            for element in applied {
                if !live.contains(element) {
                    live.push(element.clone());
                }
            }
            Value::Array(live)
        }
        (
            Topology::Atomic | Topology::Map | Topology::AssociativeList(_) | Topology::Set,
            _,
            applied,
        ) => without_nulls(applied),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name.clone(), without_nulls(member)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value.clone()
        }
    }
}

/// Removes from `value` the fields that are in `previous`, and neither in `new` nor in `others`.
pub(in crate::api) fn prune(
    value: Value,
    previous: &FieldSet,
    new: &FieldSet,
    others: &FieldSet,
) -> Value {
    let is_removed = |edge: &str| new.child(edge).is_none() && others.child(edge).is_none();
    let nothing = FieldSet::default();
    let child = |set: &FieldSet, edge: &str| set.child(edge).cloned().unwrap_or_default();
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter_map(|(name, member)| {
                let edge = format!("f:{name}");
                match previous.child(&edge) {
                    None => Some((name, member)),
                    Some(_) if is_removed(&edge) => None,
                    Some(previous) => Some((
                        name,
                        prune(member, previous, &child(new, &edge), &child(others, &edge)),
                    )),
                }
            });
            Value::Object(kept.collect())
        }
        Value::Array(elements) if previous.children.keys().any(|edge| !edge.starts_with("f:")) => {
            let keys: Vec<String> = previous.children.keys().cloned().collect();
            let edge_of =
                |element: &Value| keys.iter().find(|edge| identifies(edge, element)).cloned();
            let kept = elements.into_iter().filter_map(|element| {
                let Some(edge) = edge_of(&element) else { return Some(element) };
                if is_removed(&edge) {
                    return None;
                }
                let previous = previous.child(&edge).unwrap_or(&nothing);
                Some(prune(element, previous, &child(new, &edge), &child(others, &edge)))
            });
            Value::Array(kept.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value
        }
    }
}
