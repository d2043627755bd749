use std::collections::BTreeSet;

use workflow::{Evidence, HealthLevel, Predicate};

use crate::relation::focus;
use crate::reversal::field_of;

/// The words by which an incident is found again: alert, reasons, kinds and kinds of change near the target. No names
/// of objects, containers or keys.
pub fn signature(evidence: &Evidence) -> Vec<String> {
    let mut words = BTreeSet::from([format!("alert:{}", evidence.alert)]);
    for object in focus(evidence) {
        words.insert(format!("kind:{}", object.kind));
        for fact in evidence.facts.iter().filter(|fact| fact.subject.is_same(&object)) {
            match fact.predicate {
                Predicate::Waiting => words.insert(format!("waiting:{}", text(&fact.value))),
                Predicate::Terminated => words.insert(format!("terminated:{}", text(&fact.value))),
                Predicate::RolloutStuck if fact.value == true => {
                    words.insert("rollout:stuck".into())
                }
                Predicate::Reachable if fact.value == false => {
                    words.insert("service:unreachable".into())
                }
                Predicate::Selects if fact.value == false => {
                    words.insert("service:selects-nobody".into())
                }
                Predicate::Endpoints if fact.value == 0 => {
                    words.insert("service:no-endpoints".into())
                }
                Predicate::ProbePasses if fact.value == false => words.insert("probe:fails".into()),
                Predicate::Replicas if fact.value == 0 => words.insert("replicas:zero".into()),
                _ => false,
            };
        }
        match evidence.health_of(&object).map(|health| health.level) {
            Some(HealthLevel::Missing) => words.insert(format!("{}:missing", object.kind)),
            Some(HealthLevel::Failing) => words.insert(format!("{}:failing", object.kind)),
            Some(HealthLevel::Degraded) => words.insert(format!("{}:degraded", object.kind)),
            Some(HealthLevel::Healthy) | None => false,
        };
    }
    if missing_keys(evidence) {
        words.insert("key:missing".into());
    }
    for field in evidence.differences.iter().filter_map(field_of) {
        words.insert(format!("changed:{}", field.word()));
    }
    words.into_iter().collect()
}

/// Whether configuration that is near lacks a key that a workload asks for.
pub(crate) fn missing_keys(evidence: &Evidence) -> bool {
    evidence.facts.iter().any(|fact| fact.predicate == Predicate::KeyPresent && fact.value == false)
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}
