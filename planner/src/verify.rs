use std::collections::{BTreeMap, BTreeSet};

use cluster::{Change, Object, ObjectRef, Reply};
use jiff::Timestamp;
use serde_json::Value;
use workflow::decision::Refusal;
use workflow::fact::solve;
use workflow::guardrail::{self, Verdict};
use workflow::{
    Candidate, Catalogue, Evidence, Guardrails, HealthLevel, Ledger, Limits, Step, fact,
};

use crate::relation::{Following, REACH, distances, focus};

/// Says whether a candidate may be chosen, or the first reason why not.
///
/// In this order: the graph of its steps, its actions and their arguments, whether anything is wrong at all, the objects
/// that it names (known, and related to the target), the facts that its actions need, images, guardrails, and what the
/// cluster answered to the dry run. What does not act is always let through.
///
/// # Errors
/// A [`Refusal`] with one of the codes `no_steps`, `too_many_steps`, `duplicate_step`, `unknown_need`, `cycle`,
/// `unknown_action`, `bad_arguments`, `unresolved_argument`, `no_target`, `target_healthy`, `target_unknown`,
/// `target_unreachable`, `need_unmet`, `image_unknown`, `guardrail_denied`, `dry_run_refused`, `dry_run_unknown`.
pub fn verify(
    candidate: &Candidate,
    evidence: &Evidence,
    guardrails: &Guardrails,
    ledger: &Ledger,
    catalogue: &Catalogue,
    replies: &[Reply],
    now: Timestamp,
) -> Result<(), Refusal> {
    let steps = &candidate.workflow.spec.steps;
    graph(steps)?;
    shapes(steps, catalogue)?;
    let changes =
        |step: &&Step| catalogue.get(&step.action).is_some_and(|spec| spec.target.is_some());
    if !candidate.source.acts() && !steps.iter().any(|step| changes(&step)) {
        return Ok(());
    }
    if steps.is_empty() {
        return Err(refusal(
            "no_steps",
            None,
            "it has no steps".into(),
            "give it at least one step, or escalate",
        ));
    }
    let Some(target) = &evidence.target else {
        return Err(refusal(
            "no_target",
            None,
            "no object was found that the alert is about".into(),
            "ask a person",
        ));
    };
    if worst_health(evidence) == Some(HealthLevel::Healthy) {
        let message = format!("{target} is healthy: there is nothing to mend");
        return Err(refusal(
            "target_healthy",
            None,
            message,
            "watch it, or look at the rule that fired",
        ));
    }
    objects(steps, evidence, target, catalogue)?;
    needs(steps, evidence, target, catalogue)?;
    images(steps, evidence, target)?;
    rails(steps, evidence, guardrails, ledger, catalogue, now)?;
    answers(replies)
}

/// Why the workflow does not run by itself under these guardrails: a person must approve it, or it is a suggestion
/// only. None where nobody is asked.
pub fn needs_approval(
    steps: &[Step],
    evidence: &Evidence,
    guardrails: &Guardrails,
    ledger: &Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Option<String> {
    steps.iter().find_map(|step| {
        let footprint = footprint(step, evidence, catalogue)?;
        match guardrail::judge(guardrails, &footprint, ledger, now) {
            Verdict::NeedsApproval { why } | Verdict::SuggestOnly { why } => Some(why),
            Verdict::Allow | Verdict::Deny { .. } => None,
        }
    })
}

/// The worst health of the target and what stands next to it; absent if nothing is known of any.
pub(crate) fn worst_health(evidence: &Evidence) -> Option<HealthLevel> {
    focus(evidence)
        .iter()
        .filter_map(|object| evidence.health_of(object))
        .map(|health| health.level)
        .min()
}

fn refusal(code: &str, step: Option<&Step>, message: String, hint: &str) -> Refusal {
    let message = match step {
        Some(step) => format!("step `{}`, `{}`: {message}", step.id, step.action),
        None => message,
    };
    Refusal {
        code: code.into(),
        message: message.chars().take(500).collect(),
        step: step.map(|step| step.id.clone()),
        hint: hint.into(),
    }
}

fn graph(steps: &[Step]) -> Result<(), Refusal> {
    let most = Limits::HARD.steps;
    if steps.len() > most {
        let message = format!("it has {} steps, more than {most}", steps.len());
        return Err(refusal("too_many_steps", None, message, "split it, or ask a person"));
    }
    let mut ids = BTreeSet::new();
    for step in steps {
        if !ids.insert(step.id.as_str()) {
            return Err(refusal(
                "duplicate_step",
                Some(step),
                "another step has this id".into(),
                "give each step an id of its own",
            ));
        }
    }
    for step in steps {
        if let Some(need) = step.needs.iter().find(|need| !ids.contains(need.as_str())) {
            return Err(refusal(
                "unknown_need",
                Some(step),
                format!("it needs `{need}`, and there is no such step"),
                "name a step of this workflow",
            ));
        }
    }
    let mut waiting: BTreeMap<&str, &[String]> =
        steps.iter().map(|step| (step.id.as_str(), step.needs.as_slice())).collect();
    loop {
        let ready: Vec<&str> = waiting
            .iter()
            .filter(|(_, needs)| !needs.iter().any(|need| waiting.contains_key(need.as_str())))
            .map(|(id, _)| *id)
            .collect();
        if ready.is_empty() {
            break;
        }
        for id in ready {
            waiting.remove(id);
        }
    }
    let Some(mut at) = waiting.keys().next().copied() else { return Ok(()) };
    // Whoever waits, waits for one who waits: walking on must come back.
    let mut walk: Vec<&str> = Vec::new();
    while !walk.contains(&at) {
        walk.push(at);
        at = waiting[at]
            .iter()
            .find_map(|need| waiting.get_key_value(need.as_str()))
            .map(|(id, _)| *id)
            .expect("every need that is left waits too");
    }
    let start = walk.iter().position(|id| *id == at).expect("the walk came back");
    let cycle = walk[start..].iter().chain([&at]).copied().collect::<Vec<_>>().join(" -> ");
    Err(refusal(
        "cycle",
        None,
        format!("its steps wait for one another: {cycle}"),
        "remove one of these needs",
    ))
}

/// Actions are known, and told what they take.
fn shapes(steps: &[Step], catalogue: &Catalogue) -> Result<(), Refusal> {
    for step in steps {
        let Some(spec) = catalogue.get(&step.action) else {
            let hint = catalogue.nearest(&step.action).map_or_else(
                || "take an action of the catalogue".into(),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(refusal(
                "unknown_action",
                Some(step),
                "there is no such action".into(),
                &hint,
            ));
        };
        if let Some((path, fault)) =
            actions::check_arguments(spec, &step.arguments).into_iter().next()
        {
            return Err(refusal(
                "bad_arguments",
                Some(step),
                format!("argument `{path}`: {fault}"),
                "see the action's schema in the catalogue",
            ));
        }
        let target = spec.target.as_ref().and_then(|name| step.arguments.get(name));
        if target.is_some_and(|target| target.to_string().contains("${{")) {
            let message = "the object that it acts on is not known before the run".into();
            return Err(refusal(
                "unresolved_argument",
                Some(step),
                message,
                "name the object itself",
            ));
        }
        let kind = target.and_then(|target| target.get("kind")).and_then(Value::as_str);
        if let Some(kind) = kind.filter(|kind| !spec.target_kinds.iter().any(|known| known == kind))
        {
            let message = format!("it cannot act on a {kind}");
            return Err(refusal(
                "bad_arguments",
                Some(step),
                message,
                &format!("it acts on {}", spec.target_kinds.join(", ")),
            ));
        }
    }
    Ok(())
}

/// Every object that is acted on was read, and is related to the target (bad inputs L9).
fn objects(
    steps: &[Step],
    evidence: &Evidence,
    target: &ObjectRef,
    catalogue: &Catalogue,
) -> Result<(), Refusal> {
    let near = distances(&evidence.objects, &evidence.facts, target, Following::Calls);
    for step in steps {
        let Some(spec) = catalogue.get(&step.action).filter(|spec| spec.target.is_some()) else {
            continue;
        };
        let Some(named) = actions::target(spec, &step.arguments, &target.cluster) else {
            return Err(refusal(
                "bad_arguments",
                Some(step),
                "it names no object".into(),
                "name kind, namespace and name",
            ));
        };
        if !evidence.inventory.iter().any(|known| known.is_same(&named)) {
            let message = format!("{named} is not among the objects that the evidence found");
            return Err(refusal(
                "target_unknown",
                Some(step),
                message,
                "act only on objects of the evidence",
            ));
        }
        let is_near = named.namespace == target.namespace
            && near.get(&Ledger::key(&named)).is_some_and(|distance| *distance <= REACH);
        if !is_near {
            let message = format!("{named} is not related to {target}, which the alert is about");
            return Err(refusal(
                "target_unreachable",
                Some(step),
                message,
                "act on the target or on what belongs to it",
            ));
        }
    }
    Ok(())
}

/// What an action needs is known, or an earlier step sees to it.
fn needs(
    steps: &[Step],
    evidence: &Evidence,
    target: &ObjectRef,
    catalogue: &Catalogue,
) -> Result<(), Refusal> {
    let mut made: Vec<(Value, workflow::Predicate)> = Vec::new();
    for step in steps {
        let Some(spec) = catalogue.get(&step.action) else { continue };
        let bound = actions::bindings(spec, &step.arguments, &target.cluster);
        let own = step.arguments.get("target").cloned().unwrap_or_default();
        for need in &spec.needs {
            let is_made = made.contains(&(own.clone(), need.predicate));
            if !is_made && solve(std::slice::from_ref(need), &evidence.facts, &bound, 1).is_empty()
            {
                let what = serde_json::to_string(need).expect("a pattern is plain data");
                return Err(refusal(
                    "need_unmet",
                    Some(step),
                    format!("nothing is known that meets {what}"),
                    "choose an action whose needs are met",
                ));
            }
        }
        made.extend(spec.effects.iter().map(|effect| (own.clone(), effect.predicate)));
    }
    Ok(())
}

/// Images are those that this workload ran before, never out of a text (design D11).
fn images(steps: &[Step], evidence: &Evidence, target: &ObjectRef) -> Result<(), Refusal> {
    for step in steps.iter().filter(|step| step.action == "set-image") {
        let image = step.arguments.get("image").and_then(Value::as_str).unwrap_or_default();
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
                && matches!(&difference.change, Change::Field { pointer, before: Some(before), .. } if pointer.ends_with("/image") && before == image)
        });
        if !ran && !remembered {
            let message = format!("{name} is not known to have run this image before");
            return Err(refusal(
                "image_unknown",
                Some(step),
                message,
                "take an image of an earlier revision of the workload",
            ));
        }
    }
    Ok(())
}

fn footprint(
    step: &Step,
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Option<workflow::Footprint> {
    let spec = catalogue.get(&step.action)?;
    let mut footprint = actions::footprint(spec, &step.arguments, &evidence.objects);
    let cluster = evidence.target.as_ref().map_or("", |target| target.cluster.as_str());
    for target in &mut footprint.targets {
        if target.cluster.is_empty() {
            target.cluster = cluster.into();
        }
    }
    Some(footprint)
}

/// The guardrails let every step pass, each after those before it.
fn rails(
    steps: &[Step],
    evidence: &Evidence,
    guardrails: &Guardrails,
    ledger: &Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut ledger = ledger.clone();
    for step in steps {
        let Some(footprint) = footprint(step, evidence, catalogue) else { continue };
        match guardrail::judge(guardrails, &footprint, &ledger, now) {
            Verdict::Allow | Verdict::NeedsApproval { .. } | Verdict::SuggestOnly { .. } => {}
            Verdict::Deny { rule, message, hint } => {
                return Err(refusal(
                    "guardrail_denied",
                    Some(step),
                    format!("{message} (guardrail `{rule}`)"),
                    &hint,
                ));
            }
        }
        for target in &footprint.targets {
            ledger.note(target, now);
        }
    }
    Ok(())
}

/// The cluster would take every change.
fn answers(replies: &[Reply]) -> Result<(), Refusal> {
    for reply in replies {
        let (code, message) = match reply {
            Reply::Refused { code, reason, message } => (
                "dry_run_refused",
                format!("the cluster would refuse it: {code} {reason}: {message}"),
            ),
            Reply::Absent => ("dry_run_refused", "an object that it changes is gone".into()),
            Reply::Unknown { message } => (
                "dry_run_unknown",
                format!("the cluster did not say whether it would take it: {message}"),
            ),
            Reply::Throttled { retry_after_seconds } => (
                "dry_run_unknown",
                format!(
                    "the cluster asked to wait {retry_after_seconds} s before it says whether it would take it"
                ),
            ),
            // A conflict was met by reading again; what came of that stands behind it.
            Reply::Conflict { .. }
            | Reply::Found(_)
            | Reply::Listed(_)
            | Reply::Accepted(_)
            | Reply::Deleted => continue,
        };
        return Err(refusal(code, None, message, "gather evidence again, or ask a person"));
    }
    Ok(())
}
