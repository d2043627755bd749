//! The one validator of workflows, templates and guardrails that every surface calls.
//!
//! A text becomes a tree of values with places, within bounds; the tree must have the shape that the types give; the
//! value must make sense. Whatever is wrong is a [`Diagnostic`] with a stable [`Code`], its path, line and column, and
//! a hint. What has no error has a value.

mod code;
mod document;
mod finding;
mod graph;
mod name;
mod parameter;
mod pattern;
mod scalar;
mod schema;
mod scope;
mod shape;
mod step;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::diagnostic::{Diagnostic, Severity};
use crate::guardrail::Guardrails;
use crate::limits::Limits;
use crate::manifest::{API_VERSION, ManifestMetadata, Template, Workflow};
use document::Document;
use finding::{At, Finding, MOST, Path, nearest, shown};
use scope::Scope;
use step::Body;

pub use code::Code;
pub use schema::{guardrails_schema, template_schema, workflow_schema};

const WORKFLOW: &str = "RemediationWorkflow";
const TEMPLATE: &str = "RemediationTemplate";
const GUARDRAILS: &str = "RemediationGuardrail";

/// A document that was read: what it says, where nothing is wrong with it, and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The value, if no finding is an error.
    pub value: Option<T>,
    /// What was found, in the order of the text; at most 100.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> Parsed<T> {
    fn map<U>(self, wrap: impl FnOnce(T) -> U) -> Parsed<U> {
        Parsed { value: self.value.map(wrap), diagnostics: self.diagnostics }
    }
}

/// A document of any kind that people write.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// `RemediationWorkflow`.
    Workflow(Workflow),
    /// `RemediationTemplate`.
    Template(Template),
    /// `RemediationGuardrail`.
    Guardrails(Guardrails),
}

/// Reads a workflow, in YAML or JSON.
pub fn validate(text: &str, catalogue: &Catalogue, limits: &Limits) -> Parsed<Workflow> {
    validate_bytes(text.as_bytes(), catalogue, limits)
}

/// Reads a workflow, in YAML or JSON, that may not even be text.
pub fn validate_bytes(bytes: &[u8], catalogue: &Catalogue, limits: &Limits) -> Parsed<Workflow> {
    let read = read(bytes, limits);
    as_workflow(&read, catalogue, limits)
}

/// Reads a template.
pub fn validate_template(text: &str, catalogue: &Catalogue, limits: &Limits) -> Parsed<Template> {
    let read = read(text.as_bytes(), limits);
    as_template(&read, catalogue, limits)
}

/// Reads a guardrail file.
pub fn validate_guardrails(text: &str, limits: &Limits) -> Parsed<Guardrails> {
    let read = read(text.as_bytes(), limits);
    as_guardrails(&read, limits)
}

/// Reads a document of whichever kind it says that it is; a workflow where it does not say.
pub fn validate_manifest(bytes: &[u8], catalogue: &Catalogue, limits: &Limits) -> Parsed<Manifest> {
    let read = read(bytes, limits);
    let kind = read.as_ref().ok().and_then(|(_, value)| value.get("kind")).and_then(Value::as_str);
    match kind {
        Some(TEMPLATE) => as_template(&read, catalogue, limits).map(Manifest::Template),
        Some(GUARDRAILS) => as_guardrails(&read, limits).map(Manifest::Guardrails),
        Some(_) | None => as_workflow(&read, catalogue, limits).map(Manifest::Workflow),
    }
}

/// The findings about a workflow that is a value already, and so has no places: the same that [`validate`] makes of its
/// text.
pub fn check_workflow(
    workflow: &Workflow,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Vec<Diagnostic> {
    let limits = limits.clamped();
    let head = [
        ("apiVersion", &workflow.api_version, API_VERSION, Code::ApiVersion),
        ("kind", &workflow.kind, WORKFLOW, Code::Kind),
    ];
    let mut findings: Vec<Finding> = head
        .into_iter()
        .filter_map(|(key, found, expected, code)| head_finding(key, Some(found), expected, code))
        .collect();
    let sizes: Vec<Value> =
        workflow.spec.steps.iter().map(|step| serde_json::json!({"needs": step.needs})).collect();
    match step::check_size(&sizes, &Path::of(&["spec", "steps"]), &limits) {
        Some(finding) => findings.push(finding),
        None => findings.extend(workflow_findings(workflow, catalogue, &limits)),
    }
    findings.truncate(MOST);
    findings.into_iter().map(|finding| finding.placed((0, 0))).collect()
}

type Read<'a> = Result<(Document<'a>, Value), Vec<Diagnostic>>;

fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Read<'a> {
    let limits = limits.clamped();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = document::place_of_byte(bytes, error.valid_up_to());
        let message = "the document is not UTF-8 from here on";
        vec![
            Finding::error(Code::NotUtf8, Path::default(), message, "save it as UTF-8")
                .placed(place),
        ]
    })?;
    match document::read(text, &limits) {
        Ok(document) => {
            let value = document.value();
            Ok((document, value))
        }
        Err(findings) => Err(findings
            .into_iter()
            .map(|finding| {
                let place = match finding.at {
                    At::Place(line, column) => (line, column),
                    At::Value | At::Key | At::Inside(..) => (1, 1),
                };
                finding.placed(place)
            })
            .collect()),
    }
}

fn as_workflow(read: &Read<'_>, catalogue: &Catalogue, limits: &Limits) -> Parsed<Workflow> {
    let limits = limits.clamped();
    typed(read, WORKFLOW, workflow_schema(), &limits, |workflow| {
        workflow_findings(workflow, catalogue, &limits)
    })
}

fn as_template(read: &Read<'_>, catalogue: &Catalogue, limits: &Limits) -> Parsed<Template> {
    let limits = limits.clamped();
    typed(read, TEMPLATE, template_schema(), &limits, |template: &Template| {
        let Template { metadata, spec, .. } = template;
        let body = Body {
            parameters: &spec.parameters,
            steps: &spec.steps,
            success: &spec.success,
            catalogue,
        };
        let mut findings = metadata_findings(metadata);
        findings.extend(pattern::check(&spec.matches, &spec.parameters));
        findings.extend(step::check(&body, &limits));
        findings
    })
}

fn as_guardrails(read: &Read<'_>, limits: &Limits) -> Parsed<Guardrails> {
    typed(read, GUARDRAILS, guardrails_schema(), &limits.clamped(), guardrail_findings)
}

/// Shape first; what has the right shape is read, and judged by `judge`.
fn typed<T: DeserializeOwned>(
    read: &Read<'_>,
    kind: &str,
    schema: &Value,
    limits: &Limits,
    judge: impl FnOnce(&T) -> Vec<Finding>,
) -> Parsed<T> {
    let (document, value) = match read {
        Ok((document, value)) => (document, value),
        Err(diagnostics) => return Parsed { value: None, diagnostics: diagnostics.clone() },
    };
    let mut findings = head_findings(value, kind);
    let steps = value
        .pointer("/spec/steps")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if findings.is_empty() {
        findings.extend(step::check_size(steps, &Path::of(&["spec", "steps"]), limits));
    }
    if findings.is_empty() {
        findings = shape::check(schema, value);
    }
    let mut result = None;
    if findings.is_empty() {
        match serde_json::from_value::<T>(value.clone()) {
            Ok(typed) => {
                findings = judge(&typed);
                result = Some(typed);
            }
            Err(error) => findings.push(Finding::error(
                Code::Unreadable,
                Path::default(),
                error.to_string(),
                "",
            )),
        }
    }
    let mut diagnostics: Vec<Diagnostic> = findings
        .into_iter()
        .take(MOST)
        .map(|finding| {
            let place = document.place(&finding.path, finding.at);
            finding.placed(place)
        })
        .collect();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    let is_refused = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Parsed { value: result.filter(|_| !is_refused), diagnostics }
}

/// The findings about what the document says that it is.
fn head_findings(value: &Value, kind: &str) -> Vec<Finding> {
    if !value.is_object() {
        let message = format!("expected a manifest, found {}", shape::found(value));
        return vec![Finding::error(
            Code::WrongType,
            Path::default(),
            message,
            "write a manifest: apiVersion, kind, metadata, spec",
        )];
    }
    [("apiVersion", API_VERSION, Code::ApiVersion), ("kind", kind, Code::Kind)]
        .into_iter()
        .filter_map(|(key, expected, code)| match value.get(key) {
            // What is missing or no text is said of the shape.
            Some(Value::String(found)) => head_finding(key, Some(found), expected, code),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_),
            )
            | None => None,
        })
        .collect()
}

fn head_finding(key: &str, found: Option<&String>, expected: &str, code: Code) -> Option<Finding> {
    let found = found.filter(|found| *found != expected)?;
    let message = format!("`{}` is not the {key} that is read here", shown(found, 64));
    let hint = match nearest(found, [WORKFLOW, TEMPLATE, GUARDRAILS].into_iter()) {
        _ if code == Code::ApiVersion => format!("write `{expected}`"),
        hint if hint.starts_with("did you mean") => hint,
        _ => format!("write `{expected}`"),
    };
    Some(Finding::error(code, Path::of(&[key]), message, hint))
}

fn workflow_findings(workflow: &Workflow, catalogue: &Catalogue, limits: &Limits) -> Vec<Finding> {
    let Workflow { metadata, spec, .. } = workflow;
    let body = Body {
        parameters: &spec.parameters,
        steps: &spec.steps,
        success: &spec.success,
        catalogue,
    };
    let mut findings = metadata_findings(metadata);
    findings.extend(parameter::check_bound(
        &spec.parameters,
        &spec.bound,
        &Path::of(&["spec", "bound"]),
    ));
    findings.extend(step::check(&body, limits));
    findings
}

fn metadata_findings(metadata: &ManifestMetadata) -> Vec<Finding> {
    name::check(&metadata.name, &Path::of(&["metadata", "name"])).into_iter().collect()
}

fn guardrail_findings(guardrails: &Guardrails) -> Vec<Finding> {
    let Guardrails { metadata, spec, .. } = guardrails;
    let path = Path::of(&["spec"]);
    let mut findings = metadata_findings(metadata);
    if spec.min_replicas > spec.max_replicas {
        let message =
            format!("minReplicas {} is above maxReplicas {}", spec.min_replicas, spec.max_replicas);
        findings.push(Finding::error(
            Code::EmptySpan,
            path.key("minReplicas"),
            message,
            "swap them",
        ));
    }
    for (at, freeze) in spec.freezes.iter().enumerate() {
        if freeze.until <= freeze.from {
            let message = format!("the freeze `{}` ends before it begins", shown(&freeze.name, 64));
            findings.push(Finding::error(
                Code::EmptySpan,
                path.key("freezes").index(at).key("until"),
                message,
                "swap `from` and `until`",
            ));
        }
    }
    let scope = Scope {
        variables: ["action", "args", "target", "pods", "class"].map(String::from).into(),
        parameters: BTreeSet::new(),
        steps: BTreeSet::new(),
        ended: BTreeSet::new(),
    };
    for (at, rule) in spec.deny.iter().enumerate() {
        findings.extend(scope.check(&rule.when, &path.key("deny").index(at).key("when")));
    }
    findings
}
