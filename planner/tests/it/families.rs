//! For each fault family: the evidence contains the target and the change, and a candidate fixes the fault.

use planner::ReversalMode;

use crate::harness::{FaultyWorld, faulty_world, templates};

const FAULTS: [(&str, &str); 8] = [
    ("bad-image", "image"),
    ("crash-after-bad-config", "env"),
    ("memory-limit-too-low", "resources"),
    ("missing-config-key", "config"),
    ("scaled-to-zero", "replicas"),
    ("wrong-readiness-probe", "probe"),
    ("wrong-service-selector", "selector"),
    ("wrong-target-port", "port"),
];

const SEEDS: std::ops::Range<u64> = 0..3;

#[tokio::test]
async fn evidence_contains_target_and_changed_field() {
    for (family, field) in FAULTS {
        for seed in SEEDS {
            let faulty = faulty_world(family, seed).await;
            let found = faulty.evidence_at_fault().await;
            assert!(
                !found.is_empty(),
                "{family} {seed}: {:?}",
                faulty.incidents.iter().map(|i| &i.subject).collect::<Vec<_>>()
            );
            for evidence in &found {
                assert!(
                    evidence.api_calls <= 60 && evidence.missing.is_empty(),
                    "{family} {seed}: {:?}",
                    evidence.missing
                );
                let is_shown = evidence.facts.iter().any(|fact| {
                    fact.predicate == workflow::Predicate::Changed && fact.key == field
                });
                assert!(is_shown, "{family} {seed}: {:#?}", evidence.differences);
                let size = serde_json::to_vec(evidence).unwrap().len();
                assert!(size < 120 << 10, "{family} {seed}: {size} bytes");
            }
        }
    }
}

#[tokio::test]
async fn owning_workload_is_faulty_deployment_for_workload_and_service_alerts() {
    let mut services = 0;
    for (family, _) in FAULTS {
        for seed in SEEDS {
            let faulty = faulty_world(family, seed).await;
            let target = faulty.oracle.target();
            for evidence in faulty.evidence_at_fault().await {
                let asked = evidence.target.as_ref().unwrap();
                services += usize::from(asked.kind == "Service");
                let owner = planner::evidence::owning_workload(&evidence).unwrap();
                assert_eq!(
                    (owner.kind.as_str(), owner.name.as_str()),
                    ("Deployment", target.name.as_str()),
                    "{family} {seed}: {asked}"
                );
            }
        }
    }
    assert!(services > 6, "{services}");
}

/// Returns the number of incidents with a candidate that fixes the fault, the number of incidents, and one line per
/// candidate for failure messages.
async fn fixed_incidents(
    faulty: &FaultyWorld,
    reversal: ReversalMode,
    templates: &[workflow::Template],
) -> (usize, usize, Vec<String>) {
    let (mut fixed, mut incidents, mut arms) = (0, 0, Vec::new());
    for evidence in faulty.evidence_at_fault().await {
        incidents += 1;
        let mut is_fixed = false;
        for candidate in faulty
            .verified(&evidence, templates, reversal)
            .await
            .iter()
            .filter(|candidate| candidate.source.has_effects())
        {
            assert!(
                !candidate.reasons.is_empty() && !candidate.targets.is_empty(),
                "{candidate:#?}"
            );
            let result = faulty.is_fixed_by(candidate).await;
            arms.push(format!(
                "{} {}: {}",
                evidence.alert,
                candidate.features.arm,
                result.as_ref().err().map_or("fixes the fault", String::as_str)
            ));
            is_fixed |= result.is_ok();
        }
        fixed += usize::from(is_fixed);
    }
    (fixed, incidents, arms)
}

#[tokio::test]
async fn reversal_fixes_every_fault_family() {
    for (family, _) in FAULTS {
        for seed in SEEDS {
            let (fixed, incidents, arms) =
                fixed_incidents(&faulty_world(family, seed).await, ReversalMode::On, &[]).await;
            assert!(
                fixed > 0 && fixed == incidents,
                "{family} {seed}: {fixed} of {incidents}: {arms:#?}"
            );
        }
    }
}

#[tokio::test]
async fn templates_alone_fix_every_fault_family() {
    let templates = templates();
    assert!(templates.len() >= 8);
    for (family, _) in FAULTS {
        let (fixed, incidents, arms) =
            fixed_incidents(&faulty_world(family, 1).await, ReversalMode::Off, &templates).await;
        assert!(fixed > 0 && fixed == incidents, "{family}: {fixed} of {incidents}: {arms:#?}");
    }
}

#[tokio::test]
async fn verify_rejects_every_change_for_healthy_target() {
    for seed in 0..6 {
        let faulty = faulty_world("nothing-wrong", seed).await;
        let found = faulty.evidence_at_fault().await;
        assert!(!found.is_empty(), "seed {seed}: {} incidents", faulty.incidents.len());
        for evidence in found {
            let verified = faulty.verified(&evidence, &templates(), ReversalMode::On).await;
            let arms: Vec<&str> =
                verified.iter().map(|candidate| candidate.features.arm.as_str()).collect();
            assert_eq!(arms, ["do-nothing", "escalate"], "seed {seed}");
        }
    }
}

#[tokio::test]
async fn verified_candidates_change_only_unhealthy_workloads() {
    // A fault raises alerts at the callers of the faulty workload too. Candidates for those incidents may only change
    // unhealthy objects.
    for (family, _) in FAULTS {
        let faulty = faulty_world(family, 2).await;
        for incident in &faulty.incidents {
            let evidence = faulty.evidence(incident).await;
            for candidate in faulty
                .verified(&evidence, &templates(), ReversalMode::On)
                .await
                .iter()
                .filter(|candidate| candidate.source.has_effects())
            {
                for target in candidate.targets.iter().filter(|target| target.kind == "Deployment")
                {
                    let health = evidence.health_of(target).map(|health| health.is_healthy());
                    let is_service_unhealthy =
                        planner::target_and_neighbours(&evidence).iter().any(|near| {
                            near.kind == "Service"
                                && evidence
                                    .health_of(near)
                                    .is_some_and(|health| !health.is_healthy())
                        });
                    assert!(
                        health != Some(true) || is_service_unhealthy,
                        "{family}: {} on {target}",
                        candidate.features.arm
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn related_objects_leaves_out_broken_service_and_config() {
    for family in ["wrong-service-selector", "wrong-target-port", "missing-config-key"] {
        let mut faulty = faulty_world(family, 1).await;
        let target = faulty.oracle.target().clone();
        let workload = faulty
            .world
            .objects()
            .map(|object| object.reference("sim"))
            .find(|object| {
                object.kind == "Deployment"
                    && object.name == target.name
                    && object.namespace == target.namespace
            })
            .unwrap();
        let related =
            planner::related_objects(&crate::harness::simulated(&faulty.world), &workload)
                .await
                .unwrap();
        assert!(related.iter().all(|object| object.field("status").is_none()));
        faulty.known_good.record(&workload, &related);
        assert!(faulty.known_good.contains_all(&workload, &related));
        let (fixed, incidents, arms) = fixed_incidents(&faulty, ReversalMode::On, &[]).await;
        assert!(fixed > 0 && fixed == incidents, "{family}: {arms:#?}");
    }
}

#[tokio::test]
async fn evidence_reports_unreadable_target_as_unread_not_missing() {
    let mut faulty = faulty_world("bad-image", 1).await;
    let kinds = ["Pod", "Deployment", "Service", "ReplicaSet"];
    for (verb, kind) in kinds.iter().flat_map(|kind| [("get", kind), ("list", kind)]) {
        faulty.world.forbid(verb, kind, None);
    }
    assert!(!faulty.incidents.is_empty());
    for incident in &faulty.incidents {
        let evidence = faulty.evidence(incident).await;
        assert_eq!(evidence.target, None);
        let gaps = evidence.missing.join("\n");
        assert!(gaps.contains("could not be read, so no target was selected"), "{gaps}");
        assert!(gaps.contains("was not read") && !gaps.contains("does not exist"), "{gaps}");
    }
}
