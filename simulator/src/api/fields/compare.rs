use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{FieldSet, Topology, edge, is_fixed, topology};

/// The differences between two values.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Changes {
    /// Fields that were added or modified.
    pub(in crate::api) changed: FieldSet,
    /// Fields that were removed.
    pub(in crate::api) removed: FieldSet,
}

impl Changes {
    pub(in crate::api) fn between(before: &Value, after: &Value) -> Self {
        let mut changes = Self::default();
        compare(
            Some(before),
            Some(after),
            &mut Vec::new(),
            &mut changes.changed,
            &mut changes.removed,
        );
        changes
    }
}

fn compare<'v>(
    before: Option<&'v Value>,
    after: Option<&'v Value>,
    path: &mut Vec<&'v str>,
    changed: &mut FieldSet,
    removed: &mut FieldSet,
) {
    let mut descend = |edge: String,
                       before: Option<&'v Value>,
                       after: Option<&'v Value>,
                       path: &mut Vec<&'v str>| {
        let (mut new, mut old) = (FieldSet::default(), FieldSet::default());
        compare(before, after, path, &mut new, &mut old);
        if !new.is_empty() {
            changed.children.insert(edge.clone(), new);
        }
        if !old.is_empty() {
            removed.children.insert(edge, old);
        }
    };
    let before = before.filter(|value| !value.is_null());
    let after = after.filter(|value| !value.is_null());
    match (before, after) {
        (None, None) => {}
        (None, Some(after)) => {
            changed.insert_value(after, path, true);
            changed.is_member |= after.is_object() && !path.is_empty() && !is_fixed(path);
        }
        (Some(before), None) => {
            removed.insert_value(before, path, true);
            removed.is_member |= before.is_object() && !path.is_empty();
        }
        (Some(before), Some(after)) if before == after => {}
        (Some(before), Some(after)) => match (topology(path, before), topology(path, after)) {
            (Topology::Map, Topology::Map) => {
                let (Value::Object(old), Value::Object(new)) = (before, after) else { return };
                let names: BTreeSet<&'v String> = old.keys().chain(new.keys()).collect();
                for name in names {
                    path.push(name);
                    descend(format!("f:{name}"), old.get(name), new.get(name), path);
                    path.pop();
                }
            }
            (Topology::AssociativeList(keys), Topology::AssociativeList(_)) => {
                let by_edge = |list: &'v Value| -> BTreeMap<String, &'v Value> {
                    let elements = list.as_array().into_iter().flatten();
                    elements.filter_map(|element| Some((edge(keys, element)?, element))).collect()
                };
                let (old, new) = (by_edge(before), by_edge(after));
                let edges: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for edge in edges {
                    descend(edge.clone(), old.get(edge).copied(), new.get(edge).copied(), path);
                }
            }
            (Topology::Set, Topology::Set) => {
                let edges = |list: &Value| -> Vec<String> {
                    list.as_array()
                        .into_iter()
                        .flatten()
                        .map(|element| format!("v:{element}"))
                        .collect()
                };
                let (old, new) = (edges(before), edges(after));
                let member = || FieldSet { is_member: true, children: BTreeMap::new() };
                changed.children.extend(
                    new.iter()
                        .filter(|edge| !old.contains(edge))
                        .map(|edge| (edge.clone(), member())),
                );
                removed.children.extend(
                    old.iter()
                        .filter(|edge| !new.contains(edge))
                        .map(|edge| (edge.clone(), member())),
                );
            }
            (
                Topology::Atomic | Topology::Map | Topology::AssociativeList(_) | Topology::Set,
                _,
            ) => changed.is_member = true,
        },
    }
}
