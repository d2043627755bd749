//! The record of a world: the same for the same seed, on any number of threads, whether quiet time is skipped or not.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use simulator::scenario::prepare;
use simulator::{Record, ScenarioFile, World, WorldFile};

fn text(path: &str) -> String {
    std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets").join(path),
    )
    .unwrap()
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn shop() -> WorldFile {
    WorldFile::parse(&text("worlds/shop.yaml")).unwrap()
}

fn busy() -> WorldFile {
    WorldFile::parse(&text("worlds/shop-busy.yaml")).unwrap().on(&shop()).unwrap()
}

fn day() -> SignedDuration {
    SignedDuration::from_hours(24)
}

/// The digest of the record of the busy shop.
fn lived(seed: u64, span: SignedDuration, skips: bool) -> String {
    let mut world = World::new(&busy(), seed, start()).unwrap();
    if !skips {
        world.skip_nothing();
    }
    let mut record = Record::of(&world);
    record.pass(&mut world, start() + span);
    record.digest(&world).hex()
}

#[test]
fn a_day_with_faults_has_the_same_record_on_every_run_and_another_seed_another() {
    assert_eq!(lived(1, day(), true), lived(1, day(), true));
    assert_ne!(lived(1, day() / 8, true), lived(2, day() / 8, true));
}

#[test]
fn a_world_that_skips_nothing_has_the_same_record() {
    for seed in [1, 2] {
        let span = SignedDuration::from_hours(5);
        assert_eq!(lived(seed, span, true), lived(seed, span, false), "seed {seed}");
    }
}

#[test]
fn a_scenario_in_a_world_that_skips_nothing_has_the_same_record() {
    for name in ["bad-image", "memory-limit-too-low", "missing-config-key", "wrong-readiness-probe"]
    {
        let scenario =
            ScenarioFile::parse(&text(&format!("scenarios/starter/{name}.yaml"))).unwrap();
        let [skipping, looking] = [true, false].map(|skips| {
            let mut world = prepare(&scenario, &shop(), 3, start()).unwrap().world;
            if !skips {
                world.skip_nothing();
            }
            let mut record = Record::of(&world);
            record.pass(&mut world, start() + SignedDuration::from_hours(1));
            record.digest(&world).hex()
        });
        assert_eq!(skipping, looking, "{name}");
    }
}

#[test]
fn sixty_four_worlds_have_the_same_records_on_one_two_and_four_threads() {
    let on_threads = |threads: usize| {
        let next = AtomicU64::new(0);
        let mut records: Vec<(u64, String)> = std::thread::scope(|scope| {
            let live = || {
                let mut own = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= 64 {
                        return own;
                    }
                    own.push((seed, lived(seed, SignedDuration::from_mins(40), true)));
                }
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(live)).collect();
            handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
        });
        records.sort();
        records
    };
    let one = on_threads(1);
    assert_eq!(one.len(), 64);
    assert_eq!(one, on_threads(2));
    assert_eq!(one, on_threads(4));
}

#[test]
fn a_busy_shop_has_its_roll_outs_its_faults_and_its_alerts() {
    let mut world = World::new(&busy(), 1, start()).unwrap();
    let mut fired = std::collections::BTreeSet::new();
    let mut rates = std::collections::BTreeSet::new();
    for minute in 1..=24 * 60 {
        world.advance_fully(start() + SignedDuration::from_mins(minute));
        fired.extend(world.firing().into_iter().map(String::from));
        rates.insert(world.requests_per_minute("shop", "frontend").to_bits());
    }
    for alert in [
        "HighRequestErrorRate",
        "NoRequestsReceived",
        "KubePodCrashLooping",
        "KubeContainerWaiting",
    ] {
        assert!(fired.contains(alert), "{alert} of {fired:?}");
    }
    assert!(rates.len() > 700, "traffic took {} values", rates.len());
    let revisions = world.objects().filter(|object| object.kind().kind == "Deployment");
    let revisions: u64 = revisions
        .filter_map(|d| {
            d.metadata().annotations.get("deployment.kubernetes.io/revision")?.parse::<u64>().ok()
        })
        .sum();
    assert!(revisions >= 15 + 48, "{revisions} revisions");
    let minute = SignedDuration::from_mins(8);
    world.advance_fully(start() + day() + minute);
    assert!(world.firing().is_empty(), "every fault is mended: {:?}", world.firing());
}

#[test]
fn a_world_that_stands_on_another_needs_that_one() {
    let alone = WorldFile::parse(&text("worlds/shop-busy.yaml")).unwrap();
    let error = World::new(&alone, 1, start()).unwrap_err().to_string();
    assert!(error.contains("spec.base") && error.contains("shop"), "{error}");
    let error = shop().on(&alone).unwrap_err().to_string();
    assert!(error.contains("does not stand on shop-busy"), "{error}");
}

#[test]
fn a_routine_that_names_no_part_of_its_workload_is_refused_with_its_place() {
    let text = text("worlds/shop-busy.yaml").replace("$(target.memoryRequest)", "$(target.nose)");
    let file = WorldFile::parse(&text).unwrap().on(&shop()).unwrap();
    let error = World::new(&file, 1, start()).unwrap_err().to_string();
    assert!(error.contains("spec.routines[4]") && error.contains("target.nose"), "{error}");
    let text = text.replace("every: 4h", "every: 0s");
    let error = WorldFile::parse(&text).unwrap_err().to_string();
    assert!(error.contains("spec.routines"), "{error}");
}
