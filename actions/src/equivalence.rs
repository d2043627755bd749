//! Equivalence of values for the API server, which adds defaults and normalizes quantities when it stores an object.

use cluster::Quantity;
use serde_json::{Map, Value, json};

/// Whether both are the same JSON value.
pub(crate) fn is_equal(a: &Value, b: &Value) -> bool {
    a == b
}

/// Whether both `resources` trees have the same quantities: `1024Mi` equals `1Gi`, and an absent member equals null.
pub(crate) fn is_same_resources(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let within = |a: &Map<String, Value>, b: &Map<String, Value>| {
                a.iter().all(|(key, value)| {
                    is_same_resources(value, b.get(key).unwrap_or(&Value::Null))
                })
            };
            within(a, b) && within(b, a)
        }
        (Value::Object(map), Value::Null) | (Value::Null, Value::Object(map)) => {
            map.values().all(Value::is_null)
        }
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) => {
            match (quantity(a), quantity(b)) {
                (Some(a), Some(b)) => a == b,
                _ => a == b,
            }
        }
        _ => a == b,
    }
}

/// Parses a value of a `resources` tree as a quantity.
pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether both probes are the same after defaults are added.
pub(crate) fn is_same_probe(a: &Value, b: &Value) -> bool {
    with_defaults(a) == with_defaults(b)
}

fn with_defaults(probe: &Value) -> Value {
    let Value::Object(given) = probe else { return probe.clone() };
    let mut merged = json!({"initialDelaySeconds": 0, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3});
    for (name, value) in given {
        merged[name] = value.clone();
    }
    if let Some(Value::Object(http)) = merged.get_mut("httpGet") {
        http.entry("scheme").or_insert_with(|| "HTTP".into());
        http.entry("path").or_insert_with(|| "/".into());
    }
    merged
}

/// Whether the value stored at `pointer` is the one that was sent, apart from what the API server may rewrite.
pub(crate) fn is_same_at(pointer: &str, stored: &Value, sent: &Value) -> bool {
    match pointer.rsplit('/').next() {
        Some("readinessProbe" | "livenessProbe") => is_same_probe(stored, sent),
        Some("resources") => is_same_resources(stored, sent),
        Some(_) | None => stored == sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_compare_by_quantity_and_absent_equals_null() {
        assert!(is_same_resources(
            &json!({"limits": {"memory": "1024Mi", "cpu": null}}),
            &json!({"limits": {"memory": "1Gi"}})
        ));
        assert!(is_same_resources(
            &json!({"limits": {"cpu": 1}}),
            &json!({"limits": {"cpu": "1000m"}, "requests": {"cpu": null}})
        ));
        assert!(!is_same_resources(
            &json!({"limits": {"memory": "1Gi"}}),
            &json!({"limits": {"memory": "1G"}})
        ));
    }

    #[test]
    fn probe_equals_itself_with_defaults() {
        let stored = json!({"httpGet": {"path": "/up", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3});
        assert!(is_same_probe(&stored, &json!({"httpGet": {"path": "/up", "port": 80}})));
        assert!(!is_same_probe(
            &stored,
            &json!({"httpGet": {"path": "/up", "port": 80}, "initialDelaySeconds": 600})
        ));
        assert!(!is_same_probe(&stored, &Value::Null));
    }
}
