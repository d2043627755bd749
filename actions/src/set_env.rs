use cluster::{Object, Reply};
use serde_json::{Value, json};
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::argument::text;
use crate::change::{Field, Proposal, change};
use crate::container::Place;
use crate::declaration::{WORKLOADS, container_schema, fact, reversible};
use crate::sameness::is_equal;

pub(crate) const NAME: &str = "set-env";

pub(crate) fn spec() -> ActionSpec {
    let arguments = json!({
        "container": container_schema(),
        "name": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[A-Za-z_.-][A-Za-z0-9_.-]*$", "description": "Name of the variable."},
        "value": {"type": ["string", "null"], "maxLength": 32768, "description": "Its value; null removes the variable."},
        "from": {"type": "object", "minProperties": 1, "description": "Where its value comes from, as `valueFrom` in the pod template; instead of `value`."},
        "expect": {"type": ["string", "object", "null"], "description": "The value (or `valueFrom`) that must stand there now, null for none; anything else is left as it is."},
    });
    ActionSpec {
        reads: vec![fact(Predicate::Env, Some("$container/$name"), None)],
        effects: vec![fact(Predicate::Env, Some("$container/$name"), Some(json!("$value")))],
        ..reversible(
            NAME,
            "Sets or removes one environment variable of a container of a workload.",
            WORKLOADS,
            arguments,
            &["container", "name"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    change(
        spec,
        args,
        replies,
        |_| Vec::new(),
        |object, _| propose(args, object).unwrap_or_else(|refused| refused),
    )
}

fn propose(args: &Args, object: &Object) -> Result<Proposal, Proposal> {
    let (container, name) = (text(args, "container")?, text(args, "name")?);
    let wanted = match (args.get("value"), args.get("from")) {
        (Some(value), None) => value.clone(),
        (None, Some(from)) => from.clone(),
        (Some(_), Some(_)) | (None, None) => {
            let why = format!("give one of `value` and `from` for the variable `{name}`");
            return Err(Proposal::Refuse { code: "bad-arguments", why });
        }
    };
    let place = Place::of(object, container)?;
    let variables =
        place.container.get("env").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // Where a name stands twice, the later one counts.
    let present = variables.iter().rev().find(|variable| is_called(variable, name));
    let field = Field { current: present.map_or(Value::Null, worth), wanted, is_same: is_equal };
    Ok(field.propose(args, |field| {
        let mut undo = Args::from_iter([
            ("container".to_string(), container.into()),
            ("name".to_string(), name.into()),
        ]);
        undo.insert(
            if field.current.is_object() { "from" } else { "value" }.into(),
            field.current.clone(),
        );
        let list = with(variables, name, &field.wanted);
        let value = if list.is_empty() { Value::Null } else { list.into() };
        (vec![place.set("env", value)], Some(undo))
    }))
}

fn is_called(variable: &Value, name: &str) -> bool {
    variable.get("name").and_then(Value::as_str) == Some(name)
}

/// What a variable is worth: its text, or where that comes from. One without either is the empty text.
fn worth(variable: &Value) -> Value {
    variable
        .get("valueFrom")
        .or_else(|| variable.get("value"))
        .cloned()
        .unwrap_or_else(|| "".into())
}

/// The variables with the one called `name` set in its place, at the end if it is new, or gone if `worth` is null.
fn with(variables: &[Value], name: &str, worth: &Value) -> Vec<Value> {
    let set = match worth {
        Value::Null => None,
        Value::Object(_) => Some(json!({"name": name, "valueFrom": worth})),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Some(json!({"name": name, "value": worth}))
        }
    };
    let mut set = set.into_iter();
    let mut list: Vec<Value> = Vec::new();
    for variable in variables {
        if is_called(variable, name) {
            list.extend(set.next())
        } else {
            list.push(variable.clone())
        }
    }
    list.extend(set);
    list
}
