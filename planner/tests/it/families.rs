//! Family by family: evidence finds the target and shows what happened, and a candidate mends it.

use planner::Reversal;

use crate::shop::{Broken, broken, templates};

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
async fn evidence_finds_the_target_and_shows_what_changed() {
    for (family, field) in FAULTS {
        for seed in SEEDS {
            let broken = broken(family, seed).await;
            let found = broken.at_fault().await;
            assert!(
                !found.is_empty(),
                "{family} {seed}: {:?}",
                broken.incidents.iter().map(|i| &i.subject).collect::<Vec<_>>()
            );
            for evidence in &found {
                assert!(
                    evidence.calls <= 60 && evidence.gaps.is_empty(),
                    "{family} {seed}: {:?}",
                    evidence.gaps
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
async fn every_incident_at_fault_is_owned_by_the_workload_whether_its_alert_names_that_or_a_service()
 {
    let mut services = 0;
    for (family, _) in FAULTS {
        for seed in SEEDS {
            let broken = broken(family, seed).await;
            let target = broken.oracle.target();
            for evidence in broken.at_fault().await {
                let asked = evidence.target.as_ref().unwrap();
                services += usize::from(asked.kind == "Service");
                let owner = planner::evidence::owner(&evidence).unwrap();
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

/// Says of each incident at fault which of its candidates mends the world.
async fn mending(
    broken: &Broken,
    reversal: Reversal,
    templates: &[workflow::Template],
) -> (usize, usize, Vec<String>) {
    let (mut mended, mut incidents, mut arms) = (0, 0, Vec::new());
    for evidence in broken.at_fault().await {
        incidents += 1;
        let mut is_mended = false;
        for candidate in broken
            .verified(&evidence, templates, reversal)
            .await
            .iter()
            .filter(|candidate| candidate.source.acts())
        {
            assert!(
                !candidate.because.is_empty() && !candidate.targets.is_empty(),
                "{candidate:#?}"
            );
            let result = broken.is_mended_by(candidate).await;
            arms.push(format!(
                "{} {}: {}",
                evidence.alert,
                candidate.features.arm,
                result.as_ref().err().map_or("mends", String::as_str)
            ));
            is_mended |= result.is_ok();
        }
        mended += usize::from(is_mended);
    }
    (mended, incidents, arms)
}

#[tokio::test]
async fn turning_the_change_back_mends_every_family() {
    for (family, _) in FAULTS {
        for seed in SEEDS {
            let (mended, incidents, arms) =
                mending(&broken(family, seed).await, Reversal::On, &[]).await;
            assert!(
                mended > 0 && mended == incidents,
                "{family} {seed}: {mended} of {incidents}: {arms:#?}"
            );
        }
    }
}

#[tokio::test]
async fn templates_alone_mend_every_family() {
    let templates = templates();
    assert!(templates.len() >= 8);
    for (family, _) in FAULTS {
        let (mended, incidents, arms) =
            mending(&broken(family, 1).await, Reversal::Off, &templates).await;
        assert!(mended > 0, "{family}: {mended} of {incidents}: {arms:#?}");
    }
}

#[tokio::test]
async fn where_nothing_is_wrong_every_acting_candidate_is_refused() {
    for seed in 0..6 {
        let broken = broken("nothing-wrong", seed).await;
        let found = broken.at_fault().await;
        assert!(!found.is_empty(), "seed {seed}: {} incidents", broken.incidents.len());
        for evidence in found {
            let verified = broken.verified(&evidence, &templates(), Reversal::On).await;
            let arms: Vec<&str> =
                verified.iter().map(|candidate| candidate.features.arm.as_str()).collect();
            assert_eq!(arms, ["do-nothing", "escalate"], "seed {seed}");
        }
    }
}

#[tokio::test]
async fn no_incident_elsewhere_touches_what_is_well() {
    // A fault shows at its callers too; what is proposed there may only mend what is ill.
    for (family, _) in FAULTS {
        let broken = broken(family, 2).await;
        for incident in &broken.incidents {
            let evidence = broken.evidence(incident).await;
            for candidate in broken
                .verified(&evidence, &templates(), Reversal::On)
                .await
                .iter()
                .filter(|candidate| candidate.source.acts())
            {
                for target in candidate.targets.iter().filter(|target| target.kind == "Deployment")
                {
                    let health = evidence.health_of(target).map(|health| health.is_healthy());
                    let by_service = planner::focus(&evidence).iter().any(|near| {
                        near.kind == "Service"
                            && evidence.health_of(near).is_some_and(|health| !health.is_healthy())
                    });
                    assert!(
                        health != Some(true) || by_service,
                        "{family}: {} on {target}",
                        candidate.features.arm
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_broken_is_not_remembered_as_good_though_the_pods_run_on() {
    for family in ["wrong-service-selector", "wrong-target-port", "missing-config-key"] {
        let mut broken = broken(family, 1).await;
        let target = broken.oracle.target().clone();
        let workload = broken
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
            planner::surroundings(&crate::shop::simulated(&broken.world), &workload).await.unwrap();
        assert!(related.iter().all(|object| object.field("status").is_none()));
        broken.known_good.remember(&workload, &related);
        assert!(broken.known_good.holds(&workload, &related));
        let (mended, incidents, arms) = mending(&broken, Reversal::On, &[]).await;
        assert!(mended > 0 && mended == incidents, "{family}: {arms:#?}");
    }
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_not_said_to_be_gone() {
    let mut broken = broken("bad-image", 1).await;
    let kinds = ["Pod", "Deployment", "Service", "ReplicaSet"];
    for (verb, kind) in kinds.iter().flat_map(|kind| [("get", kind), ("list", kind)]) {
        broken.world.forbid(verb, kind, None);
    }
    assert!(!broken.incidents.is_empty());
    for incident in &broken.incidents {
        let evidence = broken.evidence(incident).await;
        assert_eq!(evidence.target, None);
        let gaps = evidence.gaps.join("\n");
        assert!(gaps.contains("could not be looked at: nothing is guessed"), "{gaps}");
        assert!(gaps.contains("was not read") && !gaps.contains("does not exist"), "{gaps}");
    }
}
