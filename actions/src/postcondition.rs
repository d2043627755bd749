use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::{ActionSpec, Args, Condition};

use crate::{ask_human, set_service_port, set_service_selector, target, wait};

/// What a good run of the action should show, in general: the workload rolled out and ready, the Service with ready
/// endpoints. `workload` is the workload that the step is to heal, where the target is another object.
///
/// Absent status fields count as zero, as Kubernetes leaves zeros out.
pub fn default_postconditions(
    spec: &ActionSpec,
    args: &Args,
    workload: Option<&ObjectRef>,
) -> Vec<Condition> {
    if matches!(spec.name.as_str(), wait::NAME | ask_human::NAME) {
        return Vec::new();
    }
    let target = target(spec, args, "");
    let mut conditions = Vec::new();
    if let Some(service) = target.as_ref().filter(|target| target.kind == "Service") {
        let port = args
            .get("targetPort")
            .filter(|_| spec.name == set_service_port::NAME)
            .and_then(Value::as_u64);
        conditions.push(has_endpoints(service, port));
    }
    if let Some(map) = target.as_ref().filter(|target| target.kind == "ConfigMap") {
        conditions.push(holds_key(map, args));
    }
    let own = target.as_ref().filter(|target| is_ready_check(&target.kind).is_some());
    let is_of_service =
        matches!(spec.name.as_str(), set_service_port::NAME | set_service_selector::NAME);
    conditions.extend(own.or(workload.filter(|_| !is_of_service)).and_then(is_rolled_out));
    conditions
}

fn condition(value: Value) -> Condition {
    serde_json::from_value(value).expect("conditions written here are well formed")
}

/// The object and its status are there, and the controller has seen the latest spec.
const SEEN: &str = "d != null && has(d.status) && has(d.status.observedGeneration) && d.status.observedGeneration >= d.metadata.generation";

/// When a workload of this kind is rolled out and ready, as CEL over `d`.
fn is_ready_check(kind: &str) -> Option<String> {
    let count = |field: &str| format!("(has(d.status.{field}) ? d.status.{field} : 0)");
    let wanted = "(has(d.spec.replicas) ? d.spec.replicas : 1)";
    let all = |fields: &[&str], wanted: &str| {
        fields.iter().map(|field| format!(" && {} == {wanted}", count(field))).collect::<String>()
    };
    match kind {
        "Deployment" => Some(format!(
            "{SEEN}{}",
            all(&["updatedReplicas", "readyReplicas", "replicas"], wanted)
        )),
        "StatefulSet" => {
            Some(format!("{SEEN}{}", all(&["updatedReplicas", "readyReplicas"], wanted)))
        }
        "DaemonSet" => Some(format!(
            "{SEEN}{}",
            all(&["updatedNumberScheduled", "numberReady"], &count("desiredNumberScheduled"))
        )),
        _ => None,
    }
}

fn is_rolled_out(workload: &ObjectRef) -> Option<Condition> {
    let check = is_ready_check(&workload.kind)?;
    Some(condition(json!({
        "name": format!("{workload} is rolled out and ready"),
        "read": {"d": read_of(workload)},
        "check": check,
        "within": "3m",
        "holdFor": "20s",
    })))
}

fn has_endpoints(service: &ObjectRef, port: Option<u64>) -> Condition {
    let ready = "has(s.endpoints) && s.endpoints != null && s.endpoints.exists(e, has(e.conditions) && has(e.conditions.ready) && e.conditions.ready)";
    let leads = port.map_or(String::new(), |port| format!(" && has(s.ports) && s.ports != null && s.ports.exists(p, has(p.port) && p.port == {port})"));
    condition(json!({
        "name": format!("{service} has ready endpoints"),
        "read": {"slices": {
            "kind": "EndpointSlice",
            "namespace": service.namespace.as_deref().unwrap_or("default"),
            "selector": format!("kubernetes.io/service-name={}", service.name),
        }},
        "check": format!("slices.exists(s, {ready}{leads})"),
        "within": "2m",
        "holdFor": "20s",
    }))
}

fn holds_key(map: &ObjectRef, args: &Args) -> Condition {
    let key =
        Value::String(args.get("key").and_then(Value::as_str).unwrap_or_default().to_string());
    let is_there = format!("c != null && has(c.data) && c.data != null && {key} in c.data");
    let (name, check) = match args.get("value") {
        Some(Value::Null) => ("does not hold", format!("!({is_there})")),
        Some(_) | None => ("holds", is_there),
    };
    condition(
        json!({"name": format!("{map} {name} {key}"), "read": {"c": read_of(map)}, "check": check, "within": "30s"}),
    )
}

fn read_of(object: &ObjectRef) -> Value {
    let mut read =
        json!({"kind": object.kind, "apiVersion": object.api_version, "name": object.name});
    if let Some(namespace) = &object.namespace {
        read["namespace"] = json!(namespace);
    }
    read
}
