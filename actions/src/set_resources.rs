use cluster::{ObjectRef, Quantity};
use serde_json::{Map, Value, json};
use workflow::fact::{Fact, Facts, Predicate};
use workflow::{ActionSpec, Args, ErrorCode};

use crate::argument::{arguments, text};
use crate::change::{ChangeInput, FieldUpdate, Proposed};
use crate::changed_field::known_good_fact;
use crate::container::{ContainerRef, is_in_container};
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::equivalence::{is_same_resources, quantity};
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

const LISTS: [&str; 2] = ["limits", "requests"];

pub(crate) struct SetResources;

impl Action for SetResources {
    fn name(&self) -> &'static str {
        "set-resources"
    }

    fn spec(&self) -> ActionSpec {
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
                self.name(),
                "Sets CPU and memory requests and limits of a container of a workload.",
                WORKLOADS,
                arguments,
                &["container"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
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
                return Err(Refused { code: ErrorCode::InvalidArguments, message });
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
            return Err(Refused {
                code: ErrorCode::InvalidArguments,
                message: "at least one value in `requests` or `limits` is required".into(),
            });
        }
        let field = FieldUpdate {
            current: Value::Object(current),
            desired: Value::Object(desired),
            is_same: is_same_resources,
        };
        field.propose(args, |field| {
            let mut undo = Args::from_iter([("container".to_string(), name.into())]);
            undo.extend(field.current.as_object().cloned().unwrap_or_default());
            (vec![container.set("resources", resources)], Some(undo))
        })
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Memory]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Resources]
    }

    fn selects(&self, args: &Args, path: &str) -> bool {
        is_in_container(args, path)
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        let now = field.object.at(field.pointer).cloned().unwrap_or_default();
        let mut restored = arguments([("container", field.container()?.into())]);
        for list in ["requests", "limits"] {
            let amount = |resources: &Value, name: &str| {
                let values = resources.get(list);
                values.and_then(|values| values.get(name)).cloned().unwrap_or_default()
            };
            let changed: Map<String, Value> = ["cpu", "memory"]
                .into_iter()
                .filter(|name| amount(field.before, name) != amount(&now, name))
                .map(|name| (name.to_string(), amount(field.before, name)))
                .collect();
            if !changed.is_empty() {
                restored.insert(list.into(), changed.into());
            }
        }
        (restored.len() > 1).then_some(restored)
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        let container = text(args, "container").ok()?;
        let memory = args.get("limits").and_then(|limits| limits.get("memory"));
        known_good_fact(subject, Predicate::KnownGoodMemory, container, memory)
    }

    /// Doubles the memory limit of the container that was OOM-killed.
    fn derive_arguments(&self, object: &ObjectRef, facts: &Facts) -> Option<Args> {
        let killed =
            facts.of(object, Predicate::Terminated).find(|fact| fact.value == "OOMKilled")?;
        let limit = facts.value(object, Predicate::MemoryLimit, &killed.key)?.as_u64()?;
        let memory = Quantity::from_bytes(limit.checked_mul(2)?).to_string();
        Some(arguments([
            ("container", killed.key.clone().into()),
            ("limits", json!({"memory": memory})),
        ]))
    }
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
