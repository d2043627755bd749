use cluster::{Container, Deployment, Object, PortRef, Quantity, ReplicaSet, Selector, containers};
use serde_json::Value;

use super::refusal::{Cause, Named, Refusal};
use super::resource::Resource;

fn invalid(object: &Object, field: &str, why: &str) -> Refusal {
    let named = Named::new(None, object.kind(), object.name());
    Refusal::invalid(&named, vec![Cause::new("FieldValueInvalid", field, why)])
}

/// Checks an object as it is to be stored.
pub(super) fn check(resource: &Resource, object: &Object) -> Result<(), Refusal> {
    check_name(resource, object)?;
    check_labels(object)?;
    match resource.shelf {
        "Deployment" | "ReplicaSet" => check_workload(object),
        "Pod" => check_containers(object),
        "Service" => check_service(object),
        "ConfigMap" | "Secret" => check_data(object),
        _ => Ok(()),
    }
}

fn check_name(resource: &Resource, object: &Object) -> Result<(), Refusal> {
    let (name, is_label) =
        (object.name(), matches!(object.kind().kind.as_str(), "Namespace" | "Service"));
    let is_part = |part: &str| {
        let edge = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let bytes = part.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| edge(Some(byte)) || *byte == b'-')
    };
    let fits = if is_label {
        name.len() <= 63 && is_part(name)
    } else {
        name.len() <= 253 && name.split('.').all(is_part)
    };
    if !fits {
        return Err(invalid(
            object,
            "metadata.name",
            "must consist of lower case alphanumeric characters, '-' or '.'",
        ));
    }
    if resource.namespaced == object.namespace().is_none() {
        let why = if resource.namespaced { "is required" } else { "must not be set" };
        return Err(invalid(object, "metadata.namespace", why));
    }
    Ok(())
}

fn check_labels(object: &Object) -> Result<(), Refusal> {
    let is_word = |text: &str, longest: usize| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        bytes.len() <= longest
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(inner)
    };
    for (key, value) in &object.metadata().labels {
        let is_key = match key.split_once('/') {
            Some((prefix, name)) => is_word(prefix, 253) && is_word(name, 63),
            None => is_word(key, 63),
        };
        if !is_key || !(value.is_empty() || is_word(value, 63)) {
            return Err(invalid(
                object,
                "metadata.labels",
                &format!(
                    "{key:?}: {value:?} is no label: at most 63 letters, digits, '-', '_' or '.'"
                ),
            ));
        }
    }
    Ok(())
}

fn check_workload(object: &Object) -> Result<(), Refusal> {
    match object.at("/spec/replicas") {
        Some(Value::Number(number))
            if number.as_i64().is_some_and(|n| (0..=i64::from(i32::MAX)).contains(&n)) => {}
        _ => {
            return Err(invalid(
                object,
                "spec.replicas",
                "must be a whole number greater than or equal to 0",
            ));
        }
    }
    let selector: Option<Selector> =
        object.at("/spec/selector").and_then(|value| serde_json::from_value(value.clone()).ok());
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        return Err(invalid(object, "spec.selector", "a selector that is not empty is required"));
    };
    let labels = object
        .at("/spec/template/metadata/labels")
        .and_then(|labels| serde_json::from_value(labels.clone()).ok())
        .unwrap_or_default();
    if !selector.matches(&labels) {
        return Err(invalid(
            object,
            "spec.template.metadata.labels",
            "`selector` does not match template `labels`",
        ));
    }
    check_containers(object)
}

fn check_containers(object: &Object) -> Result<(), Refusal> {
    let mut names = Vec::new();
    for container in containers(object) {
        let field = format!("containers[{}]", names.len());
        if container.name().is_empty() || names.contains(&container.name()) {
            return Err(invalid(object, &format!("{field}.name"), "a name of its own is required"));
        }
        names.push(container.name());
        if container.image().is_empty() {
            return Err(invalid(object, &format!("{field}.image"), "an image is required"));
        }
        check_resources(object, &field, &container)?;
        for probe in [container.readiness_probe(), container.liveness_probe()].into_iter().flatten()
        {
            if let cluster::ProbeCheck::HttpGet { port: None, .. }
            | cluster::ProbeCheck::TcpSocket { port: None } = probe.check
            {
                return Err(invalid(
                    object,
                    &format!("{field}.readinessProbe"),
                    "a port between 1 and 65535, or the name of one, is required",
                ));
            }
        }
        let mut variables = container.env().map(|variable| variable.name);
        if variables.any(|name| name.is_empty() || name.contains('=')) {
            return Err(invalid(
                object,
                &format!("{field}.env"),
                "every variable needs a name without =",
            ));
        }
    }
    if names.is_empty() {
        return Err(invalid(
            object,
            "spec.template.spec.containers",
            "at least one container is required",
        ));
    }
    Ok(())
}

fn check_resources(object: &Object, field: &str, container: &Container<'_>) -> Result<(), Refusal> {
    for list in ["limits", "requests"] {
        let Some(Value::Object(figures)) = container.value().pointer(&format!("/resources/{list}"))
        else {
            continue;
        };
        for (resource, figure) in figures {
            let text = figure.as_str().map_or_else(|| figure.to_string(), str::to_string);
            if Quantity::parse(&text).map_or(true, |quantity| quantity.value() < 0.0) {
                return Err(invalid(
                    object,
                    &format!("{field}.resources.{list}.{resource}"),
                    &format!("{text:?} is not a quantity"),
                ));
            }
        }
    }
    for resource in ["cpu", "memory"] {
        if let (Some(request), Some(limit)) =
            (container.request(resource), container.limit(resource))
            && request > limit
        {
            let why =
                format!("{request} must be less than or equal to {resource} limit of {limit}");
            return Err(invalid(object, &format!("{field}.resources.requests"), &why));
        }
    }
    Ok(())
}

fn check_service(object: &Object) -> Result<(), Refusal> {
    let ports = object.at("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
    if ports.is_empty() {
        return Err(invalid(object, "spec.ports", "at least one port is required"));
    }
    for (i, port) in ports.iter().enumerate() {
        if !port.get("port").and_then(Value::as_u64).is_some_and(|port| (1..=65535).contains(&port))
        {
            return Err(invalid(
                object,
                &format!("spec.ports[{i}].port"),
                "must be between 1 and 65535",
            ));
        }
        match port.get("targetPort").and_then(PortRef::of) {
            Some(PortRef::Number(1..)) => {}
            Some(PortRef::Name(name)) if is_port_name(name) => {}
            Some(PortRef::Number(0) | PortRef::Name(_)) | None => {
                return Err(invalid(
                    object,
                    &format!("spec.ports[{i}].targetPort"),
                    "must be between 1 and 65535, or a name",
                ));
            }
        }
        let name =
            |port: &Value| port.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
        if ports.len() > 1
            && (name(port).is_empty() || ports[..i].iter().any(|other| name(other) == name(port)))
        {
            return Err(invalid(
                object,
                &format!("spec.ports[{i}].name"),
                "a name of its own is required where there are several ports",
            ));
        }
    }
    let selector = object.at("/spec/selector");
    if selector.is_some_and(|selector| {
        !selector.as_object().is_some_and(|map| map.values().all(Value::is_string))
    }) {
        return Err(invalid(object, "spec.selector", "must map texts to texts"));
    }
    Ok(())
}

fn is_port_name(name: &str) -> bool {
    let is_made_well =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    is_made_well
        && name.len() <= 15
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn check_data(object: &Object) -> Result<(), Refusal> {
    let Some(data) = object.field("data") else { return Ok(()) };
    let Some(data) = data.as_object() else { return Err(invalid(object, "data", "must be a map")) };
    for (key, value) in data {
        let is_key = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_key || !value.is_string() {
            return Err(invalid(
                object,
                &format!("data[{key}]"),
                "a key of letters, digits, '-', '_' or '.', and a text are required",
            ));
        }
    }
    Ok(())
}

/// Checks that a change leaves alone what may not change.
pub(super) fn check_update(
    resource: &Resource,
    before: &Object,
    after: &Object,
) -> Result<(), Refusal> {
    let is_same = |pointer: &str| before.at(pointer) == after.at(pointer);
    let immutable = |field: &str| Err(invalid(after, field, "field is immutable"));
    match resource.shelf {
        "Deployment" | "ReplicaSet" if !is_same("/spec/selector") => immutable("spec.selector"),
        "ReplicaSet"
            if ReplicaSet::of(before).is_some()
                && !is_same("/spec/template")
                && before.controller().is_some() =>
        {
            immutable("spec.template")
        }
        "Deployment" if Deployment::of(after).is_none() => immutable("kind"),
        "Service" if !is_same("/spec/clusterIP") => immutable("spec.clusterIP"),
        "ConfigMap" | "Secret"
            if before.field("immutable") == Some(&Value::Bool(true))
                && !(is_same("/data") && is_same("/immutable")) =>
        {
            immutable("data")
        }
        "Secret" if !is_same("/type") => immutable("type"),
        "Pod" if spec_without_images(before) != spec_without_images(after) => Err(invalid(
            after,
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`",
        )),
        _ => Ok(()),
    }
}

fn spec_without_images(pod: &Object) -> Value {
    let mut spec = pod.field("spec").cloned().unwrap_or_default();
    if let Some(Value::Array(containers)) = spec.get_mut("containers") {
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            container.remove("image");
        }
    }
    spec
}
