use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::fact::{Fact, Predicate};
use workflow::{ActionSpec, Args, ErrorCode};

use crate::argument::{arguments, text};
use crate::change::{ChangeInput, FieldUpdate, Proposed};
use crate::changed_field::known_good_fact;
use crate::container::{ContainerRef, is_in_container};
use crate::declaration::{WORKLOADS, container_schema, fact, reversible};
use crate::equivalence::is_equal;
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

pub(crate) struct SetEnv;

impl Action for SetEnv {
    fn name(&self) -> &'static str {
        "set-env"
    }

    fn spec(&self) -> ActionSpec {
        let arguments = json!({
            "container": container_schema(),
            "name": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[A-Za-z_.-][A-Za-z0-9_.-]*$", "description": "Name of the variable."},
            "value": {"type": ["string", "null"], "maxLength": 32768, "description": "The value; null removes the variable."},
            "from": {"type": "object", "minProperties": 1, "description": "The source of the value, as `valueFrom` in the pod template; instead of `value`."},
            "expect": {"type": ["string", "object", "null"], "description": "The value (or `valueFrom`) that must be set now, null for none; with any other value, nothing is changed."},
        });
        ActionSpec {
            reads: vec![fact(Predicate::Env, Some("$container/$name"), None)],
            effects: vec![fact(Predicate::Env, Some("$container/$name"), Some(json!("$value")))],
            ..reversible(
                self.name(),
                "Sets or removes one environment variable of a container of a workload.",
                WORKLOADS,
                arguments,
                &["container", "name"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
        let (container, name) = (text(args, "container")?, text(args, "name")?);
        let desired = match (args.get("value"), args.get("from")) {
            (Some(value), None) => value.clone(),
            (None, Some(from)) => from.clone(),
            (Some(_), Some(_)) | (None, None) => {
                let message =
                    format!("the variable `{name}` requires exactly one of `value` and `from`");
                return Err(Refused { code: ErrorCode::InvalidArguments, message });
            }
        };
        let target = ContainerRef::of(object, container)?;
        let variables =
            target.container.get("env").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // If a name occurs twice, Kubernetes uses the last one.
        let existing = variables.iter().rev().find(|variable| has_name(variable, name));
        let field = FieldUpdate {
            current: existing.map_or(Value::Null, value_or_source),
            desired,
            is_same: is_equal,
        };
        field.propose(args, |field| {
            let mut undo = Args::from_iter([
                ("container".to_string(), container.into()),
                ("name".to_string(), name.into()),
            ]);
            undo.insert(
                if field.current.is_object() { "from" } else { "value" }.into(),
                field.current.clone(),
            );
            let list = with(variables, name, &field.desired);
            let value = if list.is_empty() { Value::Null } else { list.into() };
            (vec![target.set("env", value)], Some(undo))
        })
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Crash, Symptom::Unready]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Env]
    }

    fn selects(&self, args: &Args, path: &str) -> bool {
        is_in_container(args, path)
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        let before = field.before;
        let now = field.object.at(field.pointer).cloned().unwrap_or_default();
        let name = before.get("name").or_else(|| now.get("name"))?.as_str()?;
        let (member, value) = match (before.get("value"), before.get("valueFrom")) {
            (_, Some(from)) => ("from", from.clone()),
            (Some(value), None) => ("value", value.clone()),
            // A variable without a value is the empty string; a variable that did not exist is removed.
            (None, None) if before.is_object() => ("value", "".into()),
            (None, None) => ("value", Value::Null),
        };
        let container = field.container()?;
        Some(arguments([("container", container.into()), ("name", name.into()), (member, value)]))
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        let key = format!("{}/{}", text(args, "container").ok()?, text(args, "name").ok()?);
        known_good_fact(subject, Predicate::KnownGoodEnv, &key, args.get("value"))
    }
}

fn has_name(variable: &Value, name: &str) -> bool {
    variable.get("name").and_then(Value::as_str) == Some(name)
}

/// Returns the value of a variable, or its `valueFrom`. A variable without either has the empty value.
fn value_or_source(variable: &Value) -> Value {
    variable
        .get("valueFrom")
        .or_else(|| variable.get("value"))
        .cloned()
        .unwrap_or_else(|| "".into())
}

/// Returns the variables with `name` set in its position (at the end if it is new), or removed if `value_or_source` is
/// null.
fn with(variables: &[Value], name: &str, value_or_source: &Value) -> Vec<Value> {
    let set = match value_or_source {
        Value::Null => None,
        Value::Object(_) => Some(json!({"name": name, "valueFrom": value_or_source})),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Some(json!({"name": name, "value": value_or_source}))
        }
    };
    let mut set = set.into_iter();
    let mut list: Vec<Value> = Vec::new();
    for variable in variables {
        if has_name(variable, name) { list.extend(set.next()) } else { list.push(variable.clone()) }
    }
    list.extend(set);
    list
}
