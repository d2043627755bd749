//! Checks each step: action, arguments, compensation, timeouts, conditions and the names in its expressions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::finding::{Finding, Location, MAX_FINDINGS, Path, truncated};
use super::scope::Scope;
use super::{graph, name, parameter, scalar};
use crate::catalogue::arguments::{self, Mismatch, MismatchPart};
use crate::catalogue::{ActionSpec, Args, Catalogue, Reversibility};
use crate::condition::{Condition, MAX_READS, Read};
use crate::duration::Duration;
use crate::limits::Limits;
use crate::manifest::{Compensation, DeclaredCompensation, Parameter, Retry, Step};

/// Maximum timeout of a step.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of attempts of a step.
const MAX_ATTEMPTS: u32 = 10;
/// Maximum number of placeholders in one document, because each is parsed.
const MAX_PLACEHOLDERS: usize = 1_000;

/// The part of the spec that workflows and templates have in common.
pub(super) struct Body<'a> {
    pub(super) parameters: &'a [Parameter],
    pub(super) steps: &'a [Step],
    pub(super) success: &'a [Condition],
    pub(super) catalogue: &'a Catalogue,
}

/// Checks the hard limits of steps and edges. If one is exceeded, nothing else is checked.
pub(super) fn check_size(steps: &[Value], path: &Path, limits: &Limits) -> Option<Finding> {
    let hard = Limits::HARD.steps;
    if steps.len() > hard {
        let message = format!("{} steps; the limit is {hard}", steps.len());
        return Some(Finding::error(
            Code::TooManySteps,
            path.index(hard),
            message,
            "split the workflow",
        ));
    }
    let mut edges = 0;
    for (position, step) in steps.iter().enumerate() {
        let needs = step.get("needs").and_then(Value::as_array).map_or(0, Vec::len);
        if edges + needs > limits.edges {
            let message = format!("more than {} edges in the step graph", limits.edges);
            let path = path.index(position).key("needs").index(limits.edges - edges);
            return Some(Finding::error(
                Code::TooManyEdges,
                path,
                message,
                "remove needs that follow from other needs",
            ));
        }
        edges += needs;
    }
    None
}

/// Checks parameters, steps and success conditions.
pub(super) fn check(body: &Body<'_>, limits: &Limits) -> Vec<Finding> {
    let spec = Path::of(&["spec"]);
    let path = spec.key("steps");
    let mut findings = parameter::check(body.parameters, &spec.key("parameters"));
    let ids = body
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| (step.id.as_str(), path.index(at).key("id")));
    findings.extend(name::check_unique("step", ids));
    let (of_graph, before) = graph::check(body.steps, &path, limits);
    findings.extend(of_graph);
    let ids: BTreeSet<&str> = body.steps.iter().map(|step| step.id.as_str()).collect();
    let whole_workflow = Scope {
        variables: ["params", "steps", "incident"].map(String::from).into(),
        parameters: body.parameters.iter().map(|parameter| parameter.name.as_str()).collect(),
        completed_steps: ids.clone(),
        steps: ids,
    };
    let mut validator =
        StepValidator { catalogue: body.catalogue, placeholders: MAX_PLACEHOLDERS, findings };
    for (at, step) in body.steps.iter().enumerate() {
        if validator.findings.len() >= MAX_FINDINGS {
            return validator.findings;
        }
        // With a cycle, no step is before another; only the cycle is reported.
        let scope = match &before {
            Some(before) => {
                whole_workflow.after(before[at].iter().map(|step| body.steps[*step].id.as_str()))
            }
            None => whole_workflow.after(whole_workflow.steps.iter().copied()),
        };
        validator.step(step, &path.index(at), &scope);
    }
    if let Some(before) = &before {
        validator.check_irreversible_steps(body.steps, before, &path);
    }
    for (at, condition) in body.success.iter().enumerate() {
        validator.condition(
            condition,
            &spec.key("success").index(at),
            &whole_workflow,
            ConditionKind::Postcondition,
        );
    }
    validator.findings
}

/// When a condition is evaluated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConditionKind {
    Precondition,
    Postcondition,
}

struct StepValidator<'a> {
    catalogue: &'a Catalogue,
    placeholders: usize,
    findings: Vec<Finding>,
}

impl<'a> StepValidator<'a> {
    fn step(&mut self, step: &'a Step, path: &Path, scope: &Scope<'a>) {
        self.findings.extend(name::check(&step.id, &path.key("id")));
        self.action(&step.action, &step.arguments, path, scope);
        self.check_compensation(step, path, scope);
        self.check_timeouts(step, path);
        if let Some(when) = &step.when {
            self.findings.extend(scope.check(when, &path.key("when")));
        }
        for (at, condition) in step.preconditions.iter().enumerate() {
            self.condition(
                condition,
                &path.key("preconditions").index(at),
                scope,
                ConditionKind::Precondition,
            );
        }
        let after = scope.after(scope.completed_steps.iter().copied().chain([step.id.as_str()]));
        for (at, condition) in step.postconditions.iter().enumerate() {
            self.condition(
                condition,
                &path.key("postconditions").index(at),
                &after,
                ConditionKind::Postcondition,
            );
        }
    }

    fn action(&mut self, action: &str, args: &Args, path: &Path, scope: &Scope<'a>) {
        match self.catalogue.get(action) {
            None => {
                let hint = match self.catalogue.suggest(action) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => super::finding::suggest(
                        action,
                        self.catalogue.actions.keys().map(String::as_str),
                    ),
                };
                let message = format!("there is no action `{}`", truncated(action, 64));
                self.findings.push(Finding::error(
                    Code::UnknownAction,
                    path.key("action"),
                    message,
                    hint,
                ));
            }
            Some(spec) => self.arguments(spec, args, &path.key("arguments")),
        }
        let path = path.key("arguments");
        for (name, value) in args {
            self.check_numbers(value, &path.key(name));
            let findings = scope.check_placeholders(value, &path.key(name), &mut self.placeholders);
            self.findings.extend(findings);
        }
    }

    fn arguments(&mut self, spec: &ActionSpec, args: &Args, path: &Path) {
        for Mismatch { path: field, message, part } in arguments::check(spec, args) {
            let message = format!("action `{}`: {message}", spec.name);
            let finding = Finding::error(Code::InvalidArgument, path.append(&field), message, "");
            self.findings.push(match part {
                MismatchPart::Name => finding.at(Location::Key),
                MismatchPart::Value => finding,
            });
        }
    }

    /// Rejects integers that would lose precision: their digest would not identify the written value.
    fn check_numbers(&mut self, value: &Value, path: &Path) {
        match value {
            Value::Number(number) if scalar::is_too_large(number) => {
                let (code, message, hint) = scalar::too_large(&number.to_string());
                self.findings.push(Finding::error(code, path.clone(), message, hint));
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(at, item)| self.check_numbers(item, &path.index(at))),
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| self.check_numbers(value, &path.key(key)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn check_compensation(&mut self, step: &'a Step, path: &Path, scope: &Scope<'a>) {
        let spec = self.catalogue.get(&step.action);
        let at = path.key("compensation");
        match (&step.compensation, spec) {
            (None, Some(spec)) if !spec.has_inverse => match spec.reversibility {
                Reversibility::Reversible | Reversibility::BestEffort => {
                    let message = format!(
                        "`{}` is reversible, but has neither a declared inverse nor a compensation",
                        spec.name
                    );
                    let hint = "add `compensation: {action: …}`, or `compensation: none` if nothing should be undone";
                    self.findings.push(Finding::error(
                        Code::NoCompensation,
                        path.clone(),
                        message,
                        hint,
                    ));
                }
                Reversibility::NoEffect | Reversibility::Irreversible => {}
            },
            (Some(Compensation::Declared(DeclaredCompensation::Inverse)), Some(spec))
                if !spec.has_inverse =>
            {
                let message = format!("`{}` declares no inverse", spec.name);
                self.findings.push(Finding::error(
                    Code::NoInverse,
                    at,
                    message,
                    "name an action that undoes it, or `none`",
                ));
            }
            (Some(Compensation::Step { action, arguments }), _) => {
                let after =
                    scope.after(scope.completed_steps.iter().copied().chain([step.id.as_str()]));
                self.action(action, arguments, &at, &after);
            }
            (
                Some(Compensation::Declared(
                    DeclaredCompensation::Inverse | DeclaredCompensation::None,
                ))
                | None,
                _,
            ) => {}
        }
    }

    fn check_timeouts(&mut self, step: &Step, path: &Path) {
        let Retry { attempts, initial, cap, jitter, .. } = &step.retry;
        let retry = path.key("retry");
        self.require_in_range(
            (1..=MAX_ATTEMPTS).contains(attempts),
            retry.key("attempts"),
            format!("{attempts} attempts; must be 1 to {MAX_ATTEMPTS}"),
        );
        self.require_in_range(
            (0.0..=1.0).contains(jitter),
            retry.key("jitter"),
            format!("the jitter is {jitter}; must be 0 to 1"),
        );
        self.require_in_range(
            cap <= &MAX_TIMEOUT,
            retry.key("cap"),
            format!("the cap is {cap}; must be at most {MAX_TIMEOUT}"),
        );
        // If only `initial` is given, the cap has its default.
        self.require_in_range(
            initial <= cap,
            retry.key("initial"),
            format!("the initial pause {initial} is longer than the cap {cap}"),
        );
        let timeout = step.timeout;
        let is_timeout = timeout > Duration::ZERO && timeout <= MAX_TIMEOUT;
        self.require_in_range(
            is_timeout,
            path.key("timeout"),
            format!("the timeout is {timeout}; must be more than 0 and at most {MAX_TIMEOUT}"),
        );
        if let Some(approval) = &step.approval {
            let message = "`expires` is 0; must be more than 0".into();
            self.require_in_range(
                approval.expires > Duration::ZERO,
                path.key("approval").key("expires"),
                message,
            );
        }
    }

    fn require_in_range(&mut self, is_within: bool, path: Path, message: String) {
        if !is_within {
            self.findings.push(Finding::error(
                Code::OutOfRange,
                path,
                message,
                "choose a value within the range",
            ));
        }
    }

    fn condition(
        &mut self,
        condition: &Condition,
        path: &Path,
        scope: &Scope<'a>,
        kind: ConditionKind,
    ) {
        let reads = path.key("read");
        if condition.read.len() > MAX_READS {
            let message = format!(
                "the condition has {} reads; the limit is {MAX_READS}",
                condition.read.len()
            );
            self.findings.push(Finding::error(
                Code::TooManyReads,
                reads.clone(),
                message,
                "split it into several conditions",
            ));
        }
        for (name, read) in &condition.read {
            self.findings.extend(
                name::check_identifier(name, &reads.key(name))
                    .map(|finding| finding.at(Location::Key)),
            );
            for (field, text) in texts(read) {
                let findings =
                    scope.check_text(text, &reads.key(name).append(field), &mut self.placeholders);
                self.findings.extend(findings);
            }
        }
        self.findings
            .extend(scope.with(condition.read.keys()).check(&condition.check, &path.key("check")));
        for (key, duration) in [("within", condition.within), ("holdFor", condition.hold_for)] {
            let Some(duration) = duration else { continue };
            if kind == ConditionKind::Precondition {
                let message =
                    format!("`{key}` is not allowed in a precondition: it is evaluated only once");
                self.findings.push(
                    Finding::error(
                        Code::TimeInPrecondition,
                        path.key(key),
                        message,
                        "move it to a post-condition of an earlier step",
                    )
                    .at(Location::Key),
                );
            }
            self.require_in_range(
                duration <= MAX_TIMEOUT,
                path.key(key),
                format!("`{key}` is {duration}; must be at most {MAX_TIMEOUT}"),
            );
        }
    }

    /// Checks that all other steps with effects end before an irreversible step starts, so that no later failure requires
    /// undoing it.
    fn check_irreversible_steps(
        &mut self,
        steps: &[Step],
        before: &[BTreeSet<usize>],
        path: &Path,
    ) {
        let reversibility =
            |step: &Step| self.catalogue.get(&step.action).map(|spec| spec.reversibility);
        let mut findings = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if reversibility(step) != Some(Reversibility::Irreversible) {
                continue;
            }
            let is_change = |other: &Step| {
                !matches!(reversibility(other), Some(Reversibility::NoEffect) | None)
            };
            let late = (0..steps.len()).find(|other| {
                *other != at && !before[at].contains(other) && is_change(&steps[*other])
            });
            if let Some(late) = late {
                let message = format!(
                    "step `{}` cannot be undone, and step `{}` may not have ended before it; if that step fails, this one cannot be rolled back",
                    truncated(&step.id, 64),
                    truncated(&steps[late].id, 64)
                );
                let hint = format!(
                    "add `{}` to its `needs`, so that it runs last",
                    truncated(&steps[late].id, 64)
                );
                findings.push(Finding::error(
                    Code::IrreversibleTooSoon,
                    path.index(at),
                    message,
                    hint,
                ));
            }
        }
        self.findings.extend(findings);
    }
}

/// Returns the strings of a read that may contain placeholders, by field.
fn texts(read: &Read) -> Vec<(&'static str, &str)> {
    match read {
        Read::Metric { metric, labels, window: _ } => std::iter::once(("metric", metric.as_str()))
            .chain(labels.values().map(|label| ("labels", label.as_str())))
            .collect(),
        Read::Object { kind, api_version, namespace, name } => {
            let optional =
                [("apiVersion", api_version.as_deref()), ("namespace", namespace.as_deref())];
            let optional = optional.into_iter().filter_map(|(field, text)| Some((field, text?)));
            [("kind", kind.as_str()), ("name", name.as_str())].into_iter().chain(optional).collect()
        }
        Read::Objects { kind, api_version, namespace, selector } => {
            let optional = api_version.as_deref().map(|text| ("apiVersion", text));
            [
                ("kind", kind.as_str()),
                ("namespace", namespace.as_str()),
                ("selector", selector.as_str()),
            ]
            .into_iter()
            .chain(optional)
            .collect()
        }
    }
}
