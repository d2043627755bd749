//! What the learner sees does not depend on what things are called.

use std::collections::BTreeMap;

use cluster::digest_of_parts;
use planner::{HybridIndex, Retrieval, Reversal, Sources};
use serde_json::Value;
use workflow::outcome::Verdict;
use workflow::{Candidate, Evidence, PastExecution, Provenance};

use crate::shop::{broken, templates};

fn past(
    evidence: &Evidence,
    candidate: &Candidate,
    verdict: Verdict,
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
        verdict,
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
    let sources = Sources {
        templates: &templates,
        neighbours: &neighbours,
        reversal: Reversal::On,
        demonstrations: &[],
    };
    planner::propose(evidence, &sources, &actions::catalogue())
}

/// Every name that somebody chose: of objects, containers, keys, variables and images, and every annotation.
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
    // Longest first, so that no name is taken for a part of another.
    found
        .into_iter()
        .filter(|name| name.len() > 2)
        .map(|name| (name.clone(), format!("x{}", digest_of_parts(&["rename", &name]).short(10))))
        .collect()
}

/// The evidence with every such name replaced, wherever it stands as a whole word.
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
async fn features_and_arms_stay_when_every_name_and_annotation_is_replaced() {
    for family in [
        "bad-image",
        "missing-config-key",
        "wrong-service-selector",
        "crash-after-bad-config",
        "wrong-target-port",
    ] {
        let broken = broken(family, 1).await;
        let evidence = broken.at_fault().await.remove(0);
        let other = renamed(&evidence);
        assert_ne!(evidence.target, other.target, "{family}: it was renamed");
        assert_eq!(planner::signature(&evidence), planner::signature(&other), "{family}");
        let index = HybridIndex::new();
        let plain = |evidence: &Evidence| {
            let mut seen: Vec<_> =
                propose(evidence, &index).into_iter().map(|candidate| candidate.features).collect();
            // Names order what is equally near; what is proposed stays the same.
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
async fn every_feature_has_a_name_and_lies_between_0_and_1() {
    let schema = planner::schema();
    assert!((24..=40).contains(&schema.names.len()), "{}", schema.names.len());
    for family in ["bad-image", "scaled-to-zero", "nothing-wrong"] {
        let found = broken(family, 1).await.at_fault().await;
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
async fn what_helped_elsewhere_is_adapted_with_values_of_this_place_alone() {
    for family in [
        "bad-image",
        "missing-config-key",
        "wrong-service-selector",
        "scaled-to-zero",
        "memory-limit-too-low",
    ] {
        let (first, second) = (broken(family, 1).await, broken(family, 2).await);
        let (there, here) = (first.at_fault().await.remove(0), second.at_fault().await.remove(0));
        let mut index = HybridIndex::new();
        let mut mending = Vec::new();
        for candidate in
            propose(&there, &index).into_iter().filter(|candidate| candidate.source.acts())
        {
            if first.is_mended_by(&candidate).await.is_ok() {
                mending.push(candidate);
            }
        }
        for (number, candidate) in mending.iter().enumerate() {
            let origin = Provenance::Import("elsewhere.jsonl".into());
            let past = past(&there, candidate, Verdict::Resolved, number as i64);
            index.add(&PastExecution { origin, ..past });
        }
        let neighbours = planner::neighbours(&here, &index);
        let sources = Sources {
            templates: &[],
            neighbours: &neighbours,
            reversal: Reversal::Off,
            demonstrations: &[],
        };
        let adapted: Vec<Candidate> = planner::propose(&here, &sources, &actions::catalogue())
            .into_iter()
            .filter(|candidate| matches!(candidate.source, workflow::Source::Retrieval { .. }))
            .collect();
        assert!(!adapted.is_empty(), "{family}");
        let mut is_mended = false;
        for candidate in &adapted {
            let text = serde_json::to_string(&candidate.workflow).unwrap();
            for name in names(&there).into_keys().filter(|name| !names(&here).contains_key(name)) {
                assert!(
                    !text.contains(&format!("\"{name}\"")),
                    "{family}: {name} of the other place stands in {text}"
                );
            }
            let told = planner::explain(candidate, &here).join("\n");
            assert!(told.contains("not made here: imported from `elsewhere.jsonl`"), "{told}");
            is_mended |= second.is_mended_by(candidate).await.is_ok();
        }
        assert!(is_mended, "{family}");
    }
}

#[tokio::test]
async fn a_person_s_correction_is_proposed_under_the_same_alert() {
    let (first, second) = (broken("bad-image", 1).await, broken("bad-image", 2).await);
    let (there, mut here) = (first.at_fault().await.remove(0), second.at_fault().await.remove(0));
    here.alert.clone_from(&there.alert);
    let candidate = propose(&there, &HybridIndex::new())
        .into_iter()
        .find(|candidate| {
            candidate.workflow.spec.steps.iter().any(|step| step.action == "set-image")
        })
        .unwrap();
    let plan = workflow::id::PlanId::derive(there.at, "x", 1);
    let shown = [(plan.clone(), past(&there, &candidate, Verdict::Unknown, 1))];
    let sources = Sources {
        templates: &[],
        neighbours: &[],
        reversal: Reversal::Off,
        demonstrations: &shown,
    };
    let proposed = planner::propose(&here, &sources, &actions::catalogue());
    assert!(
        proposed.iter().any(|candidate| candidate.source
            == workflow::Source::Demonstration { corrected: plan.clone() }),
        "{proposed:#?}"
    );
}

#[tokio::test]
async fn failures_of_neighbours_lower_what_the_learner_sees_of_the_same_deed() {
    let broken = broken("bad-image", 1).await;
    let evidence = broken.at_fault().await.remove(0);
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
        failed.add(&past(&evidence, &candidate, Verdict::NotResolved, number));
        succeeded.add(&past(&evidence, &candidate, Verdict::Resolved, number));
    }
    assert!(
        seen(&failed) < seen(&HybridIndex::new()) && seen(&HybridIndex::new()) < seen(&succeeded)
    );
}
