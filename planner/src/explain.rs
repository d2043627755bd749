use cluster::{Difference, ObjectChange};
use serde_json::Value;
use workflow::{Candidate, Evidence, Fact, Predicate, Provenance, Source};

/// Explains to an operator why a candidate is proposed.
///
/// One sentence each: what is wrong, where the candidate comes from, the reasons in the evidence, and each step. Text
/// from alerts and the cluster is passed through `sanitize`.
pub fn explain(candidate: &Candidate, evidence: &Evidence) -> Vec<String> {
    let mut sentences = Vec::new();
    match &evidence.target {
        Some(target) => {
            let health = evidence
                .health_of(target)
                .map_or_else(|| "of unknown health".to_string(), ToString::to_string);
            let health = sanitize(&health);
            sentences.push(format!(
                "{} is firing for {target}, which is {health}.",
                sanitize(&evidence.alert)
            ));
        }
        None => sentences.push(format!(
            "{} is firing, but the object that it is about could not be determined.",
            sanitize(&evidence.alert)
        )),
    }
    sentences.push(match &candidate.source {
        Source::Retrieval { execution, similarity, rank, origin } => format!(
            "It repeats the actions of execution {execution}{}, which resolved a similar incident (similarity {:.0} %, rank {rank}).",
            describe_origin(origin),
            similarity * 100.0
        ),
        Source::Template { name, .. } => format!("The evidence matches the template `{name}`."),
        Source::Reversal { differences } => {
            let what = if differences.len() == 1 { "1 change".to_string() } else { format!("{} changes", differences.len()) };
            format!("It reverts {what} made since the workload was last healthy.")
        }
        Source::Model { name } => format!("The model `{}` proposed it.", sanitize(name)),
        Source::Demonstration { corrected } => format!("An operator gave it as the correction of plan {corrected}."),
        Source::DoNothing => "It changes nothing and keeps observing the incident.".into(),
        Source::Escalate => "It asks an operator to resolve the incident.".into(),
    });
    sentences.extend(candidate.reasons.iter().map(|reason| sanitize(reason)));
    for step in &candidate.workflow.spec.steps {
        sentences.push(format!(
            "Step `{}`: {}.",
            step.id,
            describe_action(&step.action, &step.arguments)
        ));
    }
    sentences
}

/// Describes one difference from the known-good state.
pub(crate) fn describe_change(difference: &Difference) -> String {
    let object = &difference.object;
    match &difference.change {
        ObjectChange::Created => format!("{object} was created since the last known-good state"),
        ObjectChange::Deleted => format!("{object} was deleted since the last known-good state"),
        ObjectChange::Field { path, before, after, .. } => {
            format!(
                "`{}` of {object} changed from {} to {} since the last known-good state",
                sanitize(path),
                format_value(before.as_ref()),
                format_value(after.as_ref())
            )
        }
    }
}

/// Describes a fact that shows what is wrong. `None` for a fact that is no symptom.
pub(crate) fn describe_symptom(fact: &Fact) -> Option<String> {
    let value = sanitize(fact.value.as_str().unwrap_or_default());
    let (subject, key) = (&fact.subject, sanitize(&fact.key));
    Some(match fact.predicate {
        Predicate::Waiting => format!("container `{key}` of {subject} is waiting: {value}"),
        Predicate::Terminated if value != "Completed" => {
            format!("container `{key}` of {subject} last terminated: {value}")
        }
        Predicate::RolloutStuck if fact.value == true => {
            format!("the rollout of {subject} is stuck")
        }
        Predicate::HasKey if fact.value == false => {
            format!("{subject} has no key `{key}`, but a workload references it")
        }
        Predicate::Selects if fact.value == false => {
            format!("the selector of {subject} does not match the pods of `{key}`")
        }
        Predicate::Reachable if fact.value == false => {
            format!("requests do not reach {subject}")
        }
        Predicate::ProbePasses if fact.value == false => {
            format!("the readiness probe of container `{key}` of {subject} is failing")
        }
        _ => return None,
    })
}

/// Describes a fact that a template matched.
pub(crate) fn describe_fact(fact: &Fact) -> String {
    if let Some(symptom) = describe_symptom(fact) {
        return symptom;
    }
    let (subject, key) = (&fact.subject, sanitize(&fact.key));
    let value = format_value(Some(&fact.value));
    match fact.predicate {
        Predicate::Health => format!("the health of {subject} is {value}"),
        Predicate::Ready if fact.value == false => {
            format!("{subject} has fewer ready replicas than desired")
        }
        Predicate::Replicas => format!("the desired replica count of {subject} is {value}"),
        Predicate::RevisionAvailable => format!("{subject} can be rolled back to revision {value}"),
        Predicate::MemoryLimit => {
            format!("the memory limit of container `{key}` of {subject} is {value} bytes")
        }
        Predicate::KnownGoodImage => {
            format!("the known-good image of container `{key}` of {subject} is {value}")
        }
        Predicate::KnownGoodEnv => {
            format!("the known-good value of environment variable `{key}` of {subject} is {value}")
        }
        Predicate::KnownGoodReplicas => {
            format!("the known-good replica count of {subject} is {value}")
        }
        Predicate::KnownGoodMemory => {
            format!("the known-good memory limit of container `{key}` of {subject} is {value}")
        }
        Predicate::KnownGoodProbe => {
            format!("the known-good readiness probe of container `{key}` of {subject} is {value}")
        }
        Predicate::KnownGoodValue => {
            format!("the known-good value of key `{key}` of {subject} is {value}")
        }
        Predicate::KnownGoodSelector => format!("the known-good selector of {subject} is {value}"),
        Predicate::KnownGoodPort => {
            format!("the known-good target port of port `{key}` of {subject} is {value}")
        }
        _ => fact.to_string(),
    }
}

/// Returns where an execution was recorded, to follow its id. Empty for an execution of this installation.
pub(crate) fn describe_origin(origin: &Provenance) -> String {
    match origin {
        Provenance::Live => String::new(),
        Provenance::Import(name) => format!(" (imported from `{}`)", sanitize(name)),
        Provenance::Feedback(actor) => format!(" (a correction by {})", sanitize(actor)),
    }
}

fn describe_action(action: &str, arguments: &workflow::Args) -> String {
    let target =
        arguments.get("target").and_then(Value::as_object).map_or_else(String::new, |target| {
            let text = |field: &str| target.get(field).and_then(Value::as_str).unwrap_or_default();
            format!(" {} {}/{}", text("kind"), text("namespace"), text("name"))
        });
    let others: Vec<String> = arguments
        .iter()
        .filter(|(name, _)| *name != "target")
        .map(|(name, value)| format!("{name} = {}", format_value(Some(value))))
        .collect();
    let others =
        if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    format!("{action}{}{}", sanitize(&target), others)
}

/// Formats a value in backquotes, truncated to 80 characters.
fn format_value(value: Option<&Value>) -> String {
    let Some(value) = value else { return "unset".into() };
    let text = sanitize(&value.to_string());
    format!("`{}`", workflow::text::truncate(&text, 80))
}

/// Makes text from an alert or the cluster safe to show on a terminal or a page.
///
/// Replaces control, bidirectional and zero-width characters with `·`, and truncates to 256 characters.
pub(crate) fn sanitize(text: &str) -> String {
    text.chars().map(|c| if workflow::text::is_hidden(c) { '·' } else { c }).take(256).collect()
}
