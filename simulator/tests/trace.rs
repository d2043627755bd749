//! The trace of a world depends only on the seed: not on the number of threads, nor on whether idle time is skipped.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use simulator::scenario::prepare;
use simulator::{ScenarioFile, Trace, World, WorldFile};

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
    WorldFile::parse(&text("worlds/shop-busy.yaml")).unwrap().extend(&shop()).unwrap()
}

fn day() -> SignedDuration {
    SignedDuration::from_hours(24)
}

/// Runs the world `shop-busy` for `span`; returns the digest of its trace.
fn trace_of(seed: u64, span: SignedDuration, skips: bool) -> String {
    let mut world = World::new(&busy(), seed, start()).unwrap();
    if !skips {
        world.disable_idle_skipping();
    }
    let mut trace = Trace::start(&world);
    trace.advance(&mut world, start() + span);
    trace.digest(&world).hex()
}

#[test]
fn trace_of_a_day_with_faults_depends_only_on_the_seed() {
    assert_eq!(trace_of(1, day(), true), trace_of(1, day(), true));
    assert_ne!(trace_of(1, day() / 8, true), trace_of(2, day() / 8, true));
}

#[test]
fn disabled_idle_skipping_gives_the_same_trace() {
    for seed in [1, 2] {
        let span = SignedDuration::from_hours(5);
        assert_eq!(trace_of(seed, span, true), trace_of(seed, span, false), "seed {seed}");
    }
}

#[test]
fn disabled_idle_skipping_gives_the_same_trace_of_a_scenario() {
    for name in ["bad-image", "memory-limit-too-low", "missing-config-key", "wrong-readiness-probe"]
    {
        let scenario =
            ScenarioFile::parse(&text(&format!("scenarios/starter/{name}.yaml"))).unwrap();
        let [skipping, every_tick] = [true, false].map(|skips| {
            let mut world = prepare(&scenario, &shop(), 3, start()).unwrap().world;
            if !skips {
                world.disable_idle_skipping();
            }
            let mut trace = Trace::start(&world);
            trace.advance(&mut world, start() + SignedDuration::from_hours(1));
            trace.digest(&world).hex()
        });
        assert_eq!(skipping, every_tick, "{name}");
    }
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_traces_do_not_depend_on_the_number_of_threads() {
    let on_threads = |threads: usize| {
        let next = AtomicU64::new(0);
        let mut traces: Vec<(u64, String)> = std::thread::scope(|scope| {
            let run_worlds = || {
                let mut own = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= 64 {
                        return own;
                    }
                    own.push((seed, trace_of(seed, SignedDuration::from_mins(40), true)));
                }
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run_worlds)).collect();
            handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
        });
        traces.sort();
        traces
    };
    let one = on_threads(1);
    assert_eq!(one.len(), 64);
    assert_eq!(one, on_threads(2));
    assert_eq!(one, on_threads(4));
}

#[test]
fn busy_shop_has_rollouts_faults_and_varying_traffic() {
    let mut world = World::new(&busy(), 1, start()).unwrap();
    let mut fired = std::collections::BTreeSet::new();
    let mut rates = std::collections::BTreeSet::new();
    for minute in 1..=24 * 60 {
        world.advance_fully(start() + SignedDuration::from_mins(minute));
        fired.extend(world.firing_alert_names().into_iter().map(String::from));
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
    assert!(
        world.firing_alert_names().is_empty(),
        "every fault is reverted: {:?}",
        world.firing_alert_names()
    );
}

#[test]
fn world_with_base_requires_that_base() {
    let alone = WorldFile::parse(&text("worlds/shop-busy.yaml")).unwrap();
    let error = World::new(&alone, 1, start()).unwrap_err().to_string();
    assert!(error.contains("spec.base") && error.contains("shop"), "{error}");
    let error = shop().extend(&alone).unwrap_err().to_string();
    assert!(error.contains("does not extend shop-busy"), "{error}");
}

#[test]
fn recurring_event_with_unknown_symbol_is_rejected_with_its_path() {
    let text = text("worlds/shop-busy.yaml").replace("$(target.memoryRequest)", "$(target.nose)");
    let file = WorldFile::parse(&text).unwrap().extend(&shop()).unwrap();
    let error = World::new(&file, 1, start()).unwrap_err().to_string();
    assert!(error.contains("spec.recurringEvents[4]") && error.contains("target.nose"), "{error}");
    let text = text.replace("every: 4h", "every: 0s");
    let error = WorldFile::parse(&text).unwrap_err().to_string();
    assert!(error.contains("spec.recurringEvents"), "{error}");
}
