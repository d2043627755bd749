use serde_json::{Map, Value, json};

/// How a value is made up of fields that may have owners of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    /// One value, however large.
    Atomic,
    /// Members, or elements without a key of their own: told apart by their names.
    Members,
    /// A list whose elements are told apart by these members.
    Keyed(&'static [&'static str]),
    /// A list of plain values, each once.
    Set,
}

/// How the value at `path` is made up: names of fields from the top, without those of elements.
pub(super) fn make(path: &[&str], value: &Value) -> Make {
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
pub(super) fn is_fixed(path: &[&str]) -> bool {
    matches!(
        path,
        ["metadata" | "spec" | "status"]
            | ["spec", "strategy" | "template" | "updateStrategy"]
            | ["spec", "template", "metadata" | "spec"]
            | ["spec", "jobTemplate", ..]
    )
}

/// The edge of an element in a list that is told apart by `keys`; none where it lacks them all.
pub(super) fn edge(keys: &[&str], element: &Value) -> Option<String> {
    let mut found = Map::new();
    for key in keys {
        let value = element.get(key).filter(|value| !value.is_null()).cloned();
        // The one key with a default that Kubernetes fills in before it looks.
        let value = value.or_else(|| (*key == "protocol").then(|| json!("TCP")));
        found.insert((*key).into(), value?);
    }
    Some(format!("k:{}", Value::Object(found)))
}

/// Whether an edge names this element of a list.
pub(super) fn is_named(edge: &str, element: &Value) -> bool {
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
