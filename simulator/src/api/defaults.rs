use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cluster::Object;
use serde_json::{Map, Value, json};

use super::resource::{Resource, builtin};
use super::template::{self, default};

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
    match builtin(object.kind()).map_or("", |resource| resource.shelf) {
        "Deployment" => with_spec(object, |spec| {
            fill_template(spec);
            drop_empty(spec);
            default(spec, "replicas", json!(1));
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "progressDeadlineSeconds", json!(600));
            default(
                spec,
                "strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
            );
        }),
        "ReplicaSet" => with_spec(object, |spec| {
            fill_template(spec);
            default(spec, "replicas", json!(1));
        }),
        "StatefulSet" | "DaemonSet" => with_spec(object, fill_template),
        "Pod" => with_spec(object, template::admit_pod),
        "Service" => with_spec(object, template::fill_service),
        "Secret" => {
            let object = encoded(object);
            if object.field("type").is_some() {
                object
            } else {
                object.with_field("type", "Opaque".into())
            }
        }
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

/// Fills the pod template within a specification.
fn fill_template(spec: &mut Map<String, Value>) {
    let pod = spec.get_mut("template").and_then(|template| template.get_mut("spec"));
    if let Some(Value::Object(pod)) = pod {
        template::fill_pod(pod);
    }
}

/// Drops what Kubernetes does not write where it is empty, so that a template without annotations has one form.
fn drop_empty(spec: &mut Map<String, Value>) {
    let metadata = spec.get_mut("template").and_then(|template| template.get_mut("metadata"));
    if let Some(Value::Object(metadata)) = metadata {
        metadata.retain(|_, value| {
            !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty())
        });
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
        data.insert(key.clone(), BASE64.encode(value.as_str().unwrap_or_default()).into());
    }
    object.without_field("stringData").with_field("data", Value::Object(data))
}
