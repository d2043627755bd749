//! Sets of fields for server-side apply, and the topology of values.
//!
//! # Source
//! `sigs.k8s.io/structured-merge-diff`; Kubernetes, "Server-Side Apply", sig-api-machinery.

mod compare;
mod merge;
mod topology;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub(super) use compare::Changes;
pub(super) use merge::{merge, prune};
use topology::{Topology, edge, is_fixed, topology};

/// A set of fields: a tree whose edges are named as in `fieldsV1` (`f:spec`, `k:{"name":"main"}`, `v:"x"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    is_member: bool,
    children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// Returns the fields of `value`. With `is_new`, the set also contains the maps and lists that creating the value creates.
    pub(super) fn of(value: &Value, is_new: bool) -> Self {
        let mut set = Self::default();
        set.insert_value(value, &mut Vec::new(), is_new);
        set
    }

    fn insert_value<'v>(&mut self, value: &'v Value, path: &mut Vec<&'v str>, is_new: bool) {
        match (topology(path, value), value) {
            (Topology::Map, Value::Object(members)) => {
                for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                    path.push(name);
                    let children = self.children.entry(format!("f:{name}")).or_default();
                    children.insert_value(member, path, is_new);
                    let is_empty = member.as_object().is_some_and(Map::is_empty);
                    let is_free = matches!(
                        path[..path.len() - 1],
                        [
                            ..,
                            "labels"
                                | "annotations"
                                | "data"
                                | "binaryData"
                                | "stringData"
                                | "limits"
                                | "requests"
                                | "hard"
                                | "used"
                        ]
                    );
                    let is_created = is_new && member.is_object() && !is_fixed(path);
                    children.is_member |= is_empty || is_free || is_created;
                    path.pop();
                }
            }
            (Topology::AssociativeList(keys), Value::Array(elements)) => {
                // Every pod has a list of containers, so creating the list does not make a manager its owner.
                self.is_member |= is_new && path.last() != Some(&"containers");
                for element in elements {
                    let Some(edge) = edge(keys, element) else { continue };
                    let children = self.children.entry(edge).or_default();
                    children.is_member = true;
                    children.insert_value(element, path, is_new);
                }
            }
            (Topology::Set, Value::Array(elements)) => {
                self.is_member |= is_new;
                for element in elements {
                    self.children.entry(format!("v:{element}")).or_default().is_member = true;
                }
            }
            (
                Topology::Atomic | Topology::Map | Topology::AssociativeList(_) | Topology::Set,
                _,
            ) => self.is_member = true,
        }
        self.children.retain(|_, children| !children.is_empty());
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_member && self.children.is_empty()
    }

    /// Returns the subtree at an edge.
    pub(super) fn child(&self, edge: &str) -> Option<&Self> {
        self.children.get(edge)
    }

    /// Returns the set without the subtrees at `paths`. Each path starts at the root.
    pub(super) fn without(mut self, paths: &[&[&str]]) -> Self {
        for path in paths {
            self.drop(path);
        }
        self
    }

    fn drop(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.children.remove(*first);
        } else if let Some(children) = self.children.get_mut(*first) {
            children.drop(rest);
            if children.is_empty() {
                self.children.remove(*first);
            }
        }
    }

    /// Splits the set into the subtree at one edge of the root, and the rest.
    pub(super) fn split(mut self, edge: &str) -> (Self, Self) {
        let mut part = Self::default();
        if let Some(children) = self.children.remove(edge) {
            part.children.insert(edge.into(), children);
        }
        (part, self)
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.is_member |= other.is_member;
        for (edge, children) in &other.children {
            let union =
                all.children.get(edge).map_or_else(|| children.clone(), |own| own.union(children));
            all.children.insert(edge.clone(), union);
        }
        all
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(edge, children)| {
            let rest = other
                .children
                .get(edge)
                .map_or_else(|| children.clone(), |other| children.difference(other));
            (!rest.is_empty()).then(|| (edge.clone(), rest))
        });
        Self { is_member: self.is_member && !other.is_member, children: children.collect() }
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(edge, children)| {
            let both = children.intersection(other.children.get(edge)?);
            (!both.is_empty()).then(|| (edge.clone(), both))
        });
        Self { is_member: self.is_member && other.is_member, children: children.collect() }
    }

    /// Returns the fields in the notation of conflict messages: `.spec.template.spec.containers[name="main"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths(String::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, here: String, paths: &mut Vec<String>) {
        if self.is_member {
            paths.push(here.clone());
        }
        for (edge, children) in &self.children {
            children.collect_paths(format!("{here}{}", describe_edge(edge)), paths);
        }
    }

    /// Serializes the set as `fieldsV1`.
    pub(super) fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        if self.is_member && !self.children.is_empty() {
            map.insert(".".into(), json!({}));
        }
        map.extend(
            self.children.iter().map(|(edge, children)| (edge.clone(), children.to_fields_v1())),
        );
        map.into()
    }

    /// Parses `fieldsV1`.
    pub(super) fn from_fields_v1(value: &Value) -> Self {
        let members = value.as_object().into_iter().flatten();
        let children: BTreeMap<String, Self> = members
            .filter(|(edge, _)| *edge != ".")
            .map(|(edge, children)| (edge.clone(), Self::from_fields_v1(children)))
            .collect();
        Self { is_member: children.is_empty() || value.get(".").is_some(), children }
    }
}

fn describe_edge(edge: &str) -> String {
    match edge.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("v:", value)) => format!("[={value}]"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> =
                keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some(_) | None => edge.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_set_paths_match_kubernetes_notation() {
        let value = json!({
            "metadata": {"labels": {"app": "x"}, "finalizers": ["a/b"]},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}},
                "template": {"spec": {"containers": [{"name": "main", "image": "i", "ports": [{"containerPort": 80}]}]}}},
        });
        let set = FieldSet::of(&value, false);
        assert_eq!(
            set.paths(),
            [
                ".metadata.finalizers[=\"a/b\"]",
                ".metadata.labels.app",
                ".spec.replicas",
                ".spec.selector",
                ".spec.template.spec.containers[name=\"main\"]",
                ".spec.template.spec.containers[name=\"main\"].image",
                ".spec.template.spec.containers[name=\"main\"].name",
                ".spec.template.spec.containers[name=\"main\"].ports[containerPort=80,protocol=\"TCP\"]",
                ".spec.template.spec.containers[name=\"main\"].ports[containerPort=80,protocol=\"TCP\"].containerPort",
            ]
        );
        assert_eq!(FieldSet::from_fields_v1(&set.to_fields_v1()), set);
    }

    #[test]
    fn changes_contain_added_modified_and_removed_fields() {
        let changes = Changes::between(
            &json!({"data": {"a": "1", "b": "2"}}),
            &json!({"data": {"a": "9", "c": "3"}, "spec": {"x": 1}}),
        );
        assert_eq!(changes.changed.paths(), [".data.a", ".data.c", ".spec.x"]);
        assert_eq!(changes.removed.paths(), [".data.b"]);
    }

    #[test]
    fn prune_removes_unapplied_fields_without_other_owner() {
        let set = |value: Value| FieldSet::of(&value, false);
        let live = json!({"data": {"a": "1", "b": "2", "c": "3"}});
        let previous = set(json!({"data": {"a": "1", "b": "2"}}));
        let new = set(json!({"data": {"a": "1"}}));
        assert_eq!(
            prune(live.clone(), &previous, &new, &FieldSet::default()),
            json!({"data": {"a": "1", "c": "3"}})
        );
        assert_eq!(prune(live.clone(), &previous, &new, &set(json!({"data": {"b": "x"}}))), live);
    }
}
