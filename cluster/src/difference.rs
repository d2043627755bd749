use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::patch::{ListMerge, child_pointer, is_same_json, list_merge};
use crate::{Object, ObjectRef, Quantity};

/// One difference between the desired states of two versions of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The object in its later version, or in the earlier version if it is deleted.
    pub object: ObjectRef,
    /// The change between the versions.
    pub change: ObjectChange,
}

/// A change of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "change")]
pub enum ObjectChange {
    /// The object was created.
    Created,
    /// The object was deleted.
    Deleted,
    /// One field of its desired state changed.
    Field {
        /// JSON pointer to the field. List indexes refer to the later version, or to the earlier version for a removed
        /// element.
        pointer: String,
        /// Path for display, with list elements by name: `spec.template.spec.containers[api].image`.
        path: String,
        /// Value in the earlier version; absent if the field was added.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
        /// Value in the later version; absent if the field was removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Value>,
    },
}

/// Annotations that controllers and tools maintain, or whose only effect is a restart of pods.
const IGNORED_ANNOTATIONS: [&str; 9] = [
    "control-plane.alpha.kubernetes.io/leader",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubectl.kubernetes.io/restartedAt",
    "kubernetes.io/change-cause",
];

/// Labels that controllers set.
const IGNORED_LABELS: [&str; 4] = [
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Maps whose members are reported one by one, even if the whole map was added or removed.
const FREE_FORM_MAPS: [&str; 12] = [
    "annotations",
    "binaryData",
    "data",
    "hard",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "requests",
    "resources",
    "selector",
    "stringData",
];

/// Maps from resource names to quantities, which have several notations for the same amount.
const QUANTITY_MAPS: [&str; 3] = ["hard", "limits", "requests"];

/// Compares the desired states of two versions of an object and returns each changed field, in a fixed order.
///
/// Labels, annotations and every top-level field (`spec`, `data`, `rules`, …) are compared. State that the cluster
/// maintains is ignored: the status, all other metadata, annotations and labels of controllers, and assigned addresses and
/// nodes; so is every change of kinds that only report state (Event, Endpoints, EndpointSlice, Lease). A null member
/// equals an absent one. Resource quantities are compared by amount.
///
/// Lists of named elements (containers, variables, volumes, ports, …) are compared by name, ignoring their order. Every
/// other list is compared as one value. Objects of the same name with different uids are compared like two versions of
/// one object.
pub fn difference(
    cluster: &str,
    before: Option<&Object>,
    after: Option<&Object>,
) -> Vec<Difference> {
    let (before, after) = match (before, after) {
        (None, None) => return Vec::new(),
        (None, Some(after)) => {
            return vec![Difference {
                object: after.reference(cluster),
                change: ObjectChange::Created,
            }];
        }
        (Some(before), None) => {
            return vec![Difference {
                object: before.reference(cluster),
                change: ObjectChange::Deleted,
            }];
        }
        (Some(before), Some(after)) => (before, after),
    };
    let is_reporting_kind =
        matches!(after.kind().kind.as_str(), "Event" | "Endpoints" | "EndpointSlice" | "Lease");
    if before.ptr_eq(after) || is_reporting_kind {
        return Vec::new();
    }
    let mut builder = DiffBuilder { kind: &after.kind().kind, changes: Vec::new() };
    let metadata = FieldPath::default().member("metadata");
    for (name, old, new) in [
        ("annotations", &before.metadata().annotations, &after.metadata().annotations),
        ("labels", &before.metadata().labels, &after.metadata().labels),
    ] {
        let path = metadata.member(name);
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let text = |map: &BTreeMap<String, String>| {
                map.get(key).map(|text| Value::from(text.as_str()))
            };
            builder.compare(&path.member(key), text(old).as_ref(), text(new).as_ref());
        }
    }
    for name in before.field_names().chain(after.field_names()).collect::<BTreeSet<_>>() {
        let (old, new) = (before.field(name), after.field(name));
        // Two versions often share their fields; shared fields are equal.
        let is_shared = matches!((old, new), (Some(old), Some(new)) if std::ptr::eq(old, new));
        if name != "status" && !is_shared {
            builder.compare(&FieldPath::default().member(name), old, new);
        }
    }
    let object = after.reference(cluster);
    builder
        .changes
        .into_iter()
        .map(|change| Difference { object: object.clone(), change })
        .collect()
}

/// The position of a value, in three notations.
#[derive(Clone, Default)]
struct FieldPath {
    /// Field names from the root, without list indexes.
    fields: Vec<String>,
    pointer: String,
    display: String,
}

impl FieldPath {
    fn member(&self, name: &str) -> Self {
        let mut fields = self.fields.clone();
        fields.push(name.into());
        let is_plain = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let display = match (self.display.as_str(), is_plain) {
            ("", _) => name.to_string(),
            (parent, true) => format!("{parent}.{name}"),
            (parent, false) => format!("{parent}[{}]", Value::from(name)),
        };
        Self { fields, pointer: child_pointer(&self.pointer, name), display }
    }

    fn element(&self, index: usize, name: &str) -> Self {
        Self {
            fields: self.fields.clone(),
            pointer: format!("{}/{index}", self.pointer),
            display: format!("{}[{name}]", self.display),
        }
    }

    /// Returns the name of the field and of its parent field.
    fn names(&self) -> (&str, &str) {
        match self.fields.as_slice() {
            [] => ("", ""),
            [name] => (name, ""),
            [.., parent, name] => (name, parent),
        }
    }
}

struct DiffBuilder<'a> {
    kind: &'a str,
    changes: Vec<ObjectChange>,
}

impl DiffBuilder<'_> {
    fn compare(&mut self, path: &FieldPath, before: Option<&Value>, after: Option<&Value>) {
        let (before, after) =
            (before.filter(|value| !value.is_null()), after.filter(|value| !value.is_null()));
        let is_equal = match (before, after) {
            (None, None) => true,
            (Some(before), Some(after)) => {
                is_same_json(before, after) || is_same_quantity(path, before, after)
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_equal || is_ignored(path) || is_assigned(self.kind, path, before, after) {
            return;
        }
        if let Some((before, after)) = map_pair(path, before, after) {
            for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                self.compare(&path.member(name), before.get(name), after.get(name));
            }
        } else if let Some((before, after)) = list_pair(path, before, after) {
            self.compare_lists(path, &before, &after);
        } else {
            self.changes.push(ObjectChange::Field {
                pointer: path.pointer.clone(),
                path: path.display.clone(),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }

    fn compare_lists(
        &mut self,
        path: &FieldPath,
        before: &[(String, &Value)],
        after: &[(String, &Value)],
    ) {
        // A single port whose number or name changed is compared as the same port.
        if path.names().0 == "ports" && before.len() == 1 && after.len() == 1 {
            return self.compare(
                &path.element(0, &after[0].0),
                Some(before[0].1),
                Some(after[0].1),
            );
        }
        let find = |list: &[(String, &Value)], name: &str| {
            list.iter().position(|(other, _)| other == name)
        };
        for (index, (name, new)) in after.iter().enumerate() {
            let old = find(before, name).map(|index| before[index].1);
            self.compare(&path.element(index, name), old, Some(new));
        }
        for (index, (name, old)) in before.iter().enumerate() {
            if find(after, name).is_none() {
                self.compare(&path.element(index, name), Some(old), None);
            }
        }
    }
}

type JsonMembers<'a> = Cow<'a, Map<String, Value>>;

/// Returns the members of both maps if both values are maps. An absent free-form map counts as empty.
fn map_pair<'a>(
    path: &FieldPath,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
) -> Option<(JsonMembers<'a>, JsonMembers<'a>)> {
    let empty = || Cow::Owned(Map::new());
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            Some((Cow::Borrowed(before), Cow::Borrowed(after)))
        }
        (Some(Value::Object(before)), None) if is_free_form(path) => {
            Some((Cow::Borrowed(before), empty()))
        }
        (None, Some(Value::Object(after))) if is_free_form(path) => {
            Some((empty(), Cow::Borrowed(after)))
        }
        _ => None,
    }
}

/// Returns whether the path is a map whose members are reported one by one; a list element is not.
fn is_free_form(path: &FieldPath) -> bool {
    FREE_FORM_MAPS.contains(&path.names().0) && !path.display.ends_with(']')
}

type NamedElements<'a> = Vec<(String, &'a Value)>;

/// Returns the elements of both lists by name if both values are lists of named elements. An absent list counts as empty.
fn list_pair<'a>(
    path: &FieldPath,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
) -> Option<(NamedElements<'a>, NamedElements<'a>)> {
    let items = |value: Option<&'a Value>| match value {
        None => Some(&[][..]),
        Some(value) => value.as_array().map(Vec::as_slice),
    };
    let (before, after) = (items(before)?, items(after)?);
    name_keys(path)
        .into_iter()
        .find_map(|key| Some((index_by_name(before, key)?, index_by_name(after, key)?)))
}

/// Returns the members that may identify the elements of a list, in order of preference.
fn name_keys(path: &FieldPath) -> Vec<&'static str> {
    let fields: Vec<&str> = path.fields.iter().map(String::as_str).collect();
    match list_merge(&fields) {
        ListMerge::ByKey(key) if path.names().0 == "ports" => vec!["name", key],
        ListMerge::ByKey(key) => vec![key],
        ListMerge::Set | ListMerge::Atomic => Vec::new(),
    }
}

/// Returns the elements by name; `None` if an element has no name or a name occurs twice.
fn index_by_name<'a>(items: &'a [Value], key: &str) -> Option<NamedElements<'a>> {
    let mut seen = BTreeSet::new();
    items
        .iter()
        .map(|item| {
            let name = match item.get(key)? {
                Value::String(name) if !name.is_empty() => name.clone(),
                Value::Number(number) => number.to_string(),
                Value::String(_)
                | Value::Null
                | Value::Bool(_)
                | Value::Array(_)
                | Value::Object(_) => return None,
            };
            seen.insert(name.clone()).then_some((name, item))
        })
        .collect()
}

fn is_same_quantity(path: &FieldPath, before: &Value, after: &Value) -> bool {
    let quantity = |value: &Value| serde_json::from_value::<Quantity>(value.clone()).ok();
    QUANTITY_MAPS.contains(&path.names().1)
        && matches!((quantity(before), quantity(after)), (Some(before), Some(after)) if before == after)
}

fn is_ignored(path: &FieldPath) -> bool {
    match path.names() {
        (name, "annotations") => IGNORED_ANNOTATIONS.contains(&name),
        (name, "labels" | "matchLabels") => IGNORED_LABELS.contains(&name),
        _ => false,
    }
}

/// Returns whether the cluster assigns the value of this field.
fn is_assigned(
    kind: &str,
    path: &FieldPath,
    before: Option<&Value>,
    after: Option<&Value>,
) -> bool {
    match (kind, path.pointer.as_str()) {
        ("Pod", "/spec/nodeName") | ("PersistentVolumeClaim", "/spec/volumeName") => true,
        // The cluster assigns an address; a headless Service (`None`) is the user's choice.
        ("Service", "/spec/clusterIP" | "/spec/clusterIPs") => {
            let is_headless = |value: Option<&Value>| {
                value.is_some_and(|value| {
                    value == "None" || value.get(0).is_some_and(|first| first == "None")
                })
            };
            is_headless(before) == is_headless(after)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
