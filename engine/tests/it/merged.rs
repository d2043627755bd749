//! Alerts about a Service and about the workload behind it.

use std::collections::BTreeSet;

use workflow::Entry;
use workflow::guardrail::Autonomy;
use workflow::incident::IncidentEvent;

use crate::house::{House, Plan};

/// Incidents that are about the workload at fault or the Service in front of it, and those that a plan was made for.
fn incidents(house: &House) -> (BTreeSet<String>, BTreeSet<String>) {
    let target = house.target().clone();
    let (mut about, mut planned, mut merged) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in house.entries() {
        match entry {
            Entry::Incident(IncidentEvent::OwnerFound { incident, owner })
                if (&owner.kind, &owner.namespace, &owner.name)
                    == (&target.kind, &target.namespace, &target.name) =>
            {
                about.insert(incident.to_string());
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
    let lasting = about.difference(&merged).cloned().collect();
    planned.retain(|incident| about.contains(incident));
    (lasting, planned)
}

#[test]
fn alerts_about_a_service_and_the_pods_behind_it_make_one_incident_and_one_plan() {
    let plan = Plan {
        family: "missing-config-key",
        seed: 42,
        autonomy: Autonomy::Auto,
        templates: &["restore-missing-key"],
    };
    let mut house = House::build(&plan);
    house.until(20);
    let subjects: BTreeSet<String> = house
        .engine
        .folds()
        .incidents
        .incidents
        .values()
        .map(|incident| incident.subject.0.clone())
        .collect();
    assert!(subjects.contains("service") && subjects.contains("pod"), "{subjects:?}");
    let (lasting, planned) = incidents(&house);
    assert_eq!((lasting.len(), &planned), (1, &lasting));
}

#[test]
fn a_service_that_selects_nothing_is_about_the_workload_that_it_led_to() {
    let plan = Plan {
        family: "wrong-service-selector",
        seed: 3,
        autonomy: Autonomy::Auto,
        templates: &["restore-service-selector"],
    };
    let mut house = House::build(&plan);
    house.until_first(|case| case.plan.is_some());
    let incident = &house.engine.folds().incidents.incidents[&house.first().incident];
    assert_eq!(incident.subject.0, "service");
    let owner = incident.owner.clone().unwrap();
    assert_eq!(owner.kind, "Deployment");
    // What is looked at and mended is the Service all the same, on every attempt.
    assert_eq!(house.first().target.as_ref().unwrap().kind, "Service");
    let of_it = |entry| match entry {
        Entry::EvidenceGathered(evidence) => evidence.target.map(|target| target.kind),
        _ => None,
    };
    house.until_first(|case| case.attempt > 1 || case.outcome.is_some());
    let kinds: BTreeSet<String> = house.entries().into_iter().filter_map(of_it).collect();
    assert_eq!(kinds, BTreeSet::from(["Service".to_string()]));
}

#[test]
fn of_incidents_that_open_at_the_same_moment_the_first_stays() {
    let plan = Plan {
        family: "missing-config-key",
        seed: 2,
        autonomy: Autonomy::Auto,
        templates: &["restore-missing-key"],
    };
    let mut house = House::build(&plan);
    house.until(20);
    let opened: Vec<_> = house
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
    let incidents = &house.engine.folds().incidents.incidents;
    assert_eq!(incidents[&first.id].merged_into, None);
    assert!(
        incidents
            .values()
            .all(|other| other.merged_into.as_ref().is_none_or(|into| *into == first.id))
    );
}
