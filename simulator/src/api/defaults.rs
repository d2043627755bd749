use cluster::Object;
use serde_json::{Map, Value, json};

use super::resource::{Resource, builtin};
use crate::base64;

/// Whether the status is changed through its subresource alone.
pub(super) fn has_status(resource: &Resource) -> bool {
    resource.subresources.iter().any(|name| name == "status")
}

/// Whether changes of the spec are counted.
pub(super) fn has_generation(resource: &Resource) -> bool {
    builtin(&resource.kind).is_none()
        || matches!(
            resource.shelf,
            "CustomResourceDefinition"
                | "DaemonSet"
                | "Deployment"
                | "Ingress"
                | "Job"
                | "NetworkPolicy"
                | "PodDisruptionBudget"
                | "ReplicaSet"
                | "StatefulSet"
        )
}

/// The object with what Kubernetes takes where a field is absent.
pub(super) fn fill(object: Object) -> Object {
    match object.kind().kind.as_str() {
        "Deployment" => with_spec(object, |spec| {
            default(spec, "replicas", json!(1));
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "progressDeadlineSeconds", json!(600));
            default(
                spec,
                "strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
            );
        }),
        "ReplicaSet" => with_spec(object, |spec| default(spec, "replicas", json!(1))),
        "Pod" => with_spec(object, |spec| {
            default(spec, "restartPolicy", json!("Always"));
            default(spec, "terminationGracePeriodSeconds", json!(30));
        }),
        "Service" => with_spec(object, |spec| {
            default(spec, "type", json!("ClusterIP"));
            if let Some(Value::Array(ports)) = spec.get_mut("ports") {
                for port in ports.iter_mut().filter_map(Value::as_object_mut) {
                    default(port, "protocol", json!("TCP"));
                    if let Some(number) = port.get("port").cloned() {
                        default(port, "targetPort", number);
                    }
                }
            }
        }),
        "Secret" => encoded(object),
        "CustomResourceDefinition" => with_spec(object, |spec| {
            default(spec, "conversion", json!({"strategy": "None"}));
            if let Some(Value::Object(names)) = spec.get_mut("names") {
                let kind =
                    names.get("kind").and_then(Value::as_str).unwrap_or_default().to_string();
                default(names, "singular", kind.to_lowercase().into());
                default(names, "listKind", format!("{kind}List").into());
            }
        }),
        _ => object,
    }
}

fn default(map: &mut Map<String, Value>, field: &str, value: Value) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.into(), value);
    }
}

fn with_spec(object: Object, fill: impl FnOnce(&mut Map<String, Value>)) -> Object {
    let Some(Value::Object(before)) = object.field("spec") else { return object };
    let mut spec = before.clone();
    fill(&mut spec);
    if spec == *before { object } else { object.with_field("spec", Value::Object(spec)) }
}

/// The Secret with its `stringData` written into `data`.
fn encoded(object: Object) -> Object {
    let Some(Value::Object(texts)) = object.field("stringData") else { return object };
    let mut data = object.field("data").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in texts {
        data.insert(
            key.clone(),
            base64::encode(value.as_str().unwrap_or_default().as_bytes()).into(),
        );
    }
    object.without_field("stringData").with_field("data", Value::Object(data))
}
