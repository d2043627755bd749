use std::collections::BTreeMap;

use cluster::{Container, Object, ProbeCheck, Quantity, Selector, containers};
use serde_json::{Value, json};

use super::{FieldError, invalid_field};
use crate::api::status_error::StatusError;

pub(super) fn check(object: &Object) -> Result<(), StatusError> {
    let replicas = object.at("/spec/replicas").cloned().unwrap_or_default();
    let is_valid = replicas.as_i64().is_some_and(|n| (0..=i64::from(i32::MAX)).contains(&n));
    if !is_valid {
        let detail = "must be greater than or equal to 0";
        return Err(invalid_field(
            object,
            "spec.replicas",
            &FieldError::Invalid(&replicas, detail),
        ));
    }
    let min_ready = object.at("/spec/minReadySeconds").cloned().unwrap_or_else(|| 0.into());
    if min_ready.as_i64().is_none_or(|seconds| seconds < 0) {
        let detail = "must be greater than or equal to 0";
        return Err(invalid_field(
            object,
            "spec.minReadySeconds",
            &FieldError::Invalid(&min_ready, detail),
        ));
    }
    check_strategy(object)?;
    let selector = object.at("/spec/selector").cloned().unwrap_or_default();
    let parsed = serde_json::from_value::<Selector>(selector.clone()).ok();
    let Some(parsed) = parsed.filter(|selector| !selector.is_empty()) else {
        if selector.is_null() {
            return Err(invalid_field(object, "spec.selector", &FieldError::Required("")));
        }
        let detail = "empty selector is invalid for deployment";
        return Err(invalid_field(
            object,
            "spec.selector",
            &FieldError::Invalid(&selector, detail),
        ));
    };
    let labels = object.at("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    let template_labels: BTreeMap<String, String> =
        serde_json::from_value(labels.clone()).unwrap_or_default();
    if !parsed.matches(&template_labels) {
        let detail = "`selector` does not match template `labels`";
        return Err(invalid_field(
            object,
            "spec.template.metadata.labels",
            &FieldError::Invalid(&labels, detail),
        ));
    }
    if let Some(policy) = object.at("/spec/template/spec/restartPolicy")
        && policy != "Always"
    {
        let error = FieldError::Unsupported(policy, &["Always"]);
        return Err(invalid_field(object, "spec.template.spec.restartPolicy", &error));
    }
    check_containers(object, "spec.template.spec")
}

fn check_strategy(object: &Object) -> Result<(), StatusError> {
    let Some(kind) = object.at("/spec/strategy/type") else { return Ok(()) };
    if kind == "Recreate" || kind == "RollingUpdate" {
        return Ok(());
    }
    // The message of a real server shows the internal (Go) representation, not the serialized one.
    let part = |name: &str| object.at(&format!("/spec/strategy/rollingUpdate/{name}"));
    let mut value = json!({"Type": kind});
    value["RollingUpdate"] =
        json!({"MaxUnavailable": part("maxUnavailable"), "MaxSurge": part("maxSurge")});
    let error = FieldError::Unsupported(&value, &["Recreate", "RollingUpdate"]);
    Err(invalid_field(object, "spec.strategy", &error))
}

pub(super) fn check_containers(object: &Object, path: &str) -> Result<(), StatusError> {
    let mut names: Vec<&str> = Vec::new();
    let all: Vec<Container<'_>> = containers(object).collect();
    for container in &all {
        let field = format!("{path}.containers[{}]", names.len());
        let name = container.name();
        if name.is_empty() {
            return Err(invalid_field(object, &format!("{field}.name"), &FieldError::Required("")));
        }
        if names.contains(&name) {
            return Err(invalid_field(
                object,
                &format!("{field}.name"),
                &FieldError::Duplicate(&Value::from(name)),
            ));
        }
        names.push(name);
        if container.image().is_empty() {
            return Err(invalid_field(
                object,
                &format!("{field}.image"),
                &FieldError::Required(""),
            ));
        }
        check_resources(object, &field, container)?;
        check_ports(object, &field, container)?;
        check_probes(object, &field, container)?;
        for (i, variable) in container.env().enumerate() {
            if variable.name.is_empty() {
                return Err(invalid_field(
                    object,
                    &format!("{field}.env[{i}].name"),
                    &FieldError::Required(""),
                ));
            }
            if variable.name.contains('=') {
                let value = Value::from(variable.name);
                let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
                return Err(invalid_field(
                    object,
                    &format!("{field}.env[{i}].name"),
                    &FieldError::Invalid(&value, detail),
                ));
            }
        }
    }
    if names.is_empty() {
        return Err(invalid_field(
            object,
            &format!("{path}.containers"),
            &FieldError::Required(""),
        ));
    }
    Ok(())
}

fn check_ports(object: &Object, field: &str, container: &Container<'_>) -> Result<(), StatusError> {
    let ports = container.value().get("ports").and_then(Value::as_array).into_iter().flatten();
    for (i, port) in ports.enumerate() {
        let field = format!("{field}.ports[{i}].containerPort");
        match port.get("containerPort") {
            None => return Err(invalid_field(object, &field, &FieldError::Required(""))),
            Some(number) if !number.as_u64().is_some_and(|port| (1..=65535).contains(&port)) => {
                let detail = "must be between 1 and 65535, inclusive";
                return Err(invalid_field(object, &field, &FieldError::Invalid(number, detail)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_probes(
    object: &Object,
    field: &str,
    container: &Container<'_>,
) -> Result<(), StatusError> {
    for (name, probe) in [
        ("readinessProbe", container.readiness_probe()),
        ("livenessProbe", container.liveness_probe()),
    ] {
        let Some(probe) = probe else { continue };
        let check = match probe.check {
            ProbeCheck::HttpGet { port: None, .. } => "httpGet",
            ProbeCheck::TcpSocket { port: None } => "tcpSocket",
            ProbeCheck::HttpGet { .. }
            | ProbeCheck::TcpSocket { .. }
            | ProbeCheck::Exec
            | ProbeCheck::Other => continue,
        };
        let pointer = format!("/{name}/{check}/port");
        let port = container.value().pointer(&pointer).cloned().unwrap_or_default();
        let detail = "must be between 1 and 65535, inclusive";
        return Err(invalid_field(
            object,
            &format!("{field}.{name}.{check}.port"),
            &FieldError::Invalid(&port, detail),
        ));
    }
    Ok(())
}

fn check_resources(
    object: &Object,
    field: &str,
    container: &Container<'_>,
) -> Result<(), StatusError> {
    for list in ["limits", "requests"] {
        let Some(Value::Object(quantities)) =
            container.value().pointer(&format!("/resources/{list}"))
        else {
            continue;
        };
        for (resource, quantity) in quantities {
            let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_string);
            if Quantity::parse(&text).map_or(true, |quantity| quantity.value() < 0.0) {
                let detail = "must be greater than or equal to 0";
                let field = format!("{field}.resources.{list}.{resource}");
                return Err(invalid_field(object, &field, &FieldError::Invalid(quantity, detail)));
            }
        }
    }
    for resource in ["cpu", "memory"] {
        if let (Some(request), Some(limit)) =
            (container.request(resource), container.limit(resource))
            && request > limit
        {
            let detail = format!("must be less than or equal to {resource} limit of {limit}");
            let value = Value::from(request.to_string());
            return Err(invalid_field(
                object,
                &format!("{field}.resources.requests"),
                &FieldError::Invalid(&value, &detail),
            ));
        }
    }
    Ok(())
}

pub(super) fn check_pod_update(before: &Object, after: &Object) -> Result<(), StatusError> {
    if spec_without_images(before) == spec_without_images(after) {
        return Ok(());
    }
    let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    Err(invalid_field(after, "spec", &FieldError::Forbidden(detail)))
}

fn spec_without_images(pod: &Object) -> Value {
    let mut spec = pod.field("spec").cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        if let Some(Value::Array(containers)) = spec.get_mut(list) {
            for container in containers.iter_mut().filter_map(Value::as_object_mut) {
                container.remove("image");
            }
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        for changing in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            spec.remove(changing);
        }
    }
    spec
}
