use serde_json::Value;

use super::make::is_named;
use super::{FieldSet, Make, edge, make};

/// `live` with `applied` laid over it: what both have, and where they differ, what is applied.
pub(in crate::api) fn merged<'v>(
    live: Value,
    applied: &'v Value,
    path: &mut Vec<&'v str>,
) -> Value {
    match (make(path, applied), live, applied) {
        (Make::Members, Value::Object(mut live), Value::Object(applied)) => {
            for (name, member) in applied.iter().filter(|(_, member)| !member.is_null()) {
                path.push(name);
                let old = live.remove(name).unwrap_or_default();
                live.insert(name.clone(), merged(old, member, path));
                path.pop();
            }
            Value::Object(live)
        }
        (Make::Keyed(keys), Value::Array(mut live), Value::Array(applied)) => {
            for element in applied {
                let wanted = edge(keys, element);
                match live.iter_mut().find(|old| wanted.is_some() && edge(keys, old) == wanted) {
                    Some(old) => *old = merged(old.take(), element, path),
                    None => live.push(element.clone()),
                }
            }
            Value::Array(live)
        }
        (Make::Set, Value::Array(mut live), Value::Array(applied)) => {
            for element in applied {
                if !live.contains(element) {
                    live.push(element.clone());
                }
            }
            Value::Array(live)
        }
        (Make::Atomic | Make::Members | Make::Keyed(_) | Make::Set, _, applied) => {
            without_nulls(applied)
        }
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

/// `value` without the fields that stood in `last`, and stand neither in `new` nor in `others`.
pub(in crate::api) fn pruned(
    value: Value,
    last: &FieldSet,
    new: &FieldSet,
    others: &FieldSet,
) -> Value {
    let is_gone = |edge: &str| new.below(edge).is_none() && others.below(edge).is_none();
    let nothing = FieldSet::default();
    let below = |set: &FieldSet, edge: &str| set.below(edge).cloned().unwrap_or_default();
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter_map(|(name, member)| {
                let edge = format!("f:{name}");
                match last.below(&edge) {
                    None => Some((name, member)),
                    Some(_) if is_gone(&edge) => None,
                    Some(last) => Some((
                        name,
                        pruned(member, last, &below(new, &edge), &below(others, &edge)),
                    )),
                }
            });
            Value::Object(kept.collect())
        }
        Value::Array(elements) if last.below.keys().any(|edge| !edge.starts_with("f:")) => {
            let keys: Vec<String> = last.below.keys().cloned().collect();
            let edge_of =
                |element: &Value| keys.iter().find(|edge| is_named(edge, element)).cloned();
            let kept = elements.into_iter().filter_map(|element| {
                let Some(edge) = edge_of(&element) else { return Some(element) };
                if is_gone(&edge) {
                    return None;
                }
                let last = last.below(&edge).unwrap_or(&nothing);
                Some(pruned(element, last, &below(new, &edge), &below(others, &edge)))
            });
            Value::Array(kept.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value
        }
    }
}
