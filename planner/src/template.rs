use std::collections::BTreeMap;

use cluster::{Digest, ObjectKey, canonical_json};
use serde_json::Value;
use workflow::fact::{Binding, PatternBindings, match_all};
use workflow::manifest::{Compensation, DeclaredCompensation, Parameter};
use workflow::{Catalogue, Evidence, Facts, Source, Step, Template, Workflow, expression};

use crate::explain::describe_fact;
use crate::propose::Draft;
use crate::relation::{EdgeFilter, distances, target_and_neighbours};
use crate::step::{argument_of, postconditions_for};

/// Maximum number of candidates from one template.
const MAX_VARIANTS: usize = 4;

/// Instantiates a template for this evidence: one workflow for each way in which its fact patterns match.
///
/// `$target` is bound to the target of the evidence first, then to the workload behind it or the Services in front of
/// it. A `kind` in a pattern restricts it to one of these.
pub(crate) fn drafts(
    template: &Template,
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let Some(center) = &evidence.target else { return drafts };
    // Another workload may have the same symptoms, but the alert is not about it.
    let near = distances(&evidence.objects, &evidence.facts, center, EdgeFilter::Ownership);
    let facts = Facts::new(
        evidence
            .facts
            .iter()
            .filter(|fact| near.contains_key(&ObjectKey::from(&fact.subject)))
            .cloned(),
    );
    for target in target_and_neighbours(evidence) {
        let bound =
            PatternBindings::from([("$target".to_string(), Binding::Object(target.clone()))]);
        for matched in match_all(&template.spec.matches, &facts, &bound, MAX_VARIANTS) {
            let Some(workflow) = instantiate(template, &matched, evidence, catalogue) else {
                continue;
            };
            if drafts.len() < MAX_VARIANTS && !drafts.iter().any(|draft| draft.workflow == workflow)
            {
                drafts.push(Draft {
                    source: source(template),
                    workflow,
                    reasons: reasons(template, &matched, evidence),
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

/// Describes the facts that the template matched.
fn reasons(template: &Template, matched: &PatternBindings, evidence: &Evidence) -> Vec<String> {
    let mut reasons = Vec::new();
    for pattern in &template.spec.matches {
        if let Some(fact) =
            evidence.facts.iter().find(|fact| pattern.match_fact(fact, matched).is_some())
        {
            reasons.push(describe_fact(fact));
        }
    }
    reasons
}

/// Creates the workflow with all parameters filled in. `None` if a parameter has no value, or one that is not allowed.
fn instantiate(
    template: &Template,
    matched: &PatternBindings,
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Option<Workflow> {
    let mut params: BTreeMap<String, Value> = BTreeMap::new();
    for parameter in &template.spec.parameters {
        let filled = match matched.get(&format!("${}", parameter.name)) {
            Some(Binding::Object(object)) => Some(argument_of(object)),
            Some(Binding::Value(value)) => Some(value.clone()),
            None => parameter.default.clone(),
        };
        params.insert(parameter.name.clone(), filled.filter(|value| is_allowed(parameter, value))?);
    }
    let bindings = expression::Variables::from([(
        "params".to_string(),
        serde_json::to_value(&params).expect("parameters are plain data"),
    )]);
    let steps: Option<Vec<Step>> = template
        .spec
        .steps
        .iter()
        .map(|step| render_step(step, &bindings, evidence, catalogue))
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

fn is_allowed(parameter: &Parameter, value: &Value) -> bool {
    let number = value.as_f64();
    parameter.min.is_none_or(|least| number.is_some_and(|n| n >= least))
        && parameter.max.is_none_or(|most| number.is_some_and(|n| n <= most))
        && (parameter.r#enum.is_empty() || parameter.r#enum.contains(value))
}

/// Returns the step with its parameters filled in. Leaves placeholders that refer to `steps.…` for the run.
fn render_step(
    step: &Step,
    bindings: &expression::Variables,
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
        step.postconditions = postconditions_for(spec, &step.arguments, evidence, true);
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

fn filled(value: &Value, bindings: &expression::Variables) -> Option<Value> {
    match value {
        Value::String(text) if !text.contains("${{") => Some(value.clone()),
        Value::String(text) => {
            // Fast path: most placeholders are a single parameter, which needs no evaluation.
            let inner =
                text.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
            if let Some(found) =
                inner.and_then(|inner| bindings.get("params")?.get(inner.strip_prefix("params.")?))
            {
                return Some(found.clone());
            }
            let placeholders = expression::placeholders(text).ok()?;
            if placeholders.is_empty() || text.contains("steps.") {
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
