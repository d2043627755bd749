use workflow::Evidence;

use crate::explain::{describe_change, describe_symptom, sanitize};
use crate::relation::target_and_neighbours;

/// Maximum number of changes listed one by one.
const MAX_CHANGES: usize = 8;

/// Summarizes the evidence in sentences: health, container states, missing configuration, and changes.
pub(super) fn summarize(evidence: &Evidence) -> Vec<String> {
    let mut summary = Vec::new();
    for object in target_and_neighbours(evidence) {
        if let Some(health) = evidence.health_of(&object) {
            summary.push(format!("{object} is {}", sanitize(&health.to_string())));
        }
    }
    for fact in evidence.facts.iter() {
        let Some(line) = describe_symptom(fact) else { continue };
        if !summary.contains(&line) {
            summary.push(line);
        }
    }
    summary.extend(evidence.differences.iter().take(MAX_CHANGES).map(describe_change));
    if evidence.differences.len() > MAX_CHANGES {
        summary.push(format!(
            "{} more changes since the last known-good state",
            evidence.differences.len() - MAX_CHANGES
        ));
    }
    summary
}
