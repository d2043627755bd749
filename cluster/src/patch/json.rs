//! JSON patches: RFC 6902, with the pointers of RFC 6901.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{JsonOp, PatchError, invalid, is_same_json};

pub(super) fn apply(operations: &[JsonOp], mut document: Value) -> Result<Value, PatchError> {
    for operation in operations {
        match operation {
            JsonOp::Add { path, value } => add(&mut document, path, value.clone())?,
            JsonOp::Remove { path } => {
                remove(&mut document, path)?;
            }
            JsonOp::Replace { path, value } => replace(&mut document, path, value.clone())?,
            JsonOp::Move { from, path } => {
                if path.strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
                    return Err(invalid(path, "a value cannot move into itself"));
                }
                let value = remove(&mut document, from)?;
                add(&mut document, path, value)?;
            }
            JsonOp::Copy { from, path } => {
                let value = find_mut(&mut document, from)?.clone();
                add(&mut document, path, value)?;
            }
            JsonOp::Test { path, value } => test(&mut document, path, value)?,
        }
    }
    Ok(document)
}

pub(super) fn changed_pointers(operations: &[JsonOp], pointers: &mut BTreeSet<String>) {
    for operation in operations {
        match operation {
            JsonOp::Add { path, .. }
            | JsonOp::Remove { path }
            | JsonOp::Replace { path, .. }
            | JsonOp::Copy { path, .. } => {
                pointers.insert(path.clone());
            }
            JsonOp::Move { from, path } => {
                pointers.insert(from.clone());
                pointers.insert(path.clone());
            }
            JsonOp::Test { .. } => {}
        }
    }
}

/// Returns the top-level fields that the operations read or write; `None` if an operation affects the whole object.
pub(super) fn fields(operations: &[JsonOp]) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for operation in operations {
        let pointers: [Option<&String>; 2] = match operation {
            JsonOp::Move { from, path } | JsonOp::Copy { from, path } => [Some(from), Some(path)],
            JsonOp::Add { path, .. }
            | JsonOp::Remove { path }
            | JsonOp::Replace { path, .. }
            | JsonOp::Test { path, .. } => [Some(path), None],
        };
        for pointer in pointers.into_iter().flatten() {
            // `apply` rejects an invalid pointer.
            names.insert(members(pointer).ok()?.into_iter().next()?);
        }
    }
    Some(names)
}

/// Splits a pointer into its unescaped members.
fn members(pointer: &str) -> Result<Vec<String>, PatchError> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer
        .strip_prefix('/')
        .ok_or_else(|| invalid(pointer, "a JSON pointer has to start with `/`"))?;
    rest.split('/')
        .map(|member| {
            let mut escapes =
                member.match_indices('~').map(|(at, _)| member.as_bytes().get(at + 1));
            if escapes.any(|next| !matches!(next, Some(b'0' | b'1'))) {
                return Err(invalid(pointer, "`~` is only allowed in the escapes `~0` and `~1`"));
            }
            Ok(member.replace("~1", "/").replace("~0", "~"))
        })
        .collect()
}

/// Parses a member as a list index: digits without leading zeros, at most `last`.
fn index(member: &str, last: usize, pointer: &str) -> Result<usize, PatchError> {
    let is_number = !member.is_empty()
        && member.bytes().all(|byte| byte.is_ascii_digit())
        && (member == "0" || !member.starts_with('0'));
    if !is_number {
        return Err(invalid(pointer, &format!("`{member}` is not a list index")));
    }
    match member.parse::<usize>() {
        Ok(index) if index <= last => Ok(index),
        Ok(_) | Err(_) => {
            Err(invalid(pointer, &format!("index {member} is beyond the end of the list")))
        }
    }
}

fn descend<'a>(
    value: &'a mut Value,
    member: &str,
    pointer: &str,
) -> Result<&'a mut Value, PatchError> {
    match value {
        Value::Object(map) => map
            .get_mut(member)
            .ok_or_else(|| invalid(pointer, &format!("`{member}` does not exist"))),
        Value::Array(items) => {
            let last =
                items.len().checked_sub(1).ok_or_else(|| invalid(pointer, "the list is empty"))?;
            let index = index(member, last, pointer)?;
            Ok(&mut items[index])
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(invalid(pointer, &format!("the parent of `{member}` is not an object or list")))
        }
    }
}

fn find_mut<'a>(document: &'a mut Value, pointer: &str) -> Result<&'a mut Value, PatchError> {
    members(pointer)?.iter().try_fold(document, |value, member| descend(value, member, pointer))
}

/// Returns the parent value of the last member of `pointer`, and that member; `None` for the whole document.
fn parent<'a>(
    document: &'a mut Value,
    pointer: &str,
) -> Result<Option<(&'a mut Value, String)>, PatchError> {
    let mut members = members(pointer)?;
    let Some(last) = members.pop() else { return Ok(None) };
    let parent_value =
        members.iter().try_fold(document, |value, member| descend(value, member, pointer))?;
    Ok(Some((parent_value, last)))
}

fn add(document: &mut Value, pointer: &str, value: Value) -> Result<(), PatchError> {
    let Some((parent_value, member)) = parent(document, pointer)? else {
        *document = value;
        return Ok(());
    };
    match parent_value {
        Value::Object(map) => {
            map.insert(member, value);
        }
        Value::Array(items) if member == "-" => items.push(value),
        Value::Array(items) => {
            let index = index(&member, items.len(), pointer)?;
            items.insert(index, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(invalid(
                pointer,
                &format!("the parent of `{member}` is not an object or list"),
            ));
        }
    }
    Ok(())
}

/// Replaces a value. A missing member of an object is set, as the Kubernetes API server does (the RFC requires an error);
/// a missing list element is an error.
fn replace(document: &mut Value, pointer: &str, value: Value) -> Result<(), PatchError> {
    match parent(document, pointer)? {
        Some((Value::Object(map), member)) => drop(map.insert(member, value)),
        Some(_) | None => *find_mut(document, pointer)? = value,
    }
    Ok(())
}

fn remove(document: &mut Value, pointer: &str) -> Result<Value, PatchError> {
    let Some((parent_value, member)) = parent(document, pointer)? else {
        return Err(invalid(pointer, "the whole object cannot be removed"));
    };
    // Fails if the member does not exist.
    descend(parent_value, &member, pointer)?;
    let removed = match parent_value {
        Value::Object(map) => map.remove(&member),
        Value::Array(items) => Some(items.remove(index(&member, items.len(), pointer)?)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    removed.ok_or_else(|| invalid(pointer, &format!("`{member}` does not exist")))
}

fn test(document: &mut Value, pointer: &str, expected: &Value) -> Result<(), PatchError> {
    members(pointer)?; // An invalid pointer is an invalid patch, not a failed test.
    let found = find_mut(document, pointer).ok();
    if found.as_ref().is_some_and(|found| is_same_json(found, expected)) {
        return Ok(());
    }
    let found = found.map_or_else(|| "nothing".to_string(), |value| value.to_string());
    Err(PatchError::TestFailed { path: pointer.into(), expected: expected.to_string(), found })
}
