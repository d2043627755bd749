//! The validator of workflows, templates and guardrails, used by the CLI, the API and the planner.
//!
//! Validation has three stages: the text is parsed into a tree of values with positions, within limits; the tree is checked
//! against the schema that is generated from the types; the typed value is checked for consistency. Each problem is a
//! [`Diagnostic`] with a stable [`Code`], path, line, column and hint. A document without errors yields a value.

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
mod step;
mod structure;

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
use document::ParsedTree;
use finding::{Finding, Location, MAX_FINDINGS, Path, suggest, truncated};
use scope::Scope;
use step::Body;

pub use code::Code;
pub use schema::{guardrails_schema, template_schema, workflow_schema};

const WORKFLOW: &str = "RemediationWorkflow";
const TEMPLATE: &str = "RemediationTemplate";
const GUARDRAILS: &str = "RemediationGuardrail";

/// The result of validating a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The value, unless a finding is an error.
    pub value: Option<T>,
    /// The findings in document order; at most 100.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> Parsed<T> {
    fn map<U>(self, wrap: impl FnOnce(T) -> U) -> Parsed<U> {
        Parsed { value: self.value.map(wrap), diagnostics: self.diagnostics }
    }
}

/// A manifest of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// `RemediationWorkflow`.
    Workflow(Workflow),
    /// `RemediationTemplate`.
    Template(Template),
    /// `RemediationGuardrail`.
    Guardrails(Guardrails),
}

/// Parses and validates a workflow in YAML or JSON.
pub fn validate(text: &str, catalogue: &Catalogue, limits: &Limits) -> Parsed<Workflow> {
    validate_bytes(text.as_bytes(), catalogue, limits)
}

/// Parses and validates a workflow in YAML or JSON from bytes that may not be UTF-8.
pub fn validate_bytes(bytes: &[u8], catalogue: &Catalogue, limits: &Limits) -> Parsed<Workflow> {
    let read = parse_document(bytes, limits);
    as_workflow(&read, catalogue, limits)
}

/// Parses and validates a template.
pub fn validate_template(text: &str, catalogue: &Catalogue, limits: &Limits) -> Parsed<Template> {
    let read = parse_document(text.as_bytes(), limits);
    as_template(&read, catalogue, limits)
}

/// Parses and validates a guardrail file.
pub fn validate_guardrails(text: &str, limits: &Limits) -> Parsed<Guardrails> {
    let read = parse_document(text.as_bytes(), limits);
    as_guardrails(&read, limits)
}

/// Parses and validates a document according to its `kind`. Default: a workflow.
pub fn validate_manifest(bytes: &[u8], catalogue: &Catalogue, limits: &Limits) -> Parsed<Manifest> {
    let read = parse_document(bytes, limits);
    let kind = read.as_ref().ok().and_then(|(_, value)| value.get("kind")).and_then(Value::as_str);
    match kind {
        Some(TEMPLATE) => as_template(&read, catalogue, limits).map(Manifest::Template),
        Some(GUARDRAILS) => as_guardrails(&read, limits).map(Manifest::Guardrails),
        Some(_) | None => as_workflow(&read, catalogue, limits).map(Manifest::Workflow),
    }
}

/// Validates a workflow value. Returns the same findings as [`validate`] for its text, but without positions.
pub fn check_workflow(
    workflow: &Workflow,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Vec<Diagnostic> {
    let limits = limits.clamped();
    let header = [
        ("apiVersion", &workflow.api_version, API_VERSION, Code::ApiVersion),
        ("kind", &workflow.kind, WORKFLOW, Code::Kind),
    ];
    let mut findings: Vec<Finding> = header
        .into_iter()
        .filter_map(|(key, found, expected, code)| header_finding(key, Some(found), expected, code))
        .collect();
    let sizes: Vec<Value> =
        workflow.spec.steps.iter().map(|step| serde_json::json!({"needs": step.needs})).collect();
    match step::check_size(&sizes, &Path::of(&["spec", "steps"]), &limits) {
        Some(finding) => findings.push(finding),
        None => findings.extend(workflow_findings(workflow, catalogue, &limits)),
    }
    findings.truncate(MAX_FINDINGS);
    findings.into_iter().map(|finding| finding.at_position((0, 0))).collect()
}

type ParsedDocument<'a> = Result<(ParsedTree<'a>, Value), Vec<Diagnostic>>;

fn parse_document<'a>(bytes: &'a [u8], limits: &Limits) -> ParsedDocument<'a> {
    let limits = limits.clamped();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let position = document::position_of_byte(bytes, error.valid_up_to());
        let message = "the document is not valid UTF-8 from here on";
        vec![
            Finding::error(Code::NotUtf8, Path::default(), message, "save it as UTF-8")
                .at_position(position),
        ]
    })?;
    match document::parse(text, &limits) {
        Ok(document) => {
            let value = document.value();
            Ok((document, value))
        }
        Err(findings) => Err(findings
            .into_iter()
            .map(|finding| {
                let position = match finding.location {
                    Location::Position(line, column) => (line, column),
                    Location::Value | Location::Key | Location::Inside(..) => (1, 1),
                };
                finding.at_position(position)
            })
            .collect()),
    }
}

fn as_workflow(
    read: &ParsedDocument<'_>,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Parsed<Workflow> {
    let limits = limits.clamped();
    typed(read, WORKFLOW, workflow_schema(), &limits, |workflow| {
        workflow_findings(workflow, catalogue, &limits)
    })
}

fn as_template(
    read: &ParsedDocument<'_>,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Parsed<Template> {
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

fn as_guardrails(read: &ParsedDocument<'_>, limits: &Limits) -> Parsed<Guardrails> {
    typed(read, GUARDRAILS, guardrails_schema(), &limits.clamped(), guardrail_findings)
}

/// Checks the structure first, then decodes the value and checks it with `check_value`.
fn typed<T: DeserializeOwned>(
    read: &ParsedDocument<'_>,
    kind: &str,
    schema: &Value,
    limits: &Limits,
    check_value: impl FnOnce(&T) -> Vec<Finding>,
) -> Parsed<T> {
    let (document, value) = match read {
        Ok((document, value)) => (document, value),
        Err(diagnostics) => return Parsed { value: None, diagnostics: diagnostics.clone() },
    };
    let mut findings = header_findings(value, kind);
    let steps = value
        .pointer("/spec/steps")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if findings.is_empty() {
        findings.extend(step::check_size(steps, &Path::of(&["spec", "steps"]), limits));
    }
    if findings.is_empty() {
        findings = structure::check(schema, value);
    }
    let mut result = None;
    if findings.is_empty() {
        match serde_json::from_value::<T>(value.clone()) {
            Ok(typed) => {
                findings = check_value(&typed);
                result = Some(typed);
            }
            Err(error) => findings.push(Finding::error(
                Code::InvalidValue,
                Path::default(),
                error.to_string(),
                "",
            )),
        }
    }
    let mut diagnostics: Vec<Diagnostic> = findings
        .into_iter()
        .take(MAX_FINDINGS)
        .map(|finding| {
            let position = document.position(&finding.path, finding.location);
            finding.at_position(position)
        })
        .collect();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    let has_error = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Parsed { value: result.filter(|_| !has_error), diagnostics }
}

/// Checks `apiVersion` and `kind`.
fn header_findings(value: &Value, kind: &str) -> Vec<Finding> {
    if !value.is_object() {
        let message = format!("expected a manifest, found {}", structure::describe(value));
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
            // The structure check reports a missing or mistyped field.
            Some(Value::String(found)) => header_finding(key, Some(found), expected, code),
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

fn header_finding(
    key: &str,
    found: Option<&String>,
    expected: &str,
    code: Code,
) -> Option<Finding> {
    let found = found.filter(|found| *found != expected)?;
    let message = format!("unsupported {key} `{}`", truncated(found, 64));
    let hint = match suggest(found, [WORKFLOW, TEMPLATE, GUARDRAILS].into_iter()) {
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
            Code::EmptyRange,
            path.key("minReplicas"),
            message,
            "swap them",
        ));
    }
    for (index, freeze) in spec.freezes.iter().enumerate() {
        if freeze.until <= freeze.from {
            let message =
                format!("the freeze `{}` ends before it starts", truncated(&freeze.name, 64));
            findings.push(Finding::error(
                Code::EmptyRange,
                path.key("freezes").index(index).key("until"),
                message,
                "swap `from` and `until`",
            ));
        }
    }
    let scope = Scope {
        variables: ["action", "args", "target", "pods", "class"].map(String::from).into(),
        parameters: BTreeSet::new(),
        steps: BTreeSet::new(),
        completed_steps: BTreeSet::new(),
    };
    for (index, rule) in spec.deny.iter().enumerate() {
        findings.extend(scope.check(&rule.when, &path.key("deny").index(index).key("when")));
    }
    findings
}
