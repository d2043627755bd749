use std::collections::BTreeSet;

use actions::FieldClass;
use workflow::{Evidence, HealthLevel, Predicate};

use crate::relation::target_and_neighbours;

/// Returns the words by which retrieval compares incidents: the alert, container reasons, object kinds and classes of
/// changed fields near the target.
///
/// Contains no names of objects, containers or keys.
pub fn signature(evidence: &Evidence) -> Vec<String> {
    let mut words = BTreeSet::from([format!("alert:{}", evidence.alert)]);
    for object in target_and_neighbours(evidence) {
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
                    words.insert("service:selector-mismatch".into())
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
    if has_missing_keys(evidence) {
        words.insert("key:missing".into());
    }
    for field in evidence.differences.iter().filter_map(FieldClass::of) {
        words.insert(format!("changed:{}", field.as_str()));
    }
    words.into_iter().collect()
}

/// Returns whether a ConfigMap or Secret in the evidence lacks a key that a workload references.
pub(crate) fn has_missing_keys(evidence: &Evidence) -> bool {
    evidence.facts.iter().any(|fact| fact.predicate == Predicate::HasKey && fact.value == false)
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}
