//! Sets of fields, as server-side apply knows them, and how the values of a kind are made up of fields.
//!
//! # Source
//! `sigs.k8s.io/structured-merge-diff`; Kubernetes, "Server-Side Apply", sig-api-machinery.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A set of fields: a tree whose edges are named as in `fieldsV1` (`f:spec`, `k:{"name":"main"}`, `v:"x"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    is_member: bool,
    below: BTreeMap<String, FieldSet>,
}

/// How a value is made up of fields that may have owners of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    /// One value, however large.
    Atomic,
    /// Members, or elements without a key of their own: told apart by their names.
    Members,
    /// A list whose elements are told apart by these members.
    Keyed(&'static [&'static str]),
    /// A list of plain values, each once.
    Set,
}

/// What is different between two values.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Fields that are new or have another value.
    pub(super) changed: FieldSet,
    /// Fields that are gone.
    pub(super) removed: FieldSet,
}

/// How the value at `path` is made up: names of fields from the top, without those of elements.
fn make(path: &[&str], value: &Value) -> Make {
    let (name, above) = path.split_last().map_or(("", path), |(name, above)| (*name, above));
    let parent = above.last().copied().unwrap_or_default();
    let is_in_container = matches!(parent, "containers" | "initContainers" | "ephemeralContainers");
    match value {
        Value::Object(_) => match name {
            // Selectors of labels, references and the like are replaced as one.
            "selector" | "nodeSelector" | "labelSelector" | "namespaceSelector" | "podSelector"
            | "roleRef" | "involvedObject" | "targetRef" | "configMapKeyRef" | "secretKeyRef"
            | "fieldRef" | "resourceFieldRef" | "claimRef" | "scaleTargetRef" => Make::Atomic,
            _ => Make::Members,
        },
        Value::Array(_) => match name {
            "containers" | "initContainers" | "ephemeralContainers" => Make::Keyed(&["name"]),
            "env" | "resizePolicy" if is_in_container => {
                Make::Keyed(if name == "env" { &["name"] } else { &["resourceName"] })
            }
            "volumeMounts" if is_in_container => Make::Keyed(&["mountPath"]),
            "volumeDevices" if is_in_container => Make::Keyed(&["devicePath"]),
            "ports" if is_in_container => Make::Keyed(&["containerPort", "protocol"]),
            "ports" if above == ["spec"] => Make::Keyed(&["port", "protocol"]),
            "volumes" | "imagePullSecrets" | "schedulingGates" | "resourceClaims"
                if parent == "spec" =>
            {
                Make::Keyed(&["name"])
            }
            "imagePullSecrets" | "secrets" | "webhooks" if above.is_empty() => {
                Make::Keyed(&["name"])
            }
            "hostAliases" if parent == "spec" => Make::Keyed(&["ip"]),
            "topologySpreadConstraints" if parent == "spec" => {
                Make::Keyed(&["topologyKey", "whenUnsatisfiable"])
            }
            "conditions" if above == ["status"] => Make::Keyed(&["type"]),
            "addresses" if above == ["status"] => Make::Keyed(&["type"]),
            "podIPs" | "hostIPs" if above == ["status"] => Make::Keyed(&["ip"]),
            "ownerReferences" if parent == "metadata" => Make::Keyed(&["uid"]),
            "finalizers" if parent == "metadata" => Make::Set,
            _ => Make::Atomic,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Make::Atomic,
    }
}

/// Parts that every object of a kind has, so that nobody comes to own them by making them.
fn is_fixed(path: &[&str]) -> bool {
    matches!(
        path,
        ["metadata" | "spec" | "status"]
            | ["spec", "strategy" | "template" | "updateStrategy"]
            | ["spec", "template", "metadata" | "spec"]
            | ["spec", "jobTemplate", ..]
    )
}

/// The edge of an element in a list that is told apart by `keys`; none where it lacks them all.
fn edge(keys: &[&str], element: &Value) -> Option<String> {
    let mut found = Map::new();
    for key in keys {
        let value = element.get(key).filter(|value| !value.is_null()).cloned();
        // The one key with a default that Kubernetes fills in before it looks.
        let value = value.or_else(|| (*key == "protocol").then(|| json!("TCP")));
        found.insert((*key).into(), value?);
    }
    Some(format!("k:{}", Value::Object(found)))
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
                for element in elements {
                    let Some(edge) = edge(keys, element) else { continue };
                    let below = self.below.entry(edge).or_default();
                    below.is_member = true;
                    below.insert_below(element, path, is_new);
                }
            }
            (Make::Set, Value::Array(elements)) => {
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

impl Changes {
    pub(super) fn between(before: &Value, after: &Value) -> Self {
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
        let (mut now, mut then) = (FieldSet::default(), FieldSet::default());
        compare(before, after, path, &mut now, &mut then);
        if !now.is_empty() {
            changed.below.insert(edge.clone(), now);
        }
        if !then.is_empty() {
            removed.below.insert(edge, then);
        }
    };
    let before = before.filter(|value| !value.is_null());
    let after = after.filter(|value| !value.is_null());
    match (before, after) {
        (None, None) => {}
        (None, Some(after)) => {
            changed.insert_below(after, path, true);
            changed.is_member |= after.is_object() && !path.is_empty() && !is_fixed(path);
        }
        (Some(before), None) => {
            removed.insert_below(before, path, true);
            removed.is_member |= before.is_object() && !path.is_empty();
        }
        (Some(before), Some(after)) if before == after => {}
        (Some(before), Some(after)) => match (make(path, before), make(path, after)) {
            (Make::Members, Make::Members) => {
                let (Value::Object(old), Value::Object(new)) = (before, after) else { return };
                let names: std::collections::BTreeSet<&'v String> =
                    old.keys().chain(new.keys()).collect();
                for name in names {
                    path.push(name);
                    descend(format!("f:{name}"), old.get(name), new.get(name), path);
                    path.pop();
                }
            }
            (Make::Keyed(keys), Make::Keyed(_)) => {
                let by_edge = |list: &'v Value| -> BTreeMap<String, &'v Value> {
                    let elements = list.as_array().into_iter().flatten();
                    elements.filter_map(|element| Some((edge(keys, element)?, element))).collect()
                };
                let (old, new) = (by_edge(before), by_edge(after));
                let edges: std::collections::BTreeSet<&String> =
                    old.keys().chain(new.keys()).collect();
                for edge in edges {
                    descend(edge.clone(), old.get(edge).copied(), new.get(edge).copied(), path);
                }
            }
            (Make::Set, Make::Set) => {
                let edges = |list: &Value| -> Vec<String> {
                    list.as_array()
                        .into_iter()
                        .flatten()
                        .map(|element| format!("v:{element}"))
                        .collect()
                };
                let (old, new) = (edges(before), edges(after));
                let member = || FieldSet { is_member: true, below: BTreeMap::new() };
                changed.below.extend(
                    new.iter()
                        .filter(|edge| !old.contains(edge))
                        .map(|edge| (edge.clone(), member())),
                );
                removed.below.extend(
                    old.iter()
                        .filter(|edge| !new.contains(edge))
                        .map(|edge| (edge.clone(), member())),
                );
            }
            (Make::Atomic | Make::Members | Make::Keyed(_) | Make::Set, _) => {
                changed.is_member = true
            }
        },
    }
}

/// `live` with `applied` laid over it: what both have, and where they differ, what is applied.
pub(super) fn merged<'v>(live: Value, applied: &'v Value, path: &mut Vec<&'v str>) -> Value {
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
pub(super) fn pruned(value: Value, last: &FieldSet, new: &FieldSet, others: &FieldSet) -> Value {
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

/// Whether an edge names this element of a list.
fn is_named(edge: &str, element: &Value) -> bool {
    if let Some(value) = edge.strip_prefix("v:") {
        return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *element);
    }
    let Some(keys) = edge.strip_prefix("k:") else { return false };
    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
    !keys.is_empty()
        && keys.iter().all(|(key, value)| match element.get(key) {
            Some(found) => found == value,
            None => key == "protocol" && value == "TCP",
        })
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
