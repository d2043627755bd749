//! Helpers for action declarations.

use serde_json::{Map, Value, json};
use workflow::catalogue::{BlastRadius, Permission, Priors};
use workflow::duration::Duration;
use workflow::fact::{FactPattern, Predicate, ValuePattern};
use workflow::{ActionClass, ActionSpec, Reversibility};

/// Kinds with a pod template.
pub(crate) const WORKLOADS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet"];

/// Returns the declaration of a reversible action on an object that affects every pod of its workload. Most actions start
/// from it and override what differs.
pub(crate) fn reversible(
    name: &str,
    summary: &str,
    kinds: &[&str],
    arguments: Value,
    required: &[&str],
) -> ActionSpec {
    let mut properties = Map::new();
    properties.insert("target".into(), object_schema(kinds));
    if let Value::Object(arguments) = arguments {
        properties.extend(arguments);
    }
    let mut names = vec!["target"];
    names.extend(required);
    ActionSpec {
        name: name.into(),
        summary: summary.into(),
        parameters: schema(Value::Object(properties), &names),
        target: Some("target".into()),
        target_kinds: kinds.iter().map(|kind| kind.to_string()).collect(),
        class: ActionClass::NaturallyIdempotent,
        reversibility: Reversibility::Reversible,
        has_inverse: true,
        reads: Vec::new(),
        needs: vec![fact(Predicate::Exists, None, Some(json!(true)))],
        effects: Vec::new(),
        permissions: vec![permission("get", ""), permission("patch", "")],
        blast_radius: BlastRadius::Workload,
        priors: priors(45, 7.0, 3.0, 60.0),
    }
}

/// Returns the declaration of an action without a target.
pub(crate) fn without_target(
    name: &str,
    summary: &str,
    arguments: Value,
    required: &[&str],
    priors: Priors,
) -> ActionSpec {
    ActionSpec {
        name: name.into(),
        summary: summary.into(),
        parameters: schema(arguments, required),
        target: None,
        target_kinds: Vec::new(),
        class: ActionClass::NaturallyIdempotent,
        reversibility: Reversibility::NoEffect,
        has_inverse: false,
        reads: Vec::new(),
        needs: Vec::new(),
        effects: Vec::new(),
        permissions: Vec::new(),
        blast_radius: BlastRadius::Nothing,
        priors,
    }
}

/// Returns the JSON Schema of arguments; other properties than `properties` are rejected.
fn schema(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

/// Returns the JSON Schema of an object reference with one of these kinds.
fn object_schema(kinds: &[&str]) -> Value {
    let name = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": 253, "description": what});
    json!({
        "type": "object",
        "description": "The object to act on. It must be an object that the evidence contains, never a name from free text.",
        "additionalProperties": false,
        "required": ["kind", "name"],
        "properties": {
            "cluster": {"type": "string", "maxLength": 253, "description": "Cluster name from the configuration."},
            "apiVersion": name("Group and version, such as apps/v1. Default: the version of the built-in kind."),
            "kind": {"type": "string", "enum": kinds, "description": "Kind of the object."},
            "namespace": name("Namespace; absent for cluster-scoped objects."),
            "name": name("Name of the object."),
            "uid": name("Uid of the object; a recreated object with the same name has another uid."),
        },
    })
}

/// Returns the JSON Schema of a container name.
pub(crate) fn container_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 63, "description": "Name of the container, as in the pod template."})
}

/// Returns a fact pattern about the target.
pub(crate) fn fact(predicate: Predicate, key: Option<&str>, value: Option<Value>) -> FactPattern {
    FactPattern {
        subject: "$target".into(),
        kind: None,
        predicate,
        key: key.map(Into::into),
        value: value.map(ValuePattern::Is),
    }
}

/// Returns the permission for `verb` on `kind`; an empty `kind` means the target's kind.
pub(crate) fn permission(verb: &str, kind: &str) -> Permission {
    Permission { verb: verb.into(), kind: kind.into() }
}

/// Returns priors: the median duration in seconds, the pseudo-counts of successes and failures, and the cost of the
/// disruption in seconds of an operator's time.
pub(crate) fn priors(
    seconds: u64,
    success_alpha: f64,
    success_beta: f64,
    cost_seconds: f64,
) -> Priors {
    Priors { duration: Duration::from_secs(seconds), success_alpha, success_beta, cost_seconds }
}
