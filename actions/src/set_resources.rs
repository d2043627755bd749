use cluster::Object;
use serde_json::{Map, Value, json};
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::argument::text;
use crate::change::{FieldUpdate, Proposed, read_then_patch};
use crate::container::ContainerRef;
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::equivalence::{is_same_resources, quantity};
use crate::{Next, Reply};

pub(crate) const NAME: &str = "set-resources";

const LISTS: [&str; 2] = ["limits", "requests"];

pub(crate) fn spec() -> ActionSpec {
    let amount = |what: &str| json!({"type": ["string", "null"], "minLength": 1, "maxLength": 32, "description": what});
    let list = |what: &str| {
        json!({"type": "object", "additionalProperties": false, "minProperties": 1, "description": what, "properties": {
            "cpu": amount("CPU: `250m`; null removes the value."),
            "memory": amount("Memory: `256Mi`; null removes the value."),
        }})
    };
    let (requests, limits) = (
        list("Resource requests; values that are not listed are kept."),
        list("Resource limits; values that are not listed are kept."),
    );
    let expect = json!({"type": "object", "additionalProperties": false, "properties": {"requests": requests, "limits": limits},
        "description": "The requests and limits that must be set now, for those that change; with any other values, nothing is changed."});
    let arguments = json!({"container": container_schema(), "requests": requests, "limits": limits, "expect": expect});
    ActionSpec {
        reads: vec![fact(Predicate::MemoryLimit, Some("$container"), None)],
        // The fact is in bytes and the argument is a quantity, so the effects declare no values.
        effects: vec![
            fact(Predicate::MemoryLimit, Some("$container"), None),
            fact(Predicate::Terminated, Some("$container"), None),
        ],
        priors: priors(60, 7.0, 3.0, 60.0),
        ..reversible(
            NAME,
            "Sets CPU and memory requests and limits of a container of a workload.",
            WORKLOADS,
            arguments,
            &["container"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    read_then_patch(
        spec,
        args,
        replies,
        |_| Vec::new(),
        |object, _| propose(args, object).unwrap_or_else(|refused| refused),
    )
}

fn propose(args: &Args, object: &Object) -> Result<Proposed, Proposed> {
    let name = text(args, "container")?;
    let container = ContainerRef::of(object, name)?;
    let mut resources = container.field("resources");
    let (mut current, mut desired) = (Map::new(), Map::new());
    for list in LISTS {
        let Some(values) = args.get(list).and_then(Value::as_object) else { continue };
        if let Some((resource, invalid)) =
            values.iter().find(|(_, value)| !value.is_null() && quantity(value).is_none())
        {
            let message = format!(
                "`{list}.{resource}` must be a quantity such as `250m` or `256Mi`, found {invalid}"
            );
            return Err(Proposed::Refused { code: "bad-arguments", message });
        }
        let current_values = values
            .keys()
            .map(|resource| (resource.clone(), resource_value(&resources, list, resource)))
            .collect();
        current.insert(list.into(), Value::Object(current_values));
        desired.insert(list.into(), Value::Object(values.clone()));
        merge_list(&mut resources, list, values);
    }
    if desired.is_empty() {
        return Err(Proposed::Refused {
            code: "bad-arguments",
            message: "at least one value in `requests` or `limits` is required".into(),
        });
    }
    let field = FieldUpdate {
        current: Value::Object(current),
        desired: Value::Object(desired),
        is_same: is_same_resources,
    };
    Ok(field.propose(args, |field| {
        let mut undo = Args::from_iter([("container".to_string(), name.into())]);
        undo.extend(field.current.as_object().cloned().unwrap_or_default());
        (vec![container.set("resources", resources)], Some(undo))
    }))
}

/// Returns one value as a string, or null if it is absent.
fn resource_value(resources: &Value, list: &str, resource: &str) -> Value {
    match resources.get(list).and_then(|values| values.get(resource)) {
        Some(Value::Number(number)) => number.to_string().into(),
        Some(value) => value.clone(),
        None => Value::Null,
    }
}

/// Merges `values` into one list of `resources`; null removes a value.
fn merge_list(resources: &mut Value, list: &str, values: &Map<String, Value>) {
    if !resources.is_object() {
        *resources = json!({});
    }
    let mut merged = resources.get(list).and_then(Value::as_object).cloned().unwrap_or_default();
    for (resource, value) in values {
        if value.is_null() {
            merged.remove(resource);
        } else {
            merged.insert(resource.clone(), value.clone());
        }
    }
    resources[list] = Value::Object(merged);
}
