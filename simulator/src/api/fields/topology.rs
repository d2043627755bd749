use serde_json::{Map, Value, json};

/// The topology of a value: which of its parts can have separate owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// The value has one owner as a whole.
    Atomic,
    /// A map whose entries are owned separately.
    Map,
    /// A list whose elements are identified by these key fields and owned separately.
    AssociativeList(&'static [&'static str]),
    /// A list of distinct scalars, owned separately.
    Set,
}

/// Returns the topology of the value at `path`: the field names from the root, without list keys.
pub(super) fn topology(path: &[&str], value: &Value) -> Topology {
    let (name, above) = path.split_last().map_or(("", path), |(name, above)| (*name, above));
    let parent = above.last().copied().unwrap_or_default();
    let is_in_container = matches!(parent, "containers" | "initContainers" | "ephemeralContainers");
    match value {
        Value::Object(_) => match name {
            // Label selectors, references and similar types are declared atomic.
            "selector" | "nodeSelector" | "labelSelector" | "namespaceSelector" | "podSelector"
            | "roleRef" | "involvedObject" | "targetRef" | "configMapKeyRef" | "secretKeyRef"
            | "fieldRef" | "resourceFieldRef" | "claimRef" | "scaleTargetRef" => Topology::Atomic,
            _ => Topology::Map,
        },
        Value::Array(_) => match name {
            "containers" | "initContainers" | "ephemeralContainers" => {
                Topology::AssociativeList(&["name"])
            }
            "env" | "resizePolicy" if is_in_container => {
                Topology::AssociativeList(if name == "env" { &["name"] } else { &["resourceName"] })
            }
            "volumeMounts" if is_in_container => Topology::AssociativeList(&["mountPath"]),
            "volumeDevices" if is_in_container => Topology::AssociativeList(&["devicePath"]),
            "ports" if is_in_container => Topology::AssociativeList(&["containerPort", "protocol"]),
            "ports" if above == ["spec"] => Topology::AssociativeList(&["port", "protocol"]),
            "volumes" | "imagePullSecrets" | "schedulingGates" | "resourceClaims"
                if parent == "spec" =>
            {
                Topology::AssociativeList(&["name"])
            }
            "imagePullSecrets" | "secrets" | "webhooks" if above.is_empty() => {
                Topology::AssociativeList(&["name"])
            }
            "hostAliases" if parent == "spec" => Topology::AssociativeList(&["ip"]),
            "topologySpreadConstraints" if parent == "spec" => {
                Topology::AssociativeList(&["topologyKey", "whenUnsatisfiable"])
            }
            "conditions" if above == ["status"] => Topology::AssociativeList(&["type"]),
            "addresses" if above == ["status"] => Topology::AssociativeList(&["type"]),
            "podIPs" | "hostIPs" if above == ["status"] => Topology::AssociativeList(&["ip"]),
            "ownerReferences" if parent == "metadata" => Topology::AssociativeList(&["uid"]),
            "finalizers" if parent == "metadata" => Topology::Set,
            _ => Topology::Atomic,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Topology::Atomic,
    }
}

/// Whether every object of a kind has the map at `path`, so that creating it does not make a manager its owner.
pub(super) fn is_fixed(path: &[&str]) -> bool {
    matches!(
        path,
        ["metadata" | "spec" | "status"]
            | ["spec", "strategy" | "template" | "updateStrategy"]
            | ["spec", "template", "metadata" | "spec"]
            | ["spec", "jobTemplate", ..]
    )
}

/// Returns the edge of an element in an associative list, or `None` if the element lacks a key field.
pub(super) fn edge(keys: &[&str], element: &Value) -> Option<String> {
    let mut found = Map::new();
    for key in keys {
        let value = element.get(key).filter(|value| !value.is_null()).cloned();
        // `protocol` is the only key field with a default; Kubernetes sets it before it compares.
        let value = value.or_else(|| (*key == "protocol").then(|| json!("TCP")));
        found.insert((*key).into(), value?);
    }
    Some(format!("k:{}", Value::Object(found)))
}

/// Whether `edge` identifies this list element.
pub(super) fn identifies(edge: &str, element: &Value) -> bool {
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
