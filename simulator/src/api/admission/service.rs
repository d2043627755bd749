use cluster::{Object, PortRef};
use serde_json::Value;

use super::metadata::label_key_error;
use super::{FieldError, cause, invalid_field, invalid_object};
use crate::api::status_error::{StatusCause, StatusError};

pub(super) fn check(object: &Object) -> Result<(), StatusError> {
    let ports = object.at("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_external = object.at("/spec/type").is_some_and(|kind| kind == "ExternalName");
    let is_headless = object.at("/spec/clusterIP").is_some_and(|address| address == "None");
    if ports.is_empty() && !is_external && !is_headless {
        return Err(invalid_field(object, "spec.ports", &FieldError::Required("")));
    }
    let mut causes = Vec::new();
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if let Some(kind) = object.at("/spec/type").filter(|kind| !kinds.iter().any(|one| kind == one))
    {
        causes.push(cause("spec.type", &FieldError::Unsupported(kind, &kinds)));
    }
    for (i, port) in ports.iter().enumerate() {
        check_port(&ports, i, port, &mut causes);
    }
    if let Some(selector) = object.at("/spec/selector") {
        check_selector(selector, &mut causes);
    }
    if causes.is_empty() { Ok(()) } else { Err(invalid_object(object, causes)) }
}

fn check_port(ports: &[Value], i: usize, port: &Value, causes: &mut Vec<StatusCause>) {
    let range = "must be between 1 and 65535, inclusive";
    let field = |name: &str| format!("spec.ports[{i}].{name}");
    let name =
        |port: &Value| port.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
    if ports.len() > 1 && name(port).is_empty() {
        causes.push(cause(&field("name"), &FieldError::Required("")));
    } else if ports.len() > 1 && ports[..i].iter().any(|other| name(other) == name(port)) {
        causes.push(cause(&field("name"), &FieldError::Duplicate(&Value::from(name(port)))));
    }
    let number = port.get("port").cloned().unwrap_or_default();
    if !number.as_u64().is_some_and(|port| (1..=65535).contains(&port)) {
        causes.push(cause(&field("port"), &FieldError::Invalid(&number, range)));
    }
    match port.get("targetPort").and_then(PortRef::of) {
        Some(PortRef::Number(1..)) => {}
        Some(PortRef::Name(name)) if is_port_name(name) => {}
        Some(PortRef::Number(0) | PortRef::Name(_)) | None => {
            let target = port.get("targetPort").cloned().unwrap_or_default();
            let letters = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
            let detail = if target.is_string() { letters } else { range };
            causes.push(cause(&field("targetPort"), &FieldError::Invalid(&target, detail)));
        }
    }
}

fn check_selector(selector: &Value, causes: &mut Vec<StatusCause>) {
    let Some(labels) = selector.as_object().filter(|map| map.values().all(Value::is_string)) else {
        causes.push(cause(
            "spec.selector",
            &FieldError::Invalid(selector, "must map strings to strings"),
        ));
        return;
    };
    for key in labels.keys() {
        if let Some(detail) = label_key_error(key) {
            causes.push(cause(
                "spec.selector",
                &FieldError::Invalid(&Value::from(key.as_str()), detail),
            ));
        }
    }
}

fn is_port_name(name: &str) -> bool {
    let has_valid_chars =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    has_valid_chars
        && name.len() <= 15
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}

pub(super) fn check_update(before: &Object, after: &Object) -> Result<(), StatusError> {
    let (old, new) = (before.at("/spec/clusterIP"), after.at("/spec/clusterIP"));
    if old == new || old.is_none() {
        return Ok(());
    }
    let value = Value::Array(vec![new.cloned().unwrap_or_default()]);
    Err(invalid_field(
        after,
        "spec.clusterIPs[0]",
        &FieldError::Invalid(&value, "may not change once set"),
    ))
}
