use workflow::{Evidence, Predicate};

use crate::explain::{changed, plain};
use crate::relation::focus;

/// How many changes are told.
const CHANGES: usize = 8;

/// The evidence in sentences: health, what the containers say, what is missing, what changed.
pub(super) fn tell(evidence: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    for object in focus(evidence) {
        if let Some(health) = evidence.health_of(&object) {
            lines.push(format!("{object} is {}", plain(&health.to_string())));
        }
    }
    for fact in evidence.facts.iter() {
        let value = plain(fact.value.as_str().unwrap_or_default());
        let (subject, key) = (&fact.subject, plain(&fact.key));
        let line = match fact.predicate {
            Predicate::Waiting => format!("container `{key}` of {subject} waits: {value}"),
            Predicate::Terminated if value != "Completed" => {
                format!("container `{key}` of {subject} last ended with {value}")
            }
            Predicate::RolloutStuck if fact.value == true => {
                format!("the roll-out of {subject} stands still")
            }
            Predicate::KeyPresent if fact.value == false => {
                format!("{subject} has no key `{key}`, which a workload asks for")
            }
            Predicate::Selects if fact.value == false => {
                format!("{subject} does not select the pods of `{key}`")
            }
            Predicate::Reachable if fact.value == false => {
                format!("requests to {subject} do not arrive")
            }
            Predicate::ProbePasses if fact.value == false => {
                format!("the readiness probe of container `{key}` of {subject} fails")
            }
            _ => continue,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.extend(evidence.differences.iter().take(CHANGES).map(changed));
    if evidence.differences.len() > CHANGES {
        lines.push(format!(
            "{} further changes since it was last healthy",
            evidence.differences.len() - CHANGES
        ));
    }
    lines
}
