//! Features, signatures and retrieval do not depend on the names of objects.

use std::collections::BTreeMap;

use cluster::digest_of_parts;
use planner::{CandidateSources, HybridIndex, Retrieval, ReversalMode};
use serde_json::Value;
use workflow::outcome::OutcomeStatus;
use workflow::{Candidate, Evidence, PastExecution, Provenance};

use crate::harness::{faulty_world, templates};

fn past(
    evidence: &Evidence,
    candidate: &Candidate,
    outcome: OutcomeStatus,
    number: i64,
) -> PastExecution {
    PastExecution {
        id: format!("run-{number}"),
        alert: evidence.alert.clone(),
        target: evidence.target.clone().unwrap(),
        facts: evidence.facts.clone(),
        signature: planner::signature(evidence),
        workflow: candidate.workflow.clone(),
        features: candidate.features.clone(),
        outcome,
        reward: None,
        steps: Vec::new(),
        seconds_to_resolve: None,
        at: evidence.at + jiff::SignedDuration::from_secs(number),
        origin: Provenance::Live,
    }
}

fn propose(evidence: &Evidence, index: &HybridIndex) -> Vec<Candidate> {
    let templates = templates();
    let neighbours = planner::neighbours(evidence, index);
    let sources = CandidateSources {
        templates: &templates,
        neighbours: &neighbours,
        reversal: ReversalMode::On,
        corrections: &[],
    };
    planner::propose(evidence, &sources, &actions::catalogue())
}

/// Returns every user-chosen name in the evidence with its replacement: names of objects, namespaces and containers,
/// and annotation values.
fn names(evidence: &Evidence) -> BTreeMap<String, String> {
    let mut found = std::collections::BTreeSet::new();
    for object in &evidence.objects {
        found.insert(object.name().to_string());
        found.extend(object.namespace().map(str::to_string));
        for container in cluster::containers(object) {
            found.insert(container.name().into());
        }
        found.extend(
            object
                .metadata()
                .annotations
                .iter()
                .filter(|(key, _)| !key.contains("revision"))
                .map(|(_, value)| value.clone()),
        );
    }
    found.extend(evidence.inventory.iter().map(|object| object.name.clone()));
    // Names of one or two characters are kept: they may be parts of other words.
    found
        .into_iter()
        .filter(|name| name.len() > 2)
        .map(|name| (name.clone(), format!("x{}", digest_of_parts(&["rename", &name]).short(10))))
        .collect()
}

/// Returns the evidence with every such name replaced wherever it occurs as a whole word.
fn renamed(evidence: &Evidence) -> Evidence {
    fn replace(value: &mut Value, names: &BTreeMap<String, String>) {
        match value {
            Value::String(text) => *text = words(text, names),
            Value::Array(items) => items.iter_mut().for_each(|item| replace(item, names)),
            Value::Object(map) => map.values_mut().for_each(|value| replace(value, names)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    fn words(text: &str, names: &BTreeMap<String, String>) -> String {
        if let Some(name) = names.get(text) {
            return name.clone();
        }
        let mut out = String::new();
        let mut word = String::new();
        for c in text.chars().chain(['\0']) {
            if c.is_ascii_alphanumeric() || c == '-' {
                word.push(c);
            } else {
                out.push_str(names.get(&word).unwrap_or(&word));
                word.clear();
                out.extend((c != '\0').then_some(c));
            }
        }
        out
    }
    let names = names(evidence);
    let mut value = serde_json::to_value(evidence).unwrap();
    for field in ["objects", "inventory", "target", "facts", "differences", "health"] {
        replace(&mut value[field], &names);
    }
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn features_and_arms_do_not_depend_on_names_and_annotations() {
    for family in [
        "bad-image",
        "missing-config-key",
        "wrong-service-selector",
        "crash-after-bad-config",
        "wrong-target-port",
    ] {
        let faulty = faulty_world(family, 1).await;
        let evidence = faulty.evidence_at_fault().await.remove(0);
        let other = renamed(&evidence);
        assert_ne!(evidence.target, other.target, "{family}: it was renamed");
        assert_eq!(planner::signature(&evidence), planner::signature(&other), "{family}");
        let index = HybridIndex::new();
        let plain = |evidence: &Evidence| {
            let mut seen: Vec<_> =
                propose(evidence, &index).into_iter().map(|candidate| candidate.features).collect();
            // Names break ties between equally distant objects, so only the set of candidates is compared.
            seen.sort_by(|a, b| {
                a.arm
                    .cmp(&b.arm)
                    .then_with(|| format!("{:?}", a.values).cmp(&format!("{:?}", b.values)))
            });
            seen
        };
        assert_eq!(plain(&evidence), plain(&other), "{family}");
    }
}

#[tokio::test]
async fn features_match_schema_and_are_between_0_and_1() {
    let schema = planner::schema();
    assert!((24..=40).contains(&schema.names.len()), "{}", schema.names.len());
    for family in ["bad-image", "scaled-to-zero", "nothing-wrong"] {
        let found = faulty_world(family, 1).await.evidence_at_fault().await;
        assert!(!found.is_empty(), "{family}");
        for evidence in found {
            for candidate in propose(&evidence, &HybridIndex::new()) {
                assert_eq!(candidate.features.schema, schema.digest());
                assert_eq!(candidate.features.values.len(), schema.names.len());
                assert!(
                    candidate.features.values.iter().all(|value| (0.0..=1.0).contains(value)),
                    "{candidate:#?}"
                );
            }
        }
    }
    let actions: Vec<String> =
        actions::catalogue().actions.keys().map(|name| format!("action:{name}")).collect();
    assert!(
        actions.iter().all(|action| schema.names.contains(action)),
        "every action has a feature"
    );
}

#[tokio::test]
async fn retrieved_plan_uses_names_and_values_of_current_incident_only() {
    for family in [
        "bad-image",
        "missing-config-key",
        "wrong-service-selector",
        "scaled-to-zero",
        "memory-limit-too-low",
    ] {
        let (first, second) = (faulty_world(family, 1).await, faulty_world(family, 2).await);
        let (there, here) =
            (first.evidence_at_fault().await.remove(0), second.evidence_at_fault().await.remove(0));
        let mut index = HybridIndex::new();
        let mut fixes = Vec::new();
        for candidate in
            propose(&there, &index).into_iter().filter(|candidate| candidate.source.has_effects())
        {
            if first.is_fixed_by(&candidate).await.is_ok() {
                fixes.push(candidate);
            }
        }
        for (number, candidate) in fixes.iter().enumerate() {
            let origin = Provenance::Import("elsewhere.jsonl".into());
            let past = past(&there, candidate, OutcomeStatus::Resolved, number as i64);
            index.add(&PastExecution { origin, ..past });
        }
        let neighbours = planner::neighbours(&here, &index);
        let sources = CandidateSources {
            templates: &[],
            neighbours: &neighbours,
            reversal: ReversalMode::Off,
            corrections: &[],
        };
        let adapted: Vec<Candidate> = planner::propose(&here, &sources, &actions::catalogue())
            .into_iter()
            .filter(|candidate| matches!(candidate.source, workflow::Source::Retrieval { .. }))
            .collect();
        assert!(!adapted.is_empty(), "{family}");
        let mut is_fixed = false;
        for candidate in &adapted {
            let text = serde_json::to_string(&candidate.workflow).unwrap();
            for name in names(&there).into_keys().filter(|name| !names(&here).contains_key(name)) {
                assert!(
                    !text.contains(&format!("\"{name}\"")),
                    "{family}: {name} of the other incident occurs in {text}"
                );
            }
            let text = planner::explain(candidate, &here).join("\n");
            assert!(text.contains("(imported from `elsewhere.jsonl`)"), "{text}");
            is_fixed |= second.is_fixed_by(candidate).await.is_ok();
        }
        assert!(is_fixed, "{family}");
    }
}

#[tokio::test]
async fn correction_is_proposed_for_same_alert() {
    let (first, second) = (faulty_world("bad-image", 1).await, faulty_world("bad-image", 2).await);
    let (there, mut here) =
        (first.evidence_at_fault().await.remove(0), second.evidence_at_fault().await.remove(0));
    here.alert.clone_from(&there.alert);
    let candidate = propose(&there, &HybridIndex::new())
        .into_iter()
        .find(|candidate| {
            candidate.workflow.spec.steps.iter().any(|step| step.action == "set-image")
        })
        .unwrap();
    let plan = workflow::id::PlanId::derive(there.at, "x", 1);
    let shown = [(plan.clone(), past(&there, &candidate, OutcomeStatus::Unknown, 1))];
    let sources = CandidateSources {
        templates: &[],
        neighbours: &[],
        reversal: ReversalMode::Off,
        corrections: &shown,
    };
    let proposed = planner::propose(&here, &sources, &actions::catalogue());
    assert!(
        proposed.iter().any(|candidate| candidate.source
            == workflow::Source::Demonstration { corrected: plan.clone() }),
        "{proposed:#?}"
    );
}

#[tokio::test]
async fn failed_neighbours_lower_success_feature_of_same_plan() {
    let faulty = faulty_world("bad-image", 1).await;
    let evidence = faulty.evidence_at_fault().await.remove(0);
    let at =
        planner::schema().names.iter().position(|name| name == "neighbours-succeeded").unwrap();
    let seen = |index: &HybridIndex| {
        let candidate = propose(&evidence, index).into_iter().find(|candidate| {
            candidate.workflow.spec.steps.iter().any(|step| step.action == "set-image")
        });
        candidate.unwrap().features.values[at]
    };
    let candidate = propose(&evidence, &HybridIndex::new())
        .into_iter()
        .find(|candidate| candidate.workflow.spec.steps[0].action == "set-image")
        .unwrap();
    let (mut failed, mut succeeded) = (HybridIndex::new(), HybridIndex::new());
    for number in 0..5 {
        failed.add(&past(&evidence, &candidate, OutcomeStatus::NotResolved, number));
        succeeded.add(&past(&evidence, &candidate, OutcomeStatus::Resolved, number));
    }
    assert!(
        seen(&failed) < seen(&HybridIndex::new()) && seen(&HybridIndex::new()) < seen(&succeeded)
    );
}
