use std::collections::BTreeSet;

use cluster::{Object, ObjectChange, ObjectKey, ObjectRef};
use jiff::Timestamp;
use serde_json::Value;
use workflow::decision::Rejection;
use workflow::fact::match_all;
use workflow::guardrail::{self, GuardrailDecision};
use workflow::{
    Candidate, Catalogue, ChangeLog, ErrorCode, Evidence, Guardrails, HealthLevel, Limits, Step,
    fact,
};

use crate::dry_run::{DryRunFailure, DryRunResult};
use crate::relation::{EdgeFilter, MAX_HOPS, distances, target_and_neighbours};

/// Checks whether a candidate may be chosen.
///
/// Checks in this order: the step graph, the actions and their arguments, whether the target is unhealthy at all, the
/// objects that the steps name (known, and related to the target), the preconditions of the actions, images,
/// guardrails, and the result of the dry run. A candidate that changes nothing always passes after the first two
/// checks.
///
/// # Errors
/// The [`Rejection`] of the first failed check, with one of the codes `no_steps`, `too_many_steps`, `duplicate_step`,
/// `unknown_need`, `cycle`,
/// `unknown_action`, `invalid_arguments`, `unresolved_argument`, `no_target`, `target_healthy`, `target_unknown`,
/// `target_unrelated`, `precondition_unmet`, `image_unknown`, `guardrail_denied`, `dry_run_refused`, `dry_run_unknown`.
pub fn verify(
    candidate: &Candidate,
    evidence: &Evidence,
    guardrails: &Guardrails,
    change_log: &ChangeLog,
    catalogue: &Catalogue,
    dry_run: &DryRunResult,
    now: Timestamp,
) -> Result<(), Rejection> {
    let steps = &candidate.workflow.spec.steps;
    check_graph(steps)?;
    check_arguments(steps, catalogue)?;
    let changes =
        |step: &&Step| catalogue.get(&step.action).is_some_and(|spec| spec.target.is_some());
    if !candidate.source.has_effects() && !steps.iter().any(|step| changes(&step)) {
        return Ok(());
    }
    if steps.is_empty() {
        return Err(rejection(
            ErrorCode::NoSteps,
            None,
            "the workflow has no steps".into(),
            "add at least one step, or choose the candidate `escalate`",
        ));
    }
    let Some(target) = &evidence.target else {
        return Err(rejection(
            ErrorCode::NoTarget,
            None,
            "the object that the alert is about was not found".into(),
            "check the labels of the alert; only `do-nothing` and `escalate` are possible without a target",
        ));
    };
    if worst_health(evidence) == Some(HealthLevel::Healthy) {
        let message = format!("{target} is healthy, so there is nothing to fix");
        return Err(rejection(
            ErrorCode::TargetHealthy,
            None,
            message,
            "keep observing the incident, or check the alerting rule",
        ));
    }
    check_targets(steps, evidence, target, catalogue)?;
    check_action_preconditions(steps, evidence, target, catalogue)?;
    check_images(steps, evidence, target)?;
    check_guardrails(steps, evidence, guardrails, change_log, catalogue, now)?;
    check_dry_run(dry_run)
}

/// Returns why the workflow needs an operator under these guardrails: it needs approval, or may only be suggested.
///
/// `None` if the workflow may run without an operator.
pub fn needs_approval(
    steps: &[Step],
    evidence: &Evidence,
    guardrails: &Guardrails,
    change_log: &ChangeLog,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Option<String> {
    steps.iter().find_map(|step| {
        let impact = impact(step, evidence, catalogue)?;
        match guardrail::judge(guardrails, &impact, change_log, now) {
            GuardrailDecision::NeedsApproval { message }
            | GuardrailDecision::SuggestOnly { message } => Some(message),
            GuardrailDecision::Allow | GuardrailDecision::Deny { .. } => None,
        }
    })
}

/// Returns the worst health of the target and its neighbours. `None` if the health of all of them is unknown.
pub(crate) fn worst_health(evidence: &Evidence) -> Option<HealthLevel> {
    target_and_neighbours(evidence)
        .iter()
        .filter_map(|object| evidence.health_of(object))
        .map(|health| health.level)
        .min()
}

fn rejection(code: ErrorCode, step: Option<&Step>, message: String, hint: &str) -> Rejection {
    let message = match step {
        Some(step) => format!("step `{}`, `{}`: {message}", step.id, step.action),
        None => message,
    };
    Rejection {
        code,
        message: message.chars().take(500).collect(),
        step: step.map(|step| step.id.clone()),
        hint: hint.into(),
    }
}

fn check_graph(steps: &[Step]) -> Result<(), Rejection> {
    let max_steps = Limits::HARD.steps;
    if steps.len() > max_steps {
        let message = format!("the workflow has {} steps; the maximum is {max_steps}", steps.len());
        return Err(rejection(
            ErrorCode::TooManySteps,
            None,
            message,
            "split the workflow, or choose the candidate `escalate`",
        ));
    }
    let mut ids = BTreeSet::new();
    for step in steps {
        if !ids.insert(step.id.as_str()) {
            return Err(rejection(
                ErrorCode::DuplicateStep,
                Some(step),
                "another step has the same id".into(),
                "give each step a unique id",
            ));
        }
    }
    for step in steps {
        if let Some(need) = step.needs.iter().find(|need| !ids.contains(need.as_str())) {
            return Err(rejection(
                ErrorCode::UnknownNeed,
                Some(step),
                format!("`needs` names the step `{need}`, which does not exist"),
                "name a step of this workflow in `needs`",
            ));
        }
    }
    let cycles = workflow::StepGraph::of(steps).cycles();
    let Some(cycle) = cycles.first() else { return Ok(()) };
    let ids: Vec<&str> =
        cycle.iter().chain(&cycle[..1]).map(|index| steps[*index].id.as_str()).collect();
    Err(rejection(
        ErrorCode::Cycle,
        None,
        format!("the steps depend on each other in a cycle: {}", ids.join(" -> ")),
        "remove one of these steps from the `needs` of another",
    ))
}

/// Checks that every action exists and that its arguments match the action's schema.
fn check_arguments(steps: &[Step], catalogue: &Catalogue) -> Result<(), Rejection> {
    for step in steps {
        let Some(spec) = catalogue.get(&step.action) else {
            let hint = catalogue.suggest(&step.action).map_or_else(
                || "use an action of the catalogue".into(),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(rejection(
                ErrorCode::UnknownAction,
                Some(step),
                "the action does not exist".into(),
                &hint,
            ));
        };
        if let Some((path, fault)) =
            actions::check_arguments(spec, &step.arguments).into_iter().next()
        {
            return Err(rejection(
                ErrorCode::InvalidArguments,
                Some(step),
                format!("argument `{path}`: {fault}"),
                "see the action's schema in the catalogue",
            ));
        }
        let target = spec.target.as_ref().and_then(|name| step.arguments.get(name));
        if target.is_some_and(|target| target.to_string().contains("${{")) {
            let message = "the target is a placeholder that only the run can resolve".into();
            return Err(rejection(
                ErrorCode::UnresolvedArgument,
                Some(step),
                message,
                "name the target object in the arguments",
            ));
        }
        let kind = target.and_then(|target| target.get("kind")).and_then(Value::as_str);
        if let Some(kind) = kind.filter(|kind| !spec.target_kinds.iter().any(|known| known == kind))
        {
            let message = format!("the action does not support the kind {kind}");
            return Err(rejection(
                ErrorCode::InvalidArguments,
                Some(step),
                message,
                &format!("use one of the kinds {}", spec.target_kinds.join(", ")),
            ));
        }
    }
    Ok(())
}

/// Checks that every target is in the inventory of the evidence and related to the target of the alert (bad inputs L9).
fn check_targets(
    steps: &[Step],
    evidence: &Evidence,
    target: &ObjectRef,
    catalogue: &Catalogue,
) -> Result<(), Rejection> {
    let near = distances(&evidence.objects, &evidence.facts, target, EdgeFilter::OwnershipAndCalls);
    for step in steps {
        let Some(spec) = catalogue.get(&step.action).filter(|spec| spec.target.is_some()) else {
            continue;
        };
        let Some(named) = actions::target(spec, &step.arguments, &target.cluster) else {
            return Err(rejection(
                ErrorCode::InvalidArguments,
                Some(step),
                "the arguments name no target object".into(),
                "set `kind`, `namespace` and `name` of the target",
            ));
        };
        if !evidence.inventory.iter().any(|known| known.is_same(&named)) {
            let message = format!("{named} is not in the inventory of the evidence");
            return Err(rejection(
                ErrorCode::TargetUnknown,
                Some(step),
                message,
                "use an object that the evidence lists",
            ));
        }
        let is_near = named.namespace == target.namespace
            && near.get(&ObjectKey::from(&named)).is_some_and(|distance| *distance <= MAX_HOPS);
        if !is_near {
            let message = format!("{named} is not related to {target}, the target of the alert");
            return Err(rejection(
                ErrorCode::TargetUnrelated,
                Some(step),
                message,
                "use the target of the alert, its owner, its configuration or its Services",
            ));
        }
    }
    Ok(())
}

/// Checks that the preconditions of every action are met by the facts, or by the effects of an earlier step.
fn check_action_preconditions(
    steps: &[Step],
    evidence: &Evidence,
    target: &ObjectRef,
    catalogue: &Catalogue,
) -> Result<(), Rejection> {
    let mut effects: Vec<(Value, workflow::Predicate)> = Vec::new();
    for step in steps {
        let Some(spec) = catalogue.get(&step.action) else { continue };
        let bound = actions::bindings(spec, &step.arguments, &target.cluster);
        let own = step.arguments.get("target").cloned().unwrap_or_default();
        for need in &spec.needs {
            let is_met_by_effect = effects.contains(&(own.clone(), need.predicate));
            if !is_met_by_effect
                && match_all(std::slice::from_ref(need), &evidence.facts, &bound, 1).is_empty()
            {
                let pattern = serde_json::to_string(need).expect("a pattern is plain data");
                return Err(rejection(
                    ErrorCode::PreconditionUnmet,
                    Some(step),
                    format!(
                        "no fact of the evidence matches the precondition {pattern} of the action"
                    ),
                    "use an action whose preconditions are met",
                ));
            }
        }
        effects.extend(spec.effects.iter().map(|effect| (own.clone(), effect.predicate)));
    }
    Ok(())
}

/// Checks that every image is one that the workload ran before, never one taken from a text (design D11).
fn check_images(steps: &[Step], evidence: &Evidence, target: &ObjectRef) -> Result<(), Rejection> {
    for step in steps {
        let action = actions::find(&step.action);
        let Some(image) = action.and_then(|action| action.image(&step.arguments)) else { continue };
        let name = step
            .arguments
            .get("target")
            .and_then(|target| target.get("name"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is_of = |object: &Object| {
            object.namespace() == target.namespace.as_deref()
                && (fact::is_workload(object) && object.name() == name
                    || object.controller().is_some_and(|owner| owner.name == name))
        };
        let ran = evidence
            .objects
            .iter()
            .filter(|object| is_of(object))
            .flat_map(cluster::containers)
            .any(|c| c.image() == image);
        let remembered = evidence.differences.iter().any(|difference| {
            difference.object.name == name
                && matches!(&difference.change, ObjectChange::Field { pointer, before: Some(before), .. } if pointer.ends_with("/image") && before == image)
        });
        if !ran && !remembered {
            let message =
                format!("{name} has not run this image before, as far as the evidence shows");
            return Err(rejection(
                ErrorCode::ImageUnknown,
                Some(step),
                message,
                "use an image of an earlier revision of the workload",
            ));
        }
    }
    Ok(())
}

fn impact(step: &Step, evidence: &Evidence, catalogue: &Catalogue) -> Option<workflow::Impact> {
    let spec = catalogue.get(&step.action)?;
    let mut impact = actions::impact(spec, &step.arguments, &evidence.objects);
    let cluster = evidence.target.as_ref().map_or("", |target| target.cluster.as_str());
    for target in &mut impact.targets {
        if target.cluster.is_empty() {
            target.cluster = cluster.into();
        }
    }
    Some(impact)
}

/// Checks every step against the guardrails, counting the changes of the steps before it.
fn check_guardrails(
    steps: &[Step],
    evidence: &Evidence,
    guardrails: &Guardrails,
    change_log: &ChangeLog,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Result<(), Rejection> {
    let mut change_log = change_log.clone();
    for step in steps {
        let Some(impact) = impact(step, evidence, catalogue) else { continue };
        match guardrail::judge(guardrails, &impact, &change_log, now) {
            GuardrailDecision::Allow
            | GuardrailDecision::NeedsApproval { .. }
            | GuardrailDecision::SuggestOnly { .. } => {}
            GuardrailDecision::Deny { rule, message, hint } => {
                return Err(rejection(
                    ErrorCode::GuardrailDenied,
                    Some(step),
                    format!("{message} (guardrail `{rule}`)"),
                    &hint,
                ));
            }
        }
        for target in &impact.targets {
            change_log.record(target, now);
        }
    }
    Ok(())
}

/// Checks that the cluster accepted every change in the dry run.
fn check_dry_run(dry_run: &DryRunResult) -> Result<(), Rejection> {
    let (code, message) = match dry_run {
        Ok(()) => return Ok(()),
        Err(DryRunFailure::Refused { message }) => (ErrorCode::DryRunRefused, message),
        Err(DryRunFailure::Unknown { message }) => (ErrorCode::DryRunUnknown, message),
    };
    Err(rejection(
        code,
        None,
        message.clone(),
        "collect the evidence again, or choose the candidate `escalate`",
    ))
}
