//! Alerts about a Service and about its backing workload.

use std::collections::BTreeSet;

use workflow::Entry;
use workflow::guardrail::Autonomy;
use workflow::incident::IncidentEvent;

use crate::harness::{EngineHarness, HarnessConfig};

/// Returns the unmerged incidents of the faulty workload or its Service, and those of them with a plan.
fn incidents(harness: &EngineHarness) -> (BTreeSet<String>, BTreeSet<String>) {
    let target = harness.target().clone();
    let (mut related, mut planned, mut merged) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in harness.entries() {
        match entry {
            Entry::Incident(IncidentEvent::OwnerFound { incident, owner })
                if (&owner.kind, &owner.namespace, &owner.name)
                    == (&target.kind, &target.namespace, &target.name) =>
            {
                related.insert(incident.to_string());
            }
            Entry::Incident(IncidentEvent::Merged { incident, .. }) => {
                merged.insert(incident.to_string());
            }
            Entry::PlanFrozen(plan) => {
                planned.insert(plan.incident.to_string());
            }
            _ => {}
        }
    }
    let lasting = related.difference(&merged).cloned().collect();
    planned.retain(|incident| related.contains(incident));
    (lasting, planned)
}

/// Alerts about a Service and about its pods make one incident and one plan.
#[test]
fn service_and_pod_alerts_merge_into_one_incident() {
    let plan = HarnessConfig {
        family: "missing-config-key",
        seed: 42,
        autonomy: Autonomy::Auto,
        templates: &["restore-missing-key"],
    };
    let mut harness = EngineHarness::build(&plan);
    harness.run_until_minutes(20);
    let subjects: BTreeSet<String> = harness
        .engine
        .folds()
        .incidents
        .incidents
        .values()
        .map(|incident| incident.subject.0.clone())
        .collect();
    assert!(subjects.contains("service") && subjects.contains("pod"), "{subjects:?}");
    let (lasting, planned) = incidents(&harness);
    assert_eq!((lasting.len(), &planned), (1, &lasting));
}

/// A Service whose selector matches nothing is attributed to the workload that it selected before.
#[test]
fn service_without_endpoints_is_attributed_to_workload() {
    let plan = HarnessConfig {
        family: "wrong-service-selector",
        seed: 3,
        autonomy: Autonomy::Auto,
        templates: &["restore-service-selector"],
    };
    let mut harness = EngineHarness::build(&plan);
    harness.run_until_first_case(|case| case.plan().is_some());
    let incident = &harness.engine.folds().incidents.incidents[&harness.first_case().incident];
    assert_eq!(incident.subject.0, "service");
    let owner = incident.owner.clone().unwrap();
    assert_eq!(owner.kind, "Deployment");
    // The target of the evidence and of the fix is the Service, on every attempt.
    assert_eq!(harness.first_case().evidence.target.as_ref().unwrap().kind, "Service");
    let of_it = |entry| match entry {
        Entry::EvidenceGathered(evidence) => evidence.target.map(|target| target.kind),
        _ => None,
    };
    harness.run_until_first_case(|case| case.attempts() > 1 || case.outcome().is_some());
    let kinds: BTreeSet<String> = harness.entries().into_iter().filter_map(of_it).collect();
    assert_eq!(kinds, BTreeSet::from(["Service".to_string()]));
}

/// Of incidents opened at the same time, the first one is kept and the others are merged into it.
#[test]
fn simultaneous_incidents_merge_into_the_first() {
    let plan = HarnessConfig {
        family: "missing-config-key",
        seed: 2,
        autonomy: Autonomy::Auto,
        templates: &["restore-missing-key"],
    };
    let mut harness = EngineHarness::build(&plan);
    harness.run_until_minutes(20);
    let opened: Vec<_> = harness
        .entries()
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Incident(IncidentEvent::Opened { incident }) => Some(incident),
            _ => None,
        })
        .collect();
    let first = &opened[0];
    assert!(
        opened[1..].iter().any(|other| other.opened_at == first.opened_at && other.id < first.id)
    );
    let incidents = &harness.engine.folds().incidents.incidents;
    assert_eq!(incidents[&first.id].merged_into, None);
    assert!(
        incidents
            .values()
            .all(|other| other.merged_into.as_ref().is_none_or(|into| *into == first.id))
    );
}
