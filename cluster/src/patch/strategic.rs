//! Strategic merge patches for the built-in kinds of Kubernetes.
//!
//! Lists of named elements are merged by a key that depends on the field. [`list_merge`] contains these keys, which
//! Kubernetes defines by struct tags. All other lists are replaced. Supported directives: `$patch: replace | delete |
//! merge`, `$retainKeys`, `$deleteFromPrimitiveList/…` and `$setElementOrder/…`.
//!
//! # Source
//! Kubernetes, "Strategic Merge Patch", sig-api-machinery; `k8s.io/apimachinery/pkg/util/strategicpatch`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{PatchError, child_pointer, invalid, is_same_json};
use crate::Kind;

/// The merge strategy of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListMerge {
    /// Elements are identified by this member and merged.
    ByKey(&'static str),
    /// Primitive values are merged as a set.
    Set,
    /// The list is replaced (atomic).
    Atomic,
}

/// Returns the merge strategy of the list at `path` (field names from the root, without list indexes).
pub(crate) fn list_merge(path: &[&str]) -> ListMerge {
    let Some((name, parents)) = path.split_last() else { return ListMerge::Atomic };
    let is_in_container =
        matches!(parents.last(), Some(&("containers" | "initContainers" | "ephemeralContainers")));
    match *name {
        "containers" | "initContainers" | "ephemeralContainers" => ListMerge::ByKey("name"),
        "env" if is_in_container => ListMerge::ByKey("name"),
        "volumeMounts" if is_in_container => ListMerge::ByKey("mountPath"),
        "volumeDevices" if is_in_container => ListMerge::ByKey("devicePath"),
        "ports" if is_in_container => ListMerge::ByKey("containerPort"),
        // Only a Service has ports directly in its spec.
        "ports" if parents == ["spec"] => ListMerge::ByKey("port"),
        "volumes" | "imagePullSecrets" | "schedulingGates" if parents.last() == Some(&"spec") => {
            ListMerge::ByKey("name")
        }
        "resourceClaims" if parents.last() == Some(&"spec") => ListMerge::ByKey("name"),
        "hostAliases" if parents.last() == Some(&"spec") => ListMerge::ByKey("ip"),
        "topologySpreadConstraints" if parents.last() == Some(&"spec") => {
            ListMerge::ByKey("topologyKey")
        }
        "conditions" if parents == ["status"] => ListMerge::ByKey("type"),
        "addresses" if parents == ["status"] => ListMerge::ByKey("type"),
        "podIPs" if parents == ["status"] => ListMerge::ByKey("ip"),
        "ownerReferences" if parents.last() == Some(&"metadata") => ListMerge::ByKey("uid"),
        "finalizers" if parents.last() == Some(&"metadata") => ListMerge::Set,
        // Fields of a ServiceAccount and of the two webhook configurations.
        "secrets" | "imagePullSecrets" | "webhooks" if parents.is_empty() => {
            ListMerge::ByKey("name")
        }
        _ => ListMerge::Atomic,
    }
}

pub(super) fn apply(
    patch: &Value,
    kind: &Kind,
    document: Map<String, Value>,
) -> Result<Value, PatchError> {
    if Kind::builtin(&kind.kind).as_ref() != Some(kind) {
        return Err(invalid(
            "",
            &format!("strategic merge patches support built-in kinds only, not {}", kind.kind),
        ));
    }
    let Value::Object(patch) = patch else {
        return Err(invalid("", "a strategic merge patch has to be an object"));
    };
    Ok(Value::Object(merge_map(patch, document, &mut Vec::new())?))
}

/// Returns the JSON pointer of the path, for error messages.
fn pointer_of(path: &[&str]) -> String {
    path.iter().fold(String::new(), |pointer, member| child_pointer(&pointer, member))
}

fn merge_map<'p>(
    patch: &'p Map<String, Value>,
    document: Map<String, Value>,
    path: &mut Vec<&'p str>,
) -> Result<Map<String, Value>, PatchError> {
    let mut map = match patch.get("$patch").map(|directive| directive.as_str().unwrap_or_default())
    {
        None | Some("merge") => document,
        Some("replace") => Map::new(),
        Some("delete") => return Ok(Map::new()),
        Some(other) => {
            return Err(invalid(
                &pointer_of(path),
                &format!("`$patch: {other}` is invalid: expected replace, delete or merge"),
            ));
        }
    };
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        map.retain(|name, _| kept.iter().any(|keep| keep == name.as_str()));
    }
    for (name, change) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        if change.is_null() {
            map.remove(name);
            continue;
        }
        let old = map.remove(name);
        path.push(name);
        let new = match (change, old) {
            (Value::Object(change), Some(Value::Object(old))) => {
                Value::Object(merge_map(change, old, path)?)
            }
            (Value::Object(change), _) => Value::Object(merge_map(change, Map::new(), path)?),
            (Value::Array(change), Some(Value::Array(old))) => {
                Value::Array(merge_list(change, old, order(patch, name), path)?)
            }
            (Value::Array(change), _) => {
                Value::Array(merge_list(change, Vec::new(), order(patch, name), path)?)
            }
            (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => {
                change.clone()
            }
        };
        path.pop();
        map.insert(name.clone(), new);
    }
    for (name, deleted) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/")
            && let (Some(Value::Array(items)), Value::Array(deleted)) = (map.get_mut(list), deleted)
        {
            items.retain(|item| !deleted.iter().any(|deleted| is_same_json(deleted, item)));
        }
    }
    Ok(map)
}

/// Returns the element order that the patch requests for the list `name`.
fn order<'p>(patch: &'p Map<String, Value>, name: &str) -> Option<&'p Vec<Value>> {
    patch.get(&format!("$setElementOrder/{name}"))?.as_array()
}

fn merge_list<'p>(
    patch: &'p [Value],
    document: Vec<Value>,
    order: Option<&Vec<Value>>,
    path: &mut Vec<&'p str>,
) -> Result<Vec<Value>, PatchError> {
    match list_merge(path) {
        ListMerge::Atomic => Ok(patch.to_vec()),
        ListMerge::Set => {
            let mut items = document;
            for item in patch {
                if !items.iter().any(|old| is_same_json(old, item)) {
                    items.push(item.clone());
                }
            }
            Ok(items)
        }
        ListMerge::ByKey(key) => merge_named(patch, document, order, key, path),
    }
}

fn merge_named<'p>(
    patch: &'p [Value],
    document: Vec<Value>,
    order: Option<&Vec<Value>>,
    key: &str,
    path: &mut Vec<&'p str>,
) -> Result<Vec<Value>, PatchError> {
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_string);
    let is_replaced = patch
        .iter()
        .any(|item| directive(item).as_deref() == Some("replace") && item.get(key).is_none());
    let server_order: Vec<Value> =
        document.iter().filter_map(|item| item.get(key).cloned()).collect();
    let mut items = if is_replaced { Vec::new() } else { document };
    let mut patch_order = Vec::new();
    for change in patch {
        let Value::Object(change) = change else {
            return Err(invalid(
                &pointer_of(path),
                &format!("a list element is not an object with a `{key}`"),
            ));
        };
        let Some(name) = change.get(key) else {
            if is_replaced && change.contains_key("$patch") {
                continue;
            }
            return Err(invalid(&pointer_of(path), &format!("a list element has no `{key}`")));
        };
        let at = items
            .iter()
            .position(|item| item.get(key).is_some_and(|found| is_same_json(found, name)));
        if change.get("$patch").and_then(Value::as_str) == Some("delete") {
            items.retain(|item| !item.get(key).is_some_and(|found| is_same_json(found, name)));
            continue;
        }
        let old = match at {
            Some(at) => items[at].take(),
            None => Value::Null,
        };
        let old = match old {
            Value::Object(old) => old,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        let new = Value::Object(merge_map(change, old, path)?);
        match at {
            Some(at) => items[at] = new,
            None => items.push(new),
        }
        patch_order.push(name.clone());
    }
    if let Some(order) = order {
        patch_order = order.iter().filter_map(|item| item.get(key).cloned()).collect();
    }
    Ok(arrange(items, key, &patch_order, &server_order))
}

/// Orders merged elements as the API server does: elements of the patch keep the order of the patch, all others their
/// previous order. The two sequences are merged by the previous order; if one element of a pair is new, the element of the
/// patch comes first.
fn arrange(
    items: Vec<Value>,
    key: &str,
    patch_order: &[Value],
    server_order: &[Value],
) -> Vec<Value> {
    let rank = |item: &Value, order: &[Value]| {
        item.get(key).and_then(|name| order.iter().position(|other| is_same_json(other, name)))
    };
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| rank(item, patch_order).is_some());
    named.sort_by_key(|item| rank(item, patch_order));
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(left), Some(right)) = (named.peek(), others.peek()) {
        let is_right_first = match (rank(left, server_order), rank(right, server_order)) {
            (Some(left), Some(right)) => right < left,
            (Some(_) | None, Some(_) | None) => false,
        };
        arranged.extend(if is_right_first { others.next() } else { named.next() });
    }
    arranged.extend(named.chain(others));
    arranged
}

pub(super) fn changed_pointers(patch: &Value, pointers: &mut BTreeSet<String>) {
    if let Value::Object(map) = patch {
        changed_in_map(map, "", &mut Vec::new(), pointers);
    }
}

fn changed_in_map<'p>(
    map: &'p Map<String, Value>,
    pointer: &str,
    path: &mut Vec<&'p str>,
    pointers: &mut BTreeSet<String>,
) {
    let is_whole = map.contains_key("$retainKeys")
        || map.get("$patch").is_some_and(|directive| directive != "merge");
    if is_whole || (map.is_empty() && !pointer.is_empty()) {
        pointers.insert(pointer.into());
        return;
    }
    for (name, change) in map {
        if let Some(list) = name
            .strip_prefix("$deleteFromPrimitiveList/")
            .or_else(|| name.strip_prefix("$setElementOrder/"))
        {
            if name.starts_with("$delete") {
                pointers.insert(child_pointer(pointer, list));
            }
            continue;
        }
        path.push(name);
        let here = child_pointer(pointer, name);
        match (change, list_merge(path)) {
            (Value::Object(change), _) => changed_in_map(change, &here, path, pointers),
            (Value::Array(items), ListMerge::ByKey(key)) => {
                changed_in_list(items, key, &here, path, pointers)
            }
            (
                Value::Array(_)
                | Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_),
                _,
            ) => {
                pointers.insert(here);
            }
        }
        path.pop();
    }
}

fn changed_in_list<'p>(
    items: &'p [Value],
    key: &str,
    pointer: &str,
    path: &mut Vec<&'p str>,
    pointers: &mut BTreeSet<String>,
) {
    for item in items {
        let (Value::Object(map), Some(name)) = (item, item.get(key)) else {
            pointers.insert(pointer.into());
            continue;
        };
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_string);
        let element = child_pointer(pointer, &format!("{key}={name}"));
        if map.len() == 1 {
            pointers.insert(element);
            continue;
        }
        let mut inner = BTreeSet::new();
        changed_in_map(map, &element, path, &mut inner);
        // The key only identifies the element and does not change.
        inner.remove(&child_pointer(&element, key));
        pointers.append(&mut inner);
    }
}
