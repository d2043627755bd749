use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cluster::Object;
use serde_json::{Map, Value, json};

use super::resource::{ServedResource, builtin};
use super::template::{self, set_default};

/// Whether the resource has a `status` subresource, so that other updates leave the status unchanged.
pub(super) fn has_status(resource: &ServedResource) -> bool {
    resource.subresources.iter().any(|name| name == "status")
}

/// Whether `metadata.generation` counts changes of the spec.
pub(super) fn has_generation(resource: &ServedResource) -> bool {
    builtin(&resource.kind).is_none()
        || matches!(
            resource.storage_kind,
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

/// Sets the defaults of absent fields.
pub(super) fn with_defaults(object: Object) -> Object {
    match builtin(object.kind()).map_or("", |resource| resource.storage_kind) {
        "Deployment" => with_spec(object, |spec| {
            default_pod_template(spec);
            remove_empty_metadata(spec);
            set_default(spec, "replicas", json!(1));
            set_default(spec, "revisionHistoryLimit", json!(10));
            set_default(spec, "progressDeadlineSeconds", json!(600));
            set_default(
                spec,
                "strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
            );
        }),
        "ReplicaSet" => with_spec(object, |spec| {
            default_pod_template(spec);
            set_default(spec, "replicas", json!(1));
        }),
        "StatefulSet" | "DaemonSet" => with_spec(object, default_pod_template),
        "Pod" => with_spec(object, template::admit_pod),
        "Service" => with_spec(object, template::default_service),
        "Secret" => {
            let object = encode_string_data(object);
            if object.field("type").is_some() {
                object
            } else {
                object.with_field("type", "Opaque".into())
            }
        }
        "CustomResourceDefinition" => with_spec(object, |spec| {
            set_default(spec, "conversion", json!({"strategy": "None"}));
            if let Some(Value::Object(names)) = spec.get_mut("names") {
                let kind =
                    names.get("kind").and_then(Value::as_str).unwrap_or_default().to_string();
                set_default(names, "singular", kind.to_lowercase().into());
                set_default(names, "listKind", format!("{kind}List").into());
            }
        }),
        _ => object,
    }
}

/// Sets the defaults of the pod template in a spec.
fn default_pod_template(spec: &mut Map<String, Value>) {
    let pod = spec.get_mut("template").and_then(|template| template.get_mut("spec"));
    if let Some(Value::Object(pod)) = pod {
        template::default_pod(pod);
    }
}

/// Removes empty metadata fields of the pod template, as Kubernetes does, so that equal templates serialize equally.
fn remove_empty_metadata(spec: &mut Map<String, Value>) {
    let metadata = spec.get_mut("template").and_then(|template| template.get_mut("metadata"));
    if let Some(Value::Object(metadata)) = metadata {
        metadata.retain(|_, value| {
            !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty())
        });
    }
}

fn with_spec(object: Object, set_defaults: impl FnOnce(&mut Map<String, Value>)) -> Object {
    let Some(Value::Object(before)) = object.field("spec") else { return object };
    let mut spec = before.clone();
    set_defaults(&mut spec);
    if spec == *before { object } else { object.with_field("spec", Value::Object(spec)) }
}

/// Merges `stringData` of a Secret into `data`.
fn encode_string_data(object: Object) -> Object {
    let Some(Value::Object(strings)) = object.field("stringData") else { return object };
    let mut data = object.field("data").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in strings {
        data.insert(key.clone(), BASE64.encode(value.as_str().unwrap_or_default()).into());
    }
    object.without_field("stringData").with_field("data", Value::Object(data))
}
