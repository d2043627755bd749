use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::patch::{ListMerge, below, is_same, list_merge};
use crate::{Object, ObjectRef, Quantity};

/// One difference of intent between two states of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The object: its later incarnation, or the earlier one if it is gone.
    pub object: ObjectRef,
    /// What is different.
    pub change: Change,
}

/// What is different about an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "change")]
pub enum Change {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// One field of what is asked of it changed.
    Field {
        /// Where, as a JSON pointer: with the index in the later state, or in the earlier one if it is gone there.
        pointer: String,
        /// Where, for people, elements by name: `spec.template.spec.containers[api].image`.
        path: String,
        /// What stood there; absent if nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
        /// What stands there now; absent if nothing does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Value>,
    },
}

/// Annotations that controllers and tools keep by themselves, or that only restart pods.
const NOISY_ANNOTATIONS: [&str; 9] = [
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

/// Labels that controllers give.
const NOISY_LABELS: [&str; 4] = [
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Maps whose members are told one by one even where the whole map came or went.
const OPEN_MAPS: [&str; 12] = [
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

/// Maps from a resource to an amount of it, which may be spelled in several ways.
const AMOUNTS: [&str; 3] = ["hard", "limits", "requests"];

/// Compares what is asked of an object in two states, and tells each field that differs, in a fixed order.
///
/// Compared are labels, annotations and every top-level field (`spec`, `data`, `rules`, …). Never told is what a cluster
/// keeps by itself: status, the rest of metadata, annotations and labels of controllers, addresses and nodes that it
/// assigned; nor any change of the kinds that only report (Event, Endpoints, EndpointSlice, Lease). A member that is null
/// equals one that is absent; amounts of resources are compared as amounts.
///
/// Lists of named elements (containers, variables, volumes, ports, …) are compared by name: their order is not told.
/// Every other list is one value. Two incarnations under one name are compared like two states of one.
pub fn difference(
    cluster: &str,
    before: Option<&Object>,
    after: Option<&Object>,
) -> Vec<Difference> {
    let (before, after) = match (before, after) {
        (None, None) => return Vec::new(),
        (None, Some(after)) => {
            return vec![Difference { object: after.reference(cluster), change: Change::Created }];
        }
        (Some(before), None) => {
            return vec![Difference { object: before.reference(cluster), change: Change::Deleted }];
        }
        (Some(before), Some(after)) => (before, after),
    };
    let is_report =
        matches!(after.kind().kind.as_str(), "Event" | "Endpoints" | "EndpointSlice" | "Lease");
    if before.is_same_value(after) || is_report {
        return Vec::new();
    }
    let mut comparison = Comparison { kind: &after.kind().kind, changes: Vec::new() };
    let metadata = Place::default().member("metadata");
    for (name, old, new) in [
        ("annotations", &before.metadata().annotations, &after.metadata().annotations),
        ("labels", &before.metadata().labels, &after.metadata().labels),
    ] {
        let place = metadata.member(name);
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let text = |map: &BTreeMap<String, String>| {
                map.get(key).map(|text| Value::from(text.as_str()))
            };
            comparison.compare(&place.member(key), text(old).as_ref(), text(new).as_ref());
        }
    }
    for name in before.field_names().chain(after.field_names()).collect::<BTreeSet<_>>() {
        let (old, new) = (before.field(name), after.field(name));
        // Two states often share their fields, and what is shared needs no look inside.
        let is_shared = matches!((old, new), (Some(old), Some(new)) if std::ptr::eq(old, new));
        if name != "status" && !is_shared {
            comparison.compare(&Place::default().member(name), old, new);
        }
    }
    let object = after.reference(cluster);
    comparison
        .changes
        .into_iter()
        .map(|change| Difference { object: object.clone(), change })
        .collect()
}

/// Where a value stands, in the three ways of saying so.
#[derive(Clone, Default)]
struct Place {
    /// Names of fields from the top, without those of lists' elements.
    fields: Vec<String>,
    pointer: String,
    path: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let mut fields = self.fields.clone();
        fields.push(name.into());
        let is_plain = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let path = match (self.path.as_str(), is_plain) {
            ("", _) => name.to_string(),
            (path, true) => format!("{path}.{name}"),
            (path, false) => format!("{path}[{}]", Value::from(name)),
        };
        Self { fields, pointer: below(&self.pointer, name), path }
    }

    fn element(&self, index: usize, name: &str) -> Self {
        Self {
            fields: self.fields.clone(),
            pointer: format!("{}/{index}", self.pointer),
            path: format!("{}[{name}]", self.path),
        }
    }

    /// The name of the field itself, and of the one above.
    fn names(&self) -> (&str, &str) {
        match self.fields.as_slice() {
            [] => ("", ""),
            [name] => (name, ""),
            [.., above, name] => (name, above),
        }
    }
}

struct Comparison<'a> {
    kind: &'a str,
    changes: Vec<Change>,
}

impl Comparison<'_> {
    fn compare(&mut self, place: &Place, before: Option<&Value>, after: Option<&Value>) {
        let (before, after) =
            (before.filter(|value| !value.is_null()), after.filter(|value| !value.is_null()));
        let is_equal = match (before, after) {
            (None, None) => true,
            (Some(before), Some(after)) => {
                is_same(before, after) || is_same_amount(place, before, after)
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_equal || is_noise(place) || is_assigned(self.kind, place, before, after) {
            return;
        }
        if let Some((before, after)) = both_maps(place, before, after) {
            for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                self.compare(&place.member(name), before.get(name), after.get(name));
            }
        } else if let Some((before, after)) = both_lists(place, before, after) {
            self.compare_lists(place, &before, &after);
        } else {
            self.changes.push(Change::Field {
                pointer: place.pointer.clone(),
                path: place.path.clone(),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }

    fn compare_lists(
        &mut self,
        place: &Place,
        before: &[(String, &Value)],
        after: &[(String, &Value)],
    ) {
        // One port that got another number or name is that port still.
        if place.names().0 == "ports" && before.len() == 1 && after.len() == 1 {
            return self.compare(
                &place.element(0, &after[0].0),
                Some(before[0].1),
                Some(after[0].1),
            );
        }
        let find = |list: &[(String, &Value)], name: &str| {
            list.iter().position(|(other, _)| other == name)
        };
        for (index, (name, new)) in after.iter().enumerate() {
            let old = find(before, name).map(|at| before[at].1);
            self.compare(&place.element(index, name), old, Some(new));
        }
        for (index, (name, old)) in before.iter().enumerate() {
            if find(after, name).is_none() {
                self.compare(&place.element(index, name), Some(old), None);
            }
        }
    }
}

type Members<'a> = Cow<'a, Map<String, Value>>;

/// The members of both maps; an absent map whose members are told one by one is an empty one.
fn both_maps<'a>(
    place: &Place,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
) -> Option<(Members<'a>, Members<'a>)> {
    let empty = || Cow::Owned(Map::new());
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            Some((Cow::Borrowed(before), Cow::Borrowed(after)))
        }
        (Some(Value::Object(before)), None) if is_open(place) => {
            Some((Cow::Borrowed(before), empty()))
        }
        (None, Some(Value::Object(after))) if is_open(place) => {
            Some((empty(), Cow::Borrowed(after)))
        }
        _ => None,
    }
}

/// Whether the place holds a map whose members are told one by one; a list's element does not.
fn is_open(place: &Place) -> bool {
    OPEN_MAPS.contains(&place.names().0) && !place.path.ends_with(']')
}

type Named<'a> = Vec<(String, &'a Value)>;

/// The elements of both lists by name, where the lists are of named elements; an absent list is an empty one.
fn both_lists<'a>(
    place: &Place,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
) -> Option<(Named<'a>, Named<'a>)> {
    let items = |value: Option<&'a Value>| match value {
        None => Some(&[][..]),
        Some(value) => value.as_array().map(Vec::as_slice),
    };
    let (before, after) = (items(before)?, items(after)?);
    name_keys(place).into_iter().find_map(|key| Some((by_name(before, key)?, by_name(after, key)?)))
}

/// The members that may name the elements of a list, best first.
fn name_keys(place: &Place) -> Vec<&'static str> {
    let fields: Vec<&str> = place.fields.iter().map(String::as_str).collect();
    match list_merge(&fields) {
        ListMerge::ByKey(key) if place.names().0 == "ports" => vec!["name", key],
        ListMerge::ByKey(key) => vec![key],
        ListMerge::Set | ListMerge::Whole => Vec::new(),
    }
}

/// The elements by name; none if one has no name or two have the same.
fn by_name<'a>(items: &'a [Value], key: &str) -> Option<Named<'a>> {
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

fn is_same_amount(place: &Place, before: &Value, after: &Value) -> bool {
    let amount = |value: &Value| serde_json::from_value::<Quantity>(value.clone()).ok();
    AMOUNTS.contains(&place.names().1)
        && matches!((amount(before), amount(after)), (Some(before), Some(after)) if before == after)
}

fn is_noise(place: &Place) -> bool {
    match place.names() {
        (name, "annotations") => NOISY_ANNOTATIONS.contains(&name),
        (name, "labels" | "matchLabels") => NOISY_LABELS.contains(&name),
        _ => false,
    }
}

/// Whether the cluster assigns this field by itself.
fn is_assigned(kind: &str, place: &Place, before: Option<&Value>, after: Option<&Value>) -> bool {
    match (kind, place.pointer.as_str()) {
        ("Pod", "/spec/nodeName") | ("PersistentVolumeClaim", "/spec/volumeName") => true,
        // An address is assigned; to have none is asked for.
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
