use cluster::{Object, Reply};
use serde_json::{Map, Value, json};
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::argument::text;
use crate::change::{Field, Proposal, change};
use crate::container::Place;
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::sameness::{is_same_resources, quantity};

pub(crate) const NAME: &str = "set-resources";

const LISTS: [&str; 2] = ["limits", "requests"];

pub(crate) fn spec() -> ActionSpec {
    let amount = |what: &str| json!({"type": ["string", "null"], "minLength": 1, "maxLength": 32, "description": what});
    let list = |what: &str| {
        json!({"type": "object", "additionalProperties": false, "minProperties": 1, "description": what, "properties": {
            "cpu": amount("Cores: `250m`; null removes the figure."),
            "memory": amount("Bytes: `256Mi`; null removes the figure."),
        }})
    };
    let (requests, limits) = (
        list("What each pod reserves; figures that are not named stay as they are."),
        list("The most that each pod may use; figures that are not named stay as they are."),
    );
    let expect = json!({"type": "object", "additionalProperties": false, "properties": {"requests": requests, "limits": limits},
        "description": "The figures that must stand there now, of those that are set; anything else is left as it is."});
    let arguments = json!({"container": container_schema(), "requests": requests, "limits": limits, "expect": expect});
    ActionSpec {
        reads: vec![fact(Predicate::MemoryLimit, Some("$container"), None)],
        // In bytes, while the argument is a quantity: the value stays open.
        effects: vec![
            fact(Predicate::MemoryLimit, Some("$container"), None),
            fact(Predicate::Terminated, Some("$container"), None),
        ],
        priors: priors(60, 7.0, 3.0, 60.0),
        ..reversible(
            NAME,
            "Sets what a container of a workload reserves and may use of memory and processor.",
            WORKLOADS,
            arguments,
            &["container"],
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
    let name = text(args, "container")?;
    let place = Place::of(object, name)?;
    let mut resources = place.field("resources");
    let (mut current, mut wanted) = (Map::new(), Map::new());
    for list in LISTS {
        let Some(figures) = args.get(list).and_then(Value::as_object) else { continue };
        if let Some((resource, bad)) =
            figures.iter().find(|(_, value)| !value.is_null() && quantity(value).is_none())
        {
            let why = format!(
                "`{list}.{resource}` must be a quantity such as `250m` or `256Mi`, found {bad}"
            );
            return Err(Proposal::Refuse { code: "bad-arguments", why });
        }
        let present = figures
            .keys()
            .map(|resource| (resource.clone(), figure(&resources, list, resource)))
            .collect();
        current.insert(list.into(), Value::Object(present));
        wanted.insert(list.into(), Value::Object(figures.clone()));
        lay(&mut resources, list, figures);
    }
    if wanted.is_empty() {
        return Err(Proposal::Refuse {
            code: "bad-arguments",
            why: "give at least one figure in `requests` or `limits`".into(),
        });
    }
    let field = Field {
        current: Value::Object(current),
        wanted: Value::Object(wanted),
        is_same: is_same_resources,
    };
    Ok(field.propose(args, |field| {
        let mut undo = Args::from_iter([("container".to_string(), name.into())]);
        undo.extend(field.current.as_object().cloned().unwrap_or_default());
        (vec![place.set("resources", resources)], Some(undo))
    }))
}

/// A figure as a text; null where there is none.
fn figure(resources: &Value, list: &str, resource: &str) -> Value {
    match resources.get(list).and_then(|figures| figures.get(resource)) {
        Some(Value::Number(number)) => number.to_string().into(),
        Some(value) => value.clone(),
        None => Value::Null,
    }
}

/// Lays the named figures over one list of `resources`; null removes.
fn lay(resources: &mut Value, list: &str, figures: &Map<String, Value>) {
    if !resources.is_object() {
        *resources = json!({});
    }
    let mut laid = resources.get(list).and_then(Value::as_object).cloned().unwrap_or_default();
    for (resource, value) in figures {
        if value.is_null() {
            laid.remove(resource);
        } else {
            laid.insert(resource.clone(), value.clone());
        }
    }
    resources[list] = Value::Object(laid);
}
