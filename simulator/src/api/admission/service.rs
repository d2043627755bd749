use cluster::{Object, PortRef};
use serde_json::Value;

use super::{Wrong, wrong};
use crate::api::refusal::Refusal;

pub(super) fn check(object: &Object) -> Result<(), Refusal> {
    let ports = object.at("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_external = object.at("/spec/type").is_some_and(|kind| kind == "ExternalName");
    let is_headless = object.at("/spec/clusterIP").is_some_and(|address| address == "None");
    if ports.is_empty() && !is_external && !is_headless {
        return Err(wrong(object, "spec.ports", &Wrong::Required("")));
    }
    for (i, port) in ports.iter().enumerate() {
        let number = port.get("port").cloned().unwrap_or_default();
        if !number.as_u64().is_some_and(|port| (1..=65535).contains(&port)) {
            let why = "must be between 1 and 65535, inclusive";
            return Err(wrong(
                object,
                &format!("spec.ports[{i}].port"),
                &Wrong::Invalid(&number, why),
            ));
        }
        match port.get("targetPort").and_then(PortRef::of) {
            Some(PortRef::Number(1..)) => {}
            Some(PortRef::Name(name)) if is_port_name(name) => {}
            Some(PortRef::Number(0) | PortRef::Name(_)) | None => {
                let target = port.get("targetPort").cloned().unwrap_or_default();
                let why = if target.is_string() {
                    "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
                } else {
                    "must be between 1 and 65535, inclusive"
                };
                let field = format!("spec.ports[{i}].targetPort");
                return Err(wrong(object, &field, &Wrong::Invalid(&target, why)));
            }
        }
        let name =
            |port: &Value| port.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
        if ports.len() > 1 && name(port).is_empty() {
            return Err(wrong(object, &format!("spec.ports[{i}].name"), &Wrong::Required("")));
        }
        if ports.len() > 1 && ports[..i].iter().any(|other| name(other) == name(port)) {
            let value = Value::from(name(port));
            return Err(wrong(object, &format!("spec.ports[{i}].name"), &Wrong::Duplicate(&value)));
        }
    }
    let selector = object.at("/spec/selector").filter(|selector| {
        !selector.as_object().is_some_and(|map| map.values().all(Value::is_string))
    });
    match selector {
        Some(selector) => Err(wrong(
            object,
            "spec.selector",
            &Wrong::Invalid(selector, "must map texts to texts"),
        )),
        None => Ok(()),
    }
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

pub(super) fn check_update(before: &Object, after: &Object) -> Result<(), Refusal> {
    let (old, new) = (before.at("/spec/clusterIP"), after.at("/spec/clusterIP"));
    if old == new || old.is_none() {
        return Ok(());
    }
    let value = Value::Array(vec![new.cloned().unwrap_or_default()]);
    Err(wrong(after, "spec.clusterIPs[0]", &Wrong::Invalid(&value, "may not change once set")))
}
