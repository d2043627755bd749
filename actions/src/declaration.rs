//! Pieces that the declarations of several actions are made of.

use serde_json::{Map, Value, json};
use workflow::catalogue::{BlastRadius, Permission, Priors};
use workflow::duration::Span;
use workflow::fact::{FactPattern, Predicate, ValuePattern};
use workflow::{ActionClass, ActionSpec, Reversibility};

/// Kinds that keep pods by a template.
pub(crate) const WORKLOADS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet"];

/// The declaration of an action on an object that can be turned back and disturbs every pod of its workload: what most
/// actions are. Each file changes what is different with it.
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
        class: ActionClass::A,
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

/// The declaration of an action on nothing.
pub(crate) fn on_nothing(
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
        class: ActionClass::A,
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

/// A JSON Schema of arguments; nothing beside `properties` is taken.
fn schema(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

/// The JSON Schema of an argument that names an object of one of these kinds.
fn object_schema(kinds: &[&str]) -> Value {
    let name = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": 253, "description": what});
    json!({
        "type": "object",
        "description": "The object to act on. It must be one that the evidence found, never a name out of a text.",
        "additionalProperties": false,
        "required": ["kind", "name"],
        "properties": {
            "cluster": {"type": "string", "maxLength": 253, "description": "Name of the cluster, as configured."},
            "apiVersion": name("Group and version, such as apps/v1; that of the built-in kind where absent."),
            "kind": {"type": "string", "enum": kinds, "description": "Its kind."},
            "namespace": name("Its namespace; absent outside namespaces."),
            "name": name("Its name."),
            "uid": name("Its incarnation: an object that was made again under the same name is another one."),
        },
    })
}

/// The JSON Schema of the name of a container.
pub(crate) fn container_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 63, "description": "Name of the container, as in the pod template."})
}

/// A pattern about the target.
pub(crate) fn fact(predicate: Predicate, key: Option<&str>, value: Option<Value>) -> FactPattern {
    FactPattern {
        subject: "$target".into(),
        kind: None,
        predicate,
        key: key.map(Into::into),
        value: value.map(ValuePattern::Is),
    }
}

/// The right to do `verb` on `kind`; on the target's own kind where it is empty.
pub(crate) fn permission(verb: &str, kind: &str) -> Permission {
    Permission { verb: verb.into(), kind: kind.into() }
}

/// What is believed before anything was seen: seconds in the middle, successes and failures as if already seen, and the
/// disturbance in seconds of a person's time.
pub(crate) fn priors(
    seconds: u64,
    success_alpha: f64,
    success_beta: f64,
    cost_seconds: f64,
) -> Priors {
    Priors { duration: Span::from_secs(seconds), success_alpha, success_beta, cost_seconds }
}
