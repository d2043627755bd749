//! `chiron bench simulator`: measures the speed of simulated time and the memory of simulated clusters.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::{Trace, World, WorldFile};

use super::scaled_world::scaled;
use super::{cpu_seconds, memory_bytes};
use crate::bootstrap::start;
use crate::datasets;

/// Number of workloads of each row; the shop itself has 15.
const SIZES: [usize; 4] = [15, 10, 100, 1_000];
/// CPU time for which a row is measured, in seconds, unless the simulated time ends before.
const CPU_SECONDS_PER_ROW: f64 = 3.0;
/// Simulated time until all workloads of a new world are ready.
const WARM_UP: SignedDuration = SignedDuration::from_mins(5);

/// The load on a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Steady traffic, and one pod killed per hour.
    Quiet,
    /// Steady traffic, and one pod killed every five minutes.
    Churning,
    /// The load of the world `shop-busy`.
    Busy,
}

impl Load {
    /// Returns the interval at which a pod is killed, in minutes.
    fn kill_interval_minutes(self) -> Option<i64> {
        match self {
            Self::Quiet => Some(60),
            Self::Churning => Some(5),
            Self::Busy => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Churning => "churning",
            Self::Busy => "busy",
        }
    }
}

/// Measures all rows, each in its own process so that memory is measured separately, and the machine's baseline.
pub(super) fn rows() -> Result<Value> {
    let mut rows = Vec::new();
    for size in SIZES {
        for load in [Load::Quiet, Load::Churning, Load::Busy] {
            let row = format!("{}:{size}", load.name());
            let output = std::process::Command::new(std::env::current_exe()?)
                .args(["bench", "simulator", "--row", &row])
                .output()
                .with_context(|| format!("cannot start the measurement of {row}"))?;
            anyhow::ensure!(
                output.status.success(),
                "the measurement of {row} failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            rows.push(serde_json::from_slice::<Value>(&output.stdout)?);
        }
    }
    let (lookups, copied) = baseline();
    Ok(json!({
        "rows": rows,
        "mapLookupsPerSecond": lookups,
        "copiedGiBPerSecond": copied,
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
        "quiet": "steady traffic, one pod killed per hour; metrics and rules enabled, evaluated one second after every change",
        "churning": "as quiet, but one pod killed every five minutes; `bench core` measures the same",
        "busy": "shop-busy: traffic of every route changes every minute, scrape and rules every 30 s, a roll-out every 30 min, a fault every hour that is fixed after 10 min; no remediation",
        "perSecond": "of CPU time on one core",
        "excludes": "planning and remediation, the HTTP server, metric queries, and the copies made by the first changes after a fork",
    }))
}

/// Measures one row, for example `quiet:15` or `busy:1000`.
pub(super) fn row(row: &str) -> Result<Value> {
    let (load, size) = row.split_once(':').context("a row is `quiet:15` or `busy:1000`")?;
    let size: usize = size.parse()?;
    let load = match load {
        "quiet" => Load::Quiet,
        "churning" => Load::Churning,
        "busy" => Load::Busy,
        other => anyhow::bail!("the load `{other}` does not exist; use quiet, churning or busy"),
    };
    let mut world = settled(load, size)?;
    let (woken, begun, cpu) = (world.timers_fired(), world.now(), cpu_seconds());
    let mut spent = 0.0;
    // Full hours, so that every busy measurement contains its rollouts and its fault.
    while spent < CPU_SECONDS_PER_ROW && world.now() < begun + SignedDuration::from_hours(24 * 365)
    {
        let until = world.now() + SignedDuration::from_hours(1);
        run_until(&mut world, load, until);
        spent = cpu_seconds() - cpu;
    }
    let minutes = world.now().duration_since(begun).as_secs_f64() / 60.0;
    let events = world.timers_fired() - woken;

    // Worlds that share no memory, not even the text they were parsed from. Measured before the forks, because memory
    // freed by the forks would be reused and not counted.
    let (count, hours) = if size > 100 { (1, 2) } else { (4, 24) };
    let before = memory_bytes("VmRSS");
    let mut others = Vec::new();
    for _ in 0..count {
        let mut other = settled(load, size)?;
        let until = other.now() + SignedDuration::from_hours(hours);
        run_until(&mut other, load, until);
        others.push(other);
    }
    let bytes = memory_bytes("VmRSS").saturating_sub(before) / count;

    let copies = if size > 100 { 20 } else { 400 };
    let fork = Instant::now();
    let forks: Vec<World> = (0..copies).map(|_| world.clone()).collect();
    let fork_ms = fork.elapsed().as_secs_f64() * 1_000.0 / f64::from(copies);
    drop((forks, others));

    let pods = world.objects().filter(|object| object.kind().kind == "Pod").count();
    Ok(json!({
        "workloads": size,
        "pods": pods,
        "load": load.name(),
        "simulatedMinutesPerSecond": (minutes / spent).round(),
        "eventsPerSecond": (events as f64 / spent).round(),
        "worldBytes": bytes,
        "worldBytesAfterHours": hours,
        "forkMs": (fork_ms * 10_000.0).round() / 10_000.0,
        "simulatedMinutes": minutes,
    }))
}

/// Simulates a day of the busy shop with and without skipping idle ticks. Returns both trace digests and whether they
/// are equal.
pub(super) fn every_tick() -> Result<(Value, bool)> {
    let mut digests = Vec::new();
    let mut figures = BTreeMap::new();
    for (name, skips) in [("skipping", true), ("everyTick", false)] {
        let mut world = World::new(&datasets::world("shop-busy")?, 1, start())?;
        if !skips {
            world.disable_idle_skipping();
        }
        let mut record = Trace::start(&world);
        let (begun, until) = (Instant::now(), start() + SignedDuration::from_hours(24));
        record.advance(&mut world, until);
        let digest = record.digest(&world).to_string();
        figures.insert(
            name,
            json!({"traceDigest": digest, "events": world.timers_fired(), "seconds": begun.elapsed().as_secs_f64()}),
        );
        digests.push(digest);
    }
    let is_equal = digests[0] == digests[1];
    let figures = json!({
        "world": "shop-busy",
        "simulatedHours": 24,
        "skipping": figures["skipping"],
        "everyTick": figures["everyTick"],
        "isSameTrace": is_equal,
    });
    Ok((figures, is_equal))
}

fn file(load: Load, size: usize) -> Result<WorldFile> {
    let world = datasets::world(match load {
        Load::Quiet | Load::Churning => "shop",
        Load::Busy => "shop-busy",
    })?;
    if size == world.spec.workloads.len() { Ok(world) } else { scaled(&world, size) }
}

/// Returns a world in which all workloads are ready.
fn settled(load: Load, size: usize) -> Result<World> {
    let mut world = World::new(&file(load, size)?, 1, start())?;
    world.advance_fully(start() + WARM_UP);
    Ok(world)
}

/// Advances the world minute by minute under the given load.
fn run_until(world: &mut World, load: Load, until: Timestamp) {
    let deployments: Vec<(String, String)> = world
        .objects()
        .filter(|object| object.kind().kind == "Deployment")
        .map(|object| (object.namespace().unwrap_or_default().into(), object.name().into()))
        .collect();
    while world.now() < until {
        let minute = world.now().as_second() / 60;
        if let Some(every) = load.kill_interval_minutes().filter(|every| minute % every == 0) {
            let (namespace, name) = &deployments[(minute / every) as usize % deployments.len()];
            world.kill_pods(namespace, name, Some(1));
        }
        let next = (world.now() + SignedDuration::from_mins(1)).min(until);
        world.advance_fully(next);
    }
}

/// Measures the machine: lookups per second in an ordered map of 100,000 numbers, and GiB copied per second.
fn baseline() -> (u64, f64) {
    let map: BTreeMap<u64, u64> =
        (0..100_000_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i)).collect();
    let (begun, mut found) = (Instant::now(), 0_u64);
    let lookups = 2_000_000_u64;
    for i in 0..lookups {
        let key = (i % 100_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        found = found.wrapping_add(map.get(&key).copied().unwrap_or(0));
    }
    std::hint::black_box(found);
    let rate = (lookups as f64 / begun.elapsed().as_secs_f64()) as u64;
    let from = vec![7_u8; 64 << 20];
    let mut to = vec![0_u8; 64 << 20];
    let begun = Instant::now();
    for _ in 0..16 {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&to);
    }
    // Sixteen copies of 64 MiB are one GiB.
    let gib = 1.0 / begun.elapsed().as_secs_f64();
    (rate, (gib * 10.0).round() / 10.0)
}
