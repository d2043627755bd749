//! Filling the holes of a step: `${{ CEL }}` over `params`, `steps.ID.output` and `incident`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use workflow::condition::{Condition, Read};
use workflow::expression::{Bindings, render, render_value};
use workflow::{Args, RunView, Workflow};

/// What expressions of this run know: parameters as bound, what steps gave and found, and the incident.
pub(super) fn bindings(
    workflow: &Workflow,
    view: &RunView,
    targets: &[cluster::ObjectRef],
) -> Bindings {
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

/// The arguments with every hole filled.
pub(super) fn arguments(args: &Args, bindings: &Bindings) -> Result<Args, String> {
    args.iter()
        .map(|(name, value)| {
            Ok((
                name.clone(),
                render_value(value, bindings)
                    .map_err(|error| format!("argument `{name}`: {error}"))?,
            ))
        })
        .collect()
}

/// The condition with every hole of its reads filled.
pub(super) fn condition(condition: &Condition, bindings: &Bindings) -> Result<Condition, String> {
    let text = |text: &str| -> Result<String, String> {
        match render(text, bindings).map_err(|error| error.to_string())? {
            Value::String(text) => Ok(text),
            other => Ok(other.to_string()),
        }
    };
    let mut filled = condition.clone();
    for read in filled.read.values_mut() {
        match read {
            Read::Metric { metric, labels, window: _ } => {
                *metric = text(metric)?;
                for value in labels.values_mut() {
                    *value = text(value)?;
                }
            }
            Read::Object { kind, api_version: _, namespace, name } => {
                *kind = text(kind)?;
                *name = text(name)?;
                if let Some(namespace) = namespace {
                    *namespace = text(namespace)?;
                }
            }
            Read::Objects { kind, api_version: _, namespace, selector } => {
                *kind = text(kind)?;
                *namespace = text(namespace)?;
                *selector = text(selector)?;
            }
        }
    }
    Ok(filled)
}
