//! Strategic merge patches, as far as Kubernetes' built-in kinds need them.
//!
//! Lists of named elements are merged by a key that belongs to the field; which key is a table here, as it is a table of
//! struct tags there. All other lists are replaced whole. Directives: `$patch: replace | delete | merge`, `$retainKeys`,
//! `$deleteFromPrimitiveList/…` and `$setElementOrder/…`.
//!
//! # Source
//! Kubernetes, "Strategic Merge Patch", sig-api-machinery; `k8s.io/apimachinery/pkg/util/strategicpatch`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{PatchRefused, below, invalid, is_same};
use crate::Kind;

/// How a list takes a patch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListMerge {
    /// Elements are told apart by this member.
    ByKey(&'static str),
    /// A set of plain values.
    Set,
    /// It is one value.
    Whole,
}

/// How the list in the field `path` (names of fields, from the top, without those of lists' elements) takes a patch.
pub(crate) fn list_merge(path: &[&str]) -> ListMerge {
    let Some((name, above)) = path.split_last() else { return ListMerge::Whole };
    let is_in_container =
        matches!(above.last(), Some(&("containers" | "initContainers" | "ephemeralContainers")));
    match *name {
        "containers" | "initContainers" | "ephemeralContainers" => ListMerge::ByKey("name"),
        "env" if is_in_container => ListMerge::ByKey("name"),
        "volumeMounts" if is_in_container => ListMerge::ByKey("mountPath"),
        "volumeDevices" if is_in_container => ListMerge::ByKey("devicePath"),
        "ports" if is_in_container => ListMerge::ByKey("containerPort"),
        // Only a Service has ports directly below its spec.
        "ports" if above == ["spec"] => ListMerge::ByKey("port"),
        "volumes" | "imagePullSecrets" | "schedulingGates" if above.last() == Some(&"spec") => {
            ListMerge::ByKey("name")
        }
        "resourceClaims" if above.last() == Some(&"spec") => ListMerge::ByKey("name"),
        "hostAliases" if above.last() == Some(&"spec") => ListMerge::ByKey("ip"),
        "topologySpreadConstraints" if above.last() == Some(&"spec") => {
            ListMerge::ByKey("topologyKey")
        }
        "conditions" if above == ["status"] => ListMerge::ByKey("type"),
        "addresses" if above == ["status"] => ListMerge::ByKey("type"),
        "podIPs" if above == ["status"] => ListMerge::ByKey("ip"),
        "ownerReferences" if above.last() == Some(&"metadata") => ListMerge::ByKey("uid"),
        "finalizers" if above.last() == Some(&"metadata") => ListMerge::Set,
        // Of a service account, and of the two configurations of webhooks.
        "secrets" | "imagePullSecrets" | "webhooks" if above.is_empty() => ListMerge::ByKey("name"),
        _ => ListMerge::Whole,
    }
}

pub(super) fn apply(
    patch: &Value,
    kind: &Kind,
    document: Map<String, Value>,
) -> Result<Value, PatchRefused> {
    if Kind::builtin(&kind.kind).as_ref() != Some(kind) {
        return Err(invalid(
            "",
            &format!("a strategic merge patch is only for built-in kinds, not for {}", kind.kind),
        ));
    }
    let Value::Object(patch) = patch else {
        return Err(invalid("", "a strategic merge patch is an object"));
    };
    Ok(Value::Object(merge_map(patch, document, &mut Vec::new())?))
}

/// Where we are, for messages.
fn pointer_of(path: &[&str]) -> String {
    path.iter().fold(String::new(), |pointer, member| below(&pointer, member))
}

fn merge_map<'p>(
    patch: &'p Map<String, Value>,
    document: Map<String, Value>,
    path: &mut Vec<&'p str>,
) -> Result<Map<String, Value>, PatchRefused> {
    let mut map = match patch.get("$patch").map(|directive| directive.as_str().unwrap_or_default())
    {
        None | Some("merge") => document,
        Some("replace") => Map::new(),
        Some("delete") => return Ok(Map::new()),
        Some(other) => {
            return Err(invalid(
                &pointer_of(path),
                &format!("`$patch: {other}` is none of replace, delete, merge"),
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
    for (name, gone) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/")
            && let (Some(Value::Array(items)), Value::Array(gone)) = (map.get_mut(list), gone)
        {
            items.retain(|item| !gone.iter().any(|gone| is_same(gone, item)));
        }
    }
    Ok(map)
}

/// The order that the patch asks for the list `name`.
fn order<'p>(patch: &'p Map<String, Value>, name: &str) -> Option<&'p Vec<Value>> {
    patch.get(&format!("$setElementOrder/{name}"))?.as_array()
}

fn merge_list<'p>(
    patch: &'p [Value],
    document: Vec<Value>,
    order: Option<&Vec<Value>>,
    path: &mut Vec<&'p str>,
) -> Result<Vec<Value>, PatchRefused> {
    match list_merge(path) {
        ListMerge::Whole => Ok(patch.to_vec()),
        ListMerge::Set => {
            let mut items = document;
            for item in patch {
                if !items.iter().any(|old| is_same(old, item)) {
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
) -> Result<Vec<Value>, PatchRefused> {
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
                &format!("an element is no object with a `{key}`"),
            ));
        };
        let Some(name) = change.get(key) else {
            if is_replaced && change.contains_key("$patch") {
                continue;
            }
            return Err(invalid(&pointer_of(path), &format!("an element has no `{key}`")));
        };
        let at =
            items.iter().position(|item| item.get(key).is_some_and(|found| is_same(found, name)));
        if change.get("$patch").and_then(Value::as_str) == Some("delete") {
            items.retain(|item| !item.get(key).is_some_and(|found| is_same(found, name)));
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

/// Orders merged elements as the API server does: those that the patch names in its order, the others in theirs; between
/// the two the old order decides, and where one of a pair is new, the patch's element comes first.
fn arrange(
    items: Vec<Value>,
    key: &str,
    patch_order: &[Value],
    server_order: &[Value],
) -> Vec<Value> {
    let rank = |item: &Value, order: &[Value]| {
        item.get(key).and_then(|name| order.iter().position(|other| is_same(other, name)))
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

pub(super) fn touched(patch: &Value, pointers: &mut BTreeSet<String>) {
    if let Value::Object(map) = patch {
        touched_map(map, "", &mut Vec::new(), pointers);
    }
}

fn touched_map<'p>(
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
                pointers.insert(below(pointer, list));
            }
            continue;
        }
        path.push(name);
        let here = below(pointer, name);
        match (change, list_merge(path)) {
            (Value::Object(change), _) => touched_map(change, &here, path, pointers),
            (Value::Array(items), ListMerge::ByKey(key)) => {
                touched_list(items, key, &here, path, pointers)
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

fn touched_list<'p>(
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
        let element = below(pointer, &format!("{key}={name}"));
        if map.len() == 1 {
            pointers.insert(element);
            continue;
        }
        let mut inner = BTreeSet::new();
        touched_map(map, &element, path, &mut inner);
        // The key itself only says which element is meant.
        inner.remove(&below(&element, key));
        pointers.append(&mut inner);
    }
}
