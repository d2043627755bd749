//! Sets of fields, as server-side apply knows them, and how the values of a kind are made up of fields.
//!
//! # Source
//! `sigs.k8s.io/structured-merge-diff`; Kubernetes, "Server-Side Apply", sig-api-machinery.

mod compare;
mod make;
mod merge;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub(super) use compare::Changes;
use make::{Make, edge, is_fixed, make};
pub(super) use merge::{merged, pruned};

/// A set of fields: a tree whose edges are named as in `fieldsV1` (`f:spec`, `k:{"name":"main"}`, `v:"x"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    is_member: bool,
    below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// The fields that `value` has; with those that are made by making it, if `is_new`.
    pub(super) fn of(value: &Value, is_new: bool) -> Self {
        let mut set = Self::default();
        set.insert_below(value, &mut Vec::new(), is_new);
        set
    }

    fn insert_below<'v>(&mut self, value: &'v Value, path: &mut Vec<&'v str>, is_new: bool) {
        match (make(path, value), value) {
            (Make::Members, Value::Object(members)) => {
                for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                    path.push(name);
                    let below = self.below.entry(format!("f:{name}")).or_default();
                    below.insert_below(member, path, is_new);
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
                    let is_made = is_new && member.is_object() && !is_fixed(path);
                    below.is_member |= is_empty || is_free || is_made;
                    path.pop();
                }
            }
            (Make::Keyed(keys), Value::Array(elements)) => {
                // Every pod has a list of containers, so nobody comes to own it by making it.
                self.is_member |= is_new && path.last() != Some(&"containers");
                for element in elements {
                    let Some(edge) = edge(keys, element) else { continue };
                    let below = self.below.entry(edge).or_default();
                    below.is_member = true;
                    below.insert_below(element, path, is_new);
                }
            }
            (Make::Set, Value::Array(elements)) => {
                self.is_member |= is_new;
                for element in elements {
                    self.below.entry(format!("v:{element}")).or_default().is_member = true;
                }
            }
            (Make::Atomic | Make::Members | Make::Keyed(_) | Make::Set, _) => self.is_member = true,
        }
        self.below.retain(|_, below| !below.is_empty());
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }

    /// What is below an edge.
    pub(super) fn below(&self, edge: &str) -> Option<&Self> {
        self.below.get(edge)
    }

    /// Without what is below these edges, each a path from the top.
    pub(super) fn without(mut self, paths: &[&[&str]]) -> Self {
        for path in paths {
            self.drop(path);
        }
        self
    }

    fn drop(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.below.remove(*first);
        } else if let Some(below) = self.below.get_mut(*first) {
            below.drop(rest);
            if below.is_empty() {
                self.below.remove(*first);
            }
        }
    }

    /// The part below one edge of the top, and the rest.
    pub(super) fn split(mut self, edge: &str) -> (Self, Self) {
        let mut part = Self::default();
        if let Some(below) = self.below.remove(edge) {
            part.below.insert(edge.into(), below);
        }
        (part, self)
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.is_member |= other.is_member;
        for (edge, below) in &other.below {
            let joined = all.below.get(edge).map_or_else(|| below.clone(), |own| own.union(below));
            all.below.insert(edge.clone(), joined);
        }
        all
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        let below = self.below.iter().filter_map(|(edge, below)| {
            let rest = other
                .below
                .get(edge)
                .map_or_else(|| below.clone(), |other| below.difference(other));
            (!rest.is_empty()).then(|| (edge.clone(), rest))
        });
        Self { is_member: self.is_member && !other.is_member, below: below.collect() }
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let below = self.below.iter().filter_map(|(edge, below)| {
            let both = below.intersection(other.below.get(edge)?);
            (!both.is_empty()).then(|| (edge.clone(), both))
        });
        Self { is_member: self.is_member && other.is_member, below: below.collect() }
    }

    /// The fields as messages name them: `.spec.template.spec.containers[name="main"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.tell(String::new(), &mut paths);
        paths
    }

    fn tell(&self, here: String, paths: &mut Vec<String>) {
        if self.is_member {
            paths.push(here.clone());
        }
        for (edge, below) in &self.below {
            below.tell(format!("{here}{}", told(edge)), paths);
        }
    }

    /// As `fieldsV1`.
    pub(super) fn to_wire(&self) -> Value {
        let mut map = Map::new();
        if self.is_member && !self.below.is_empty() {
            map.insert(".".into(), json!({}));
        }
        map.extend(self.below.iter().map(|(edge, below)| (edge.clone(), below.to_wire())));
        map.into()
    }

    /// From `fieldsV1`.
    pub(super) fn from_wire(value: &Value) -> Self {
        let members = value.as_object().into_iter().flatten();
        let below: BTreeMap<String, Self> = members
            .filter(|(edge, _)| *edge != ".")
            .map(|(edge, below)| (edge.clone(), Self::from_wire(below)))
            .collect();
        Self { is_member: below.is_empty() || value.get(".").is_some(), below }
    }
}

fn told(edge: &str) -> String {
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
    fn the_fields_of_a_value_are_told_as_kubernetes_tells_them() {
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
        assert_eq!(FieldSet::from_wire(&set.to_wire()), set);
    }

    #[test]
    fn changes_name_what_is_new_other_or_gone() {
        let changes = Changes::between(
            &json!({"data": {"a": "1", "b": "2"}}),
            &json!({"data": {"a": "9", "c": "3"}, "spec": {"x": 1}}),
        );
        assert_eq!(changes.changed.paths(), [".data.a", ".data.c", ".spec.x"]);
        assert_eq!(changes.removed.paths(), [".data.b"]);
    }

    #[test]
    fn what_is_no_longer_applied_goes_unless_another_owns_it() {
        let set = |value: Value| FieldSet::of(&value, false);
        let live = json!({"data": {"a": "1", "b": "2", "c": "3"}});
        let last = set(json!({"data": {"a": "1", "b": "2"}}));
        let new = set(json!({"data": {"a": "1"}}));
        assert_eq!(
            pruned(live.clone(), &last, &new, &FieldSet::default()),
            json!({"data": {"a": "1", "c": "3"}})
        );
        assert_eq!(pruned(live.clone(), &last, &new, &set(json!({"data": {"b": "x"}}))), live);
    }
}
