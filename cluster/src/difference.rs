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

fn both_maps<'a>(
    place: &Place,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
) -> Option<(Cow<'a, Map<String, Value>>, Cow<'a, Map<String, Value>>)> {
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Patch;

    fn deployment() -> Object {
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "api", "namespace": "shop", "uid": "u1", "labels": {"app": "api"}, "generation": 1},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "api"}}, "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {"containers": [
                    {"name": "side", "image": "side:1"},
                    {"name": "api", "image": "api:1", "args": ["-x"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [{"containerPort": 80}], "resources": {"limits": {"memory": "1Gi", "cpu": "1"}}}]}}},
            "status": {"readyReplicas": 2}}))
        .unwrap()
    }

    fn changed(object: &Object, pointer: &str, value: Value) -> Object {
        let operation =
            json!({"type": "json", "patch": [{"op": "add", "path": pointer, "value": value}]});
        serde_json::from_value::<Patch>(operation).unwrap().apply(object).unwrap()
    }

    fn removed(object: &Object, pointer: &str) -> Object {
        let operation = json!({"type": "json", "patch": [{"op": "remove", "path": pointer}]});
        serde_json::from_value::<Patch>(operation).unwrap().apply(object).unwrap()
    }

    /// Each difference as `path at pointer: before -> after`.
    fn told(before: &Object, after: &Object) -> Vec<String> {
        let show =
            |value: Option<Value>| value.map_or_else(|| "-".to_string(), |value| value.to_string());
        difference("c", Some(before), Some(after))
            .into_iter()
            .map(|difference| match difference.change {
                Change::Created => "created".into(),
                Change::Deleted => "deleted".into(),
                Change::Field { pointer, path, before, after } => {
                    format!("{path} at {pointer}: {} -> {}", show(before), show(after))
                }
            })
            .collect()
    }

    const API: &str = "/spec/template/spec/containers/1";

    #[test]
    fn a_field_is_told_by_pointer_and_by_name() {
        for (pointer, value, expected) in [
            ("/spec/replicas", json!(0), "spec.replicas at /spec/replicas: 2 -> 0"),
            (
                "/spec/template/spec/containers/1/image",
                json!("api:2"),
                "spec.template.spec.containers[api].image at /spec/template/spec/containers/1/image: \"api:1\" -> \"api:2\"",
            ),
            (
                "/spec/template/spec/containers/1/env/0/value",
                json!("9"),
                "spec.template.spec.containers[api].env[A].value at /spec/template/spec/containers/1/env/0/value: \"1\" -> \"9\"",
            ),
            (
                "/spec/template/spec/containers/1/args",
                json!([]),
                "spec.template.spec.containers[api].args at /spec/template/spec/containers/1/args: [\"-x\"] -> []",
            ),
            (
                "/spec/template/spec/containers/1/ports/0/containerPort",
                json!(81),
                "spec.template.spec.containers[api].ports[81].containerPort at /spec/template/spec/containers/1/ports/0/containerPort: 80 -> 81",
            ),
            (
                "/spec/template/spec/containers/1/resources/limits/memory",
                json!("8Mi"),
                "spec.template.spec.containers[api].resources.limits.memory at /spec/template/spec/containers/1/resources/limits/memory: \"1Gi\" -> \"8Mi\"",
            ),
            (
                "/metadata/labels/a.b~1c",
                json!("d"),
                "metadata.labels[\"a.b/c\"] at /metadata/labels/a.b~1c: - -> \"d\"",
            ),
            ("/spec/paused", json!(true), "spec.paused at /spec/paused: - -> true"),
        ] {
            assert_eq!(told(&deployment(), &changed(&deployment(), pointer, value)), [expected]);
        }
    }

    #[test]
    fn elements_that_came_or_went_are_told_whole() {
        let before = deployment();
        let after = changed(
            &before,
            &format!("{API}/env"),
            json!([{"name": "C", "value": "3"}, {"name": "B", "value": "2"}]),
        );
        let env = "spec.template.spec.containers[api].env";
        assert_eq!(
            told(&before, &after),
            [
                format!("{env}[C] at {API}/env/0: - -> {}", json!({"name": "C", "value": "3"})),
                format!("{env}[A] at {API}/env/0: {} -> -", json!({"name": "A", "value": "1"})),
            ]
        );
        let bare = removed(&before, &format!("{API}/env"));
        assert_eq!(told(&before, &bare).len(), 2, "an absent list is an empty one");
    }

    #[test]
    fn a_changed_order_of_named_elements_is_no_difference() {
        let before = deployment();
        let env = json!([{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]);
        assert_eq!(told(&before, &changed(&before, &format!("{API}/env"), env)), [""; 0]);
    }

    #[test]
    fn a_pointer_holds_the_index_of_the_later_state() {
        let before = deployment();
        let after = changed(
            &removed(&before, "/spec/template/spec/containers/0"),
            "/spec/template/spec/containers/0/image",
            json!("api:2"),
        );
        let told = told(&before, &after);
        assert!(
            told[0].contains("at /spec/template/spec/containers/0/image: \"api:1\""),
            "{told:?}"
        );
        assert!(
            told[1].starts_with(
                "spec.template.spec.containers[side] at /spec/template/spec/containers/0: {"
            ),
            "{told:?}"
        );
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn what_a_cluster_keeps_by_itself_is_no_difference() {
        let before = deployment();
        for (pointer, value) in [
            ("/status/readyReplicas", json!(0)),
            ("/metadata/generation", json!(9)),
            ("/metadata/uid", json!("u2")),
            ("/metadata/resourceVersion", json!("99")),
            ("/metadata/managedFields", json!([{}])),
            ("/metadata/creationTimestamp", json!("2026-01-01T00:00:00Z")),
            (
                "/metadata/annotations",
                json!({"deployment.kubernetes.io/revision": "7", "kubectl.kubernetes.io/last-applied-configuration": "{}"}),
            ),
            (
                "/spec/template/metadata/annotations",
                json!({"kubectl.kubernetes.io/restartedAt": "now"}),
            ),
            ("/spec/template/metadata/labels/pod-template-hash", json!("abc")),
            ("/spec/template/metadata/creationTimestamp", json!(null)),
            ("/spec/template/spec/containers/1/resources/limits/cpu", json!("1000m")),
            ("/spec/replicas", json!(2.0)),
        ] {
            assert_eq!(told(&before, &changed(&before, pointer, value)), [""; 0], "{pointer}");
        }
    }

    #[test]
    fn keys_of_config_are_told_one_by_one() {
        let config = |data: Value| {
            Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})).unwrap()
        };
        let full = config(json!({"app.conf": "x", "mode": "fast"}));
        let expected = [
            "data[\"app.conf\"] at /data/app.conf: \"x\" -> -",
            "data.mode at /data/mode: \"fast\" -> -",
        ];
        assert_eq!(told(&full, &config(json!({}))), expected);
        assert_eq!(told(&full, &config(json!(null))), expected);
        assert_eq!(told(&full, &full.without_field("data")), expected);
    }

    #[test]
    fn services_are_compared_by_port_and_without_assigned_addresses() {
        let service = |spec: Value| {
            Object::from_value(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec})).unwrap()
        };
        let before = service(
            json!({"clusterIP": "10.0.0.1", "selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 8080}]}),
        );
        let after = service(
            json!({"clusterIP": "10.0.0.2", "selector": {"app": "api", "v": "2"}, "ports": [{"port": 80, "targetPort": 9999}]}),
        );
        assert_eq!(
            told(&before, &after),
            [
                "spec.ports[80].targetPort at /spec/ports/0/targetPort: 8080 -> 9999",
                "spec.selector.v at /spec/selector/v: - -> \"2\""
            ]
        );
        let headless = changed(&before, "/spec/clusterIP", json!("None"));
        assert_eq!(
            told(&before, &headless),
            ["spec.clusterIP at /spec/clusterIP: \"10.0.0.1\" -> \"None\""]
        );
    }

    #[test]
    fn objects_that_came_or_went_are_told_as_such() {
        let object = deployment();
        let changes = |before, after| {
            difference("c", before, after)
                .into_iter()
                .map(|d| (d.change, d.object.uid))
                .collect::<Vec<_>>()
        };
        assert_eq!(changes(None, Some(&object)), [(Change::Created, Some("u1".into()))]);
        assert_eq!(changes(Some(&object), None), [(Change::Deleted, Some("u1".into()))]);
        assert_eq!(changes(None, None), []);
        assert_eq!(changes(Some(&object), Some(&deployment())), []);
    }

    #[test]
    fn differences_read_and_write() {
        let told = difference(
            "c",
            Some(&deployment()),
            Some(&changed(&deployment(), "/spec/paused", json!(true))),
        );
        let text = serde_json::to_string(&told).unwrap();
        assert!(text.contains(r#""change":{"change":"field","pointer":"/spec/paused","path":"spec.paused","after":true}"#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<Difference>>(&text).unwrap(), told);
    }
}
