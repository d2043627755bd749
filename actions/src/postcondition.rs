use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::Condition;

/// Creates a condition from its manifest form.
pub(crate) fn condition(value: Value) -> Condition {
    serde_json::from_value(value).expect("conditions defined here are valid")
}

/// The object exists and its controller has observed the latest spec.
const IS_OBSERVED: &str = "d != null && has(d.status) && has(d.status.observedGeneration) && d.status.observedGeneration >= d.metadata.generation";

/// Returns the CEL expression over `d` that is true if a workload of this kind is rolled out and ready.
fn ready_check(kind: &str) -> Option<String> {
    let count = |field: &str| format!("(has(d.status.{field}) ? d.status.{field} : 0)");
    let desired = "(has(d.spec.replicas) ? d.spec.replicas : 1)";
    let all = |fields: &[&str], desired: &str| {
        fields.iter().map(|field| format!(" && {} == {desired}", count(field))).collect::<String>()
    };
    match kind {
        "Deployment" => Some(format!(
            "{IS_OBSERVED}{}",
            all(&["updatedReplicas", "readyReplicas", "replicas"], desired)
        )),
        "StatefulSet" => {
            Some(format!("{IS_OBSERVED}{}", all(&["updatedReplicas", "readyReplicas"], desired)))
        }
        "DaemonSet" => Some(format!(
            "{IS_OBSERVED}{}",
            all(&["updatedNumberScheduled", "numberReady"], &count("desiredNumberScheduled"))
        )),
        _ => None,
    }
}

/// Returns the condition that a workload is rolled out and ready. `None` for an object that is no workload.
pub(crate) fn is_rolled_out(workload: &ObjectRef) -> Option<Condition> {
    let check = ready_check(&workload.kind)?;
    Some(condition(json!({
        "name": format!("{workload} is rolled out and ready"),
        "read": {"d": read_object(workload)},
        "check": check,
        "within": "3m",
        "holdFor": "20s",
    })))
}

/// Returns the condition that a Service has ready endpoints, on the pods' port `port` if one is given.
pub(crate) fn has_endpoints(service: &ObjectRef, port: Option<u64>) -> Condition {
    let ready = "has(s.endpoints) && s.endpoints != null && s.endpoints.exists(e, has(e.conditions) && has(e.conditions.ready) && e.conditions.ready)";
    let has_port = port.map_or(String::new(), |port| format!(" && has(s.ports) && s.ports != null && s.ports.exists(p, has(p.port) && p.port == {port})"));
    condition(json!({
        "name": format!("{service} has ready endpoints"),
        "read": {"slices": {
            "kind": "EndpointSlice",
            "namespace": service.namespace.as_deref().unwrap_or("default"),
            "selector": format!("kubernetes.io/service-name={}", service.name),
        }},
        "check": format!("slices.exists(s, {ready}{has_port})"),
        "within": "2m",
        "holdFor": "20s",
    }))
}

/// Returns the `read` of a condition for one object.
pub(crate) fn read_object(object: &ObjectRef) -> Value {
    let mut read =
        json!({"kind": object.kind, "apiVersion": object.api_version, "name": object.name});
    if let Some(namespace) = &object.namespace {
        read["namespace"] = json!(namespace);
    }
    read
}
