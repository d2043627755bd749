//! Steps one by one: action and arguments, compensation, times, conditions, and what their expressions name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::finding::{At, Finding, MOST, Path, shown};
use super::scope::Scope;
use super::{graph, name, parameter, scalar};
use crate::catalogue::{ActionSpec, Args, Catalogue, Reversibility, arguments};
use crate::condition::{Condition, MAX_READS, Read};
use crate::duration::Span;
use crate::limits::Limits;
use crate::manifest::{Compensation, DeclaredCompensation, Parameter, Retry, Step};

/// The longest time that a step is given.
const LONGEST: Span = Span::from_secs(24 * 3600);
/// Most attempts of a step.
const ATTEMPTS: u32 = 10;
/// Most holes in one document: each is parsed.
const HOLES: usize = 1_000;

/// What workflow and template have in common.
pub(super) struct Body<'a> {
    pub(super) parameters: &'a [Parameter],
    pub(super) steps: &'a [Step],
    pub(super) success: &'a [Condition],
    pub(super) catalogue: &'a Catalogue,
}

/// The finding about steps or edges beyond what is read; nothing else is looked at then.
pub(super) fn check_size(steps: &[Value], path: &Path, limits: &Limits) -> Option<Finding> {
    let hard = Limits::HARD.steps;
    if steps.len() > hard {
        let message = format!("{} steps, at most {hard} are read", steps.len());
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
            let message = format!("more than {} edges between steps", limits.edges);
            let path = path.index(position).key("needs").index(limits.edges - edges);
            return Some(Finding::error(
                Code::TooManyEdges,
                path,
                message,
                "let a step need only the last ones before it",
            ));
        }
        edges += needs;
    }
    None
}

/// The findings about parameters, steps and success criteria.
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
    let everywhere = Scope {
        variables: ["params", "steps", "incident"].map(String::from).into(),
        parameters: body.parameters.iter().map(|parameter| parameter.name.as_str()).collect(),
        ended: ids.clone(),
        steps: ids,
    };
    let mut walk = Walk { catalogue: body.catalogue, holes: HOLES, findings };
    for (at, step) in body.steps.iter().enumerate() {
        if walk.findings.len() >= MOST {
            return walk.findings;
        }
        // In a circle nothing is before anything: then only that is said.
        let scope = match &before {
            Some(before) => {
                everywhere.after(before[at].iter().map(|step| body.steps[*step].id.as_str()))
            }
            None => everywhere.after(everywhere.steps.iter().copied()),
        };
        walk.step(step, &path.index(at), &scope);
    }
    if let Some(before) = &before {
        walk.pivots(body.steps, before, &path);
    }
    for (at, condition) in body.success.iter().enumerate() {
        walk.condition(condition, &spec.key("success").index(at), &everywhere, Kind::After);
    }
    walk.findings
}

/// When a condition is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Before,
    After,
}

struct Walk<'a> {
    catalogue: &'a Catalogue,
    holes: usize,
    findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn step(&mut self, step: &'a Step, path: &Path, scope: &Scope<'a>) {
        self.findings.extend(name::check(&step.id, &path.key("id")));
        self.action(&step.action, &step.arguments, path, scope);
        self.undo(step, path, scope);
        self.times(step, path);
        if let Some(when) = &step.when {
            self.findings.extend(scope.check(when, &path.key("when")));
        }
        for (at, condition) in step.preconditions.iter().enumerate() {
            self.condition(condition, &path.key("preconditions").index(at), scope, Kind::Before);
        }
        let after = scope.after(scope.ended.iter().copied().chain([step.id.as_str()]));
        for (at, condition) in step.postconditions.iter().enumerate() {
            self.condition(condition, &path.key("postconditions").index(at), &after, Kind::After);
        }
    }

    fn action(&mut self, action: &str, args: &Args, path: &Path, scope: &Scope<'a>) {
        match self.catalogue.get(action) {
            None => {
                let hint = match self.catalogue.nearest(action) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => super::finding::nearest(
                        action,
                        self.catalogue.actions.keys().map(String::as_str),
                    ),
                };
                let message = format!("there is no action `{}`", shown(action, 64));
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
            self.numbers(value, &path.key(name));
            let findings = scope.check_holes(value, &path.key(name), &mut self.holes);
            self.findings.extend(findings);
        }
    }

    fn arguments(&mut self, spec: &ActionSpec, args: &Args, path: &Path) {
        for (below, message) in arguments::check(spec, args) {
            let is_unknown = message.contains("is not known here");
            let message = format!("action `{}`: {message}", spec.name);
            let finding = Finding::error(Code::BadArgument, path.below(&below), message, "");
            self.findings.push(if is_unknown { finding.at(At::Key) } else { finding });
        }
    }

    /// Refuses whole numbers that lose digits: a digest of them would not be one of what was written.
    fn numbers(&mut self, value: &Value, path: &Path) {
        match value {
            Value::Number(number) if scalar::is_too_large(number) => {
                let (code, message, hint) = scalar::too_large(&number.to_string());
                self.findings.push(Finding::error(code, path.clone(), message, hint));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.numbers(item, &path.index(at)))
            }
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| self.numbers(value, &path.key(key)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn undo(&mut self, step: &'a Step, path: &Path, scope: &Scope<'a>) {
        let spec = self.catalogue.get(&step.action);
        let at = path.key("compensation");
        match (&step.compensation, spec) {
            (None, Some(spec)) if !spec.has_inverse => match spec.reversibility {
                Reversibility::Reversible | Reversibility::BestEffort => {
                    let message = format!(
                        "`{}` can be undone, but has neither a declared inverse nor a compensation",
                        spec.name
                    );
                    let hint = "add `compensation: {action: …}`, or `compensation: none` to say that nothing is undone";
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
                let after = scope.after(scope.ended.iter().copied().chain([step.id.as_str()]));
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

    fn times(&mut self, step: &Step, path: &Path) {
        let Retry { attempts, initial, cap, jitter, .. } = &step.retry;
        let retry = path.key("retry");
        self.holds(
            (1..=ATTEMPTS).contains(attempts),
            retry.key("attempts"),
            format!("{attempts} attempts; from 1 to {ATTEMPTS} are made"),
        );
        self.holds(
            (0.0..=1.0).contains(jitter),
            retry.key("jitter"),
            format!("the jitter is {jitter}; it is a share, from 0 to 1"),
        );
        self.holds(
            cap <= &LONGEST,
            retry.key("cap"),
            format!("the pause is at most {cap}; no pause is longer than {LONGEST}"),
        );
        // The default cap stands where only the first pause is written.
        self.holds(
            initial <= cap,
            retry.key("initial"),
            format!("the first pause, {initial}, is longer than the longest, {cap}"),
        );
        let timeout = step.timeout;
        let is_timeout = timeout > Span::ZERO && timeout <= LONGEST;
        self.holds(
            is_timeout,
            path.key("timeout"),
            format!("the timeout is {timeout}; it is more than 0 and at most {LONGEST}"),
        );
        if let Some(approval) = &step.approval {
            let message = "the question stands for no time at all".into();
            self.holds(approval.expires > Span::ZERO, path.key("approval").key("expires"), message);
        }
    }

    fn holds(&mut self, is_within: bool, path: Path, message: String) {
        if !is_within {
            self.findings.push(Finding::error(
                Code::OutOfRange,
                path,
                message,
                "choose a value within the range",
            ));
        }
    }

    fn condition(&mut self, condition: &Condition, path: &Path, scope: &Scope<'a>, kind: Kind) {
        let reads = path.key("read");
        if condition.read.len() > MAX_READS {
            let message = format!(
                "the condition reads {} things, at most {MAX_READS} are read",
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
                name::check_identifier(name, &reads.key(name)).map(|finding| finding.at(At::Key)),
            );
            for (field, text) in texts(read) {
                let findings =
                    scope.check_text(text, &reads.key(name).below(field), &mut self.holes);
                self.findings.extend(findings);
            }
        }
        self.findings
            .extend(scope.with(condition.read.keys()).check(&condition.check, &path.key("check")));
        for (key, span) in [("within", condition.within), ("holdFor", condition.hold_for)] {
            let Some(span) = span else { continue };
            if kind == Kind::Before {
                let message = format!("a precondition has no `{key}`: it is looked at once");
                self.findings.push(
                    Finding::error(
                        Code::NoTimeHere,
                        path.key(key),
                        message,
                        "move it to a post-condition of a step before",
                    )
                    .at(At::Key),
                );
            }
            self.holds(
                span <= LONGEST,
                path.key(key),
                format!("`{key}` is {span}; it is at most {LONGEST}"),
            );
        }
    }

    /// An irreversible step is the pivot of its workflow: everything that changes something has ended well before it.
    fn pivots(&mut self, steps: &[Step], before: &[BTreeSet<usize>], path: &Path) {
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
                    "`{}` cannot be undone, and step `{}` need not have ended before it: if that one fails, nothing brings this one back",
                    shown(&step.id, 64),
                    shown(&steps[late].id, 64)
                );
                let hint = format!(
                    "let it come last: add `{}` to its `needs`",
                    shown(&steps[late].id, 64)
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

/// The texts of a read that may hold holes, by field.
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
