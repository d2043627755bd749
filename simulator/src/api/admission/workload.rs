use std::collections::BTreeMap;

use cluster::{Container, Object, ProbeCheck, Quantity, Selector, containers};
use serde_json::{Value, json};

use super::{Wrong, wrong};
use crate::api::refusal::Refusal;

pub(super) fn check(object: &Object) -> Result<(), Refusal> {
    let replicas = object.at("/spec/replicas").cloned().unwrap_or_default();
    let is_whole = replicas.as_i64().is_some_and(|n| (0..=i64::from(i32::MAX)).contains(&n));
    if !is_whole {
        let why = "must be greater than or equal to 0";
        return Err(wrong(object, "spec.replicas", &Wrong::Invalid(&replicas, why)));
    }
    let settled = object.at("/spec/minReadySeconds").cloned().unwrap_or_else(|| 0.into());
    if settled.as_i64().is_none_or(|seconds| seconds < 0) {
        let why = "must be greater than or equal to 0";
        return Err(wrong(object, "spec.minReadySeconds", &Wrong::Invalid(&settled, why)));
    }
    check_strategy(object)?;
    let selector = object.at("/spec/selector").cloned().unwrap_or_default();
    let read = serde_json::from_value::<Selector>(selector.clone()).ok();
    let Some(read) = read.filter(|selector| !selector.is_empty()) else {
        if selector.is_null() {
            return Err(wrong(object, "spec.selector", &Wrong::Required("")));
        }
        let why = "empty selector is invalid for deployment";
        return Err(wrong(object, "spec.selector", &Wrong::Invalid(&selector, why)));
    };
    let labels = object.at("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    let known: BTreeMap<String, String> =
        serde_json::from_value(labels.clone()).unwrap_or_default();
    if !read.matches(&known) {
        let why = "`selector` does not match template `labels`";
        return Err(wrong(object, "spec.template.metadata.labels", &Wrong::Invalid(&labels, why)));
    }
    if let Some(policy) = object.at("/spec/template/spec/restartPolicy")
        && policy != "Always"
    {
        let what = Wrong::Unsupported(policy, &["Always"]);
        return Err(wrong(object, "spec.template.spec.restartPolicy", &what));
    }
    check_containers(object, "spec.template.spec")
}

fn check_strategy(object: &Object) -> Result<(), Refusal> {
    let Some(kind) = object.at("/spec/strategy/type") else { return Ok(()) };
    if kind == "Recreate" || kind == "RollingUpdate" {
        return Ok(());
    }
    // Told as the server holds it, not as it is on the wire.
    let part = |name: &str| object.at(&format!("/spec/strategy/rollingUpdate/{name}"));
    let mut value = json!({"Type": kind});
    value["RollingUpdate"] =
        json!({"MaxUnavailable": part("maxUnavailable"), "MaxSurge": part("maxSurge")});
    let what = Wrong::Unsupported(&value, &["Recreate", "RollingUpdate"]);
    Err(wrong(object, "spec.strategy", &what))
}

pub(super) fn check_containers(object: &Object, place: &str) -> Result<(), Refusal> {
    let mut names: Vec<&str> = Vec::new();
    let all: Vec<Container<'_>> = containers(object).collect();
    for container in &all {
        let field = format!("{place}.containers[{}]", names.len());
        let name = container.name();
        if name.is_empty() {
            return Err(wrong(object, &format!("{field}.name"), &Wrong::Required("")));
        }
        if names.contains(&name) {
            return Err(wrong(
                object,
                &format!("{field}.name"),
                &Wrong::Duplicate(&Value::from(name)),
            ));
        }
        names.push(name);
        if container.image().is_empty() {
            return Err(wrong(object, &format!("{field}.image"), &Wrong::Required("")));
        }
        check_resources(object, &field, container)?;
        check_ports(object, &field, container)?;
        check_probes(object, &field, container)?;
        for (i, variable) in container.env().enumerate() {
            if variable.name.is_empty() {
                return Err(wrong(object, &format!("{field}.env[{i}].name"), &Wrong::Required("")));
            }
            if variable.name.contains('=') {
                let value = Value::from(variable.name);
                let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
                return Err(wrong(
                    object,
                    &format!("{field}.env[{i}].name"),
                    &Wrong::Invalid(&value, why),
                ));
            }
        }
    }
    if names.is_empty() {
        return Err(wrong(object, &format!("{place}.containers"), &Wrong::Required("")));
    }
    Ok(())
}

fn check_ports(object: &Object, field: &str, container: &Container<'_>) -> Result<(), Refusal> {
    let ports = container.value().get("ports").and_then(Value::as_array).into_iter().flatten();
    for (i, port) in ports.enumerate() {
        let field = format!("{field}.ports[{i}].containerPort");
        match port.get("containerPort") {
            None => return Err(wrong(object, &field, &Wrong::Required(""))),
            Some(number) if !number.as_u64().is_some_and(|port| (1..=65535).contains(&port)) => {
                let why = "must be between 1 and 65535, inclusive";
                return Err(wrong(object, &field, &Wrong::Invalid(number, why)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_probes(object: &Object, field: &str, container: &Container<'_>) -> Result<(), Refusal> {
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
        let why = "must be between 1 and 65535, inclusive";
        return Err(wrong(
            object,
            &format!("{field}.{name}.{check}.port"),
            &Wrong::Invalid(&port, why),
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
                let why = "must be greater than or equal to 0";
                let field = format!("{field}.resources.{list}.{resource}");
                return Err(wrong(object, &field, &Wrong::Invalid(figure, why)));
            }
        }
    }
    for resource in ["cpu", "memory"] {
        if let (Some(request), Some(limit)) =
            (container.request(resource), container.limit(resource))
            && request > limit
        {
            let why = format!("must be less than or equal to {resource} limit of {limit}");
            let value = Value::from(request.to_string());
            return Err(wrong(
                object,
                &format!("{field}.resources.requests"),
                &Wrong::Invalid(&value, &why),
            ));
        }
    }
    Ok(())
}

pub(super) fn check_pod_update(before: &Object, after: &Object) -> Result<(), Refusal> {
    if spec_without_images(before) == spec_without_images(after) {
        return Ok(());
    }
    let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    Err(wrong(after, "spec", &Wrong::Forbidden(why)))
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
