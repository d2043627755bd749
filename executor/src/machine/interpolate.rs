//! Evaluates the placeholders of a step: `${{ CEL }}` over `params`, `steps.ID.output` and `incident`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use workflow::condition::{Condition, Read};
use workflow::expression::{Variables, render, render_value};
use workflow::{Args, RunView, Workflow};

/// Returns the variables of this run's expressions: the parameters, the output and prior state of each step, and the
/// incident.
pub(super) fn variables(
    workflow: &Workflow,
    view: &RunView,
    targets: &[cluster::ObjectRef],
) -> Variables {
    let steps: Map<String, Value> = view
        .steps
        .iter()
        .map(|step| {
            (
                step.step.clone(),
                json!({"output": step.output, "prior": step.prior, "status": step.status}),
            )
        })
        .collect();
    let incident = json!({"id": view.incident, "target": targets.first(), "targets": targets});
    BTreeMap::from([
        ("params".to_string(), Value::Object(workflow.spec.bound.clone().into_iter().collect())),
        ("steps".to_string(), Value::Object(steps)),
        ("incident".to_string(), incident),
    ])
}

/// Returns the arguments with every placeholder evaluated.
pub(super) fn arguments(args: &Args, variables: &Variables) -> Result<Args, String> {
    args.iter()
        .map(|(name, value)| {
            Ok((
                name.clone(),
                render_value(value, variables)
                    .map_err(|error| format!("argument `{name}`: {error}"))?,
            ))
        })
        .collect()
}

/// Returns the condition with every placeholder in its reads evaluated.
pub(super) fn condition(condition: &Condition, variables: &Variables) -> Result<Condition, String> {
    let evaluate = |text: &str| -> Result<String, String> {
        match render(text, variables).map_err(|error| error.to_string())? {
            Value::String(text) => Ok(text),
            other => Ok(other.to_string()),
        }
    };
    let mut result = condition.clone();
    for read in result.read.values_mut() {
        match read {
            Read::Metric { metric, labels, window: _ } => {
                *metric = evaluate(metric)?;
                for value in labels.values_mut() {
                    *value = evaluate(value)?;
                }
            }
            Read::Object { kind, api_version: _, namespace, name } => {
                *kind = evaluate(kind)?;
                *name = evaluate(name)?;
                if let Some(namespace) = namespace {
                    *namespace = evaluate(namespace)?;
                }
            }
            Read::Objects { kind, api_version: _, namespace, selector } => {
                *kind = evaluate(kind)?;
                *namespace = evaluate(namespace)?;
                *selector = evaluate(selector)?;
            }
        }
    }
    Ok(result)
}
