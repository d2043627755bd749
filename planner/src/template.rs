use std::collections::BTreeMap;

use cluster::{Digest, canonical_json};
use serde_json::Value;
use workflow::fact::{Binding, Bindings, solve};
use workflow::manifest::{Compensation, DeclaredCompensation, Parameter};
use workflow::{Catalogue, Evidence, Facts, Ledger, Source, Step, Template, Workflow, expression};

use crate::propose::Draft;
use crate::relation::{Following, distances, focus};
use crate::step::{argument_of, promises};

/// How many candidates one template makes at most.
const WAYS: usize = 4;

/// The workflows that a template makes for this evidence: one for each way in which its facts are met, with `$target`
/// the target, or else the workload behind it or a Service in front of it. A `kind` in the pattern says which is meant.
pub(crate) fn drafts(
    template: &Template,
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let Some(center) = &evidence.target else { return drafts };
    // What belongs to others may be in the same trouble, and is not what the alert is about.
    let near = distances(&evidence.objects, &evidence.facts, center, Following::Belonging);
    let facts = Facts::new(
        evidence
            .facts
            .iter()
            .filter(|fact| near.contains_key(&Ledger::key(&fact.subject)))
            .cloned(),
    );
    for target in focus(evidence) {
        let bound = Bindings::from([("$target".to_string(), Binding::Object(target.clone()))]);
        for way in solve(&template.spec.matches, &facts, &bound, WAYS) {
            let Some(workflow) = fill(template, &way, evidence, catalogue) else { continue };
            if drafts.len() < WAYS && !drafts.iter().any(|draft| draft.workflow == workflow) {
                drafts.push(Draft {
                    source: source(template),
                    workflow,
                    because: reasons(template, &way, evidence),
                });
            }
        }
    }
    drafts
}

fn source(template: &Template) -> Source {
    let canonical = canonical_json(template).expect("a template is plain data");
    Source::Template {
        name: template.metadata.name.clone(),
        digest: Digest::of(canonical.as_bytes()),
    }
}

/// The facts that called for it, as sentences.
fn reasons(template: &Template, way: &Bindings, evidence: &Evidence) -> Vec<String> {
    let mut reasons = Vec::new();
    for pattern in &template.spec.matches {
        if let Some(fact) = evidence.facts.iter().find(|fact| pattern.fit(fact, way).is_some()) {
            reasons.push(fact.to_string());
        }
    }
    reasons
}

/// The workflow with every hole and every parameter filled; none if one has no value or a legal one.
fn fill(
    template: &Template,
    way: &Bindings,
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Option<Workflow> {
    let mut params: BTreeMap<String, Value> = BTreeMap::new();
    for parameter in &template.spec.parameters {
        let filled = match way.get(&format!("${}", parameter.name)) {
            Some(Binding::Object(object)) => Some(argument_of(object)),
            Some(Binding::Value(value)) => Some(value.clone()),
            None => parameter.default.clone(),
        };
        params.insert(parameter.name.clone(), filled.filter(|value| is_legal(parameter, value))?);
    }
    let bindings = expression::Bindings::from([(
        "params".to_string(),
        serde_json::to_value(&params).expect("parameters are plain data"),
    )]);
    let steps: Option<Vec<Step>> = template
        .spec
        .steps
        .iter()
        .map(|step| rendered(step, &bindings, evidence, catalogue))
        .collect();
    let success = serde_json::to_value(&template.spec.success).expect("conditions are plain data");
    let success = expression::render_value(&success, &bindings)
        .ok()
        .and_then(|value| serde_json::from_value(value).ok())?;
    let mut workflow = Workflow::of_steps(
        &template.metadata.name,
        &template.metadata.description,
        steps?,
        success,
    );
    workflow.metadata.version.clone_from(&template.metadata.version);
    Some(workflow)
}

fn is_legal(parameter: &Parameter, value: &Value) -> bool {
    let number = value.as_f64();
    parameter.min.is_none_or(|least| number.is_some_and(|n| n >= least))
        && parameter.max.is_none_or(|most| number.is_some_and(|n| n <= most))
        && (parameter.r#enum.is_empty() || parameter.r#enum.contains(value))
}

/// The step with its parameters filled in. What only a run knows (`steps.…`) is left for the run.
fn rendered(
    step: &Step,
    bindings: &expression::Bindings,
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Option<Step> {
    let mut step = step.clone();
    for value in step.arguments.values_mut() {
        *value = filled(value, bindings)?;
    }
    for conditions in [&mut step.preconditions, &mut step.postconditions] {
        for condition in conditions.iter_mut() {
            let value = serde_json::to_value(&*condition).expect("a condition is plain data");
            if !value.to_string().contains("${{") {
                continue;
            }
            *condition = serde_json::from_value(filled(&value, bindings)?).ok()?;
        }
    }
    let spec = catalogue.get(&step.action)?;
    if step.postconditions.is_empty() {
        step.postconditions = promises(spec, &step.arguments, evidence, true);
    }
    if step.compensation.is_none() {
        let declared = if spec.has_inverse {
            DeclaredCompensation::Inverse
        } else {
            DeclaredCompensation::None
        };
        step.compensation = Some(Compensation::Declared(declared));
    }
    Some(step)
}

fn filled(value: &Value, bindings: &expression::Bindings) -> Option<Value> {
    match value {
        Value::String(text) if !text.contains("${{") => Some(value.clone()),
        Value::String(text) => {
            // Nearly every hole is one parameter, which needs no evaluation.
            let inner =
                text.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
            if let Some(found) =
                inner.and_then(|inner| bindings.get("params")?.get(inner.strip_prefix("params.")?))
            {
                return Some(found.clone());
            }
            let holes = expression::holes(text).ok()?;
            if holes.is_empty() || text.contains("steps.") {
                return Some(value.clone());
            }
            expression::render(text, bindings).ok()
        }
        Value::Array(items) => items
            .iter()
            .map(|item| filled(item, bindings))
            .collect::<Option<Vec<_>>>()
            .map(Value::Array),
        Value::Object(map) => {
            let members: Option<serde_json::Map<String, Value>> = map
                .iter()
                .map(|(key, value)| Some((key.clone(), filled(value, bindings)?)))
                .collect();
            members.map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
    }
}
