//! `chiron bench simulator`: how fast simulated time passes, and how large a simulated cluster is.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::{Record, World, WorldFile};

use super::multiplied::multiplied;
use super::{cpu_seconds, memory_bytes};
use crate::cli::start;
use crate::datasets;

/// Workloads of each row; the shop itself has 15.
const SIZES: [usize; 4] = [15, 10, 100, 1_000];
/// Seconds of processor time for which a row is measured, if the simulated time is not over before.
const SECONDS: f64 = 3.0;
/// From the start of a world until everything has come up.
const LEAD_IN: SignedDuration = SignedDuration::from_mins(5);

/// What goes on in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    /// Steady traffic, and one pod lost an hour.
    Quiet,
    /// Steady traffic, and one pod lost every five minutes.
    Churning,
    /// As in the world `shop-busy`.
    Busy,
}

impl Going {
    /// How often a pod is lost.
    fn loses_every_minutes(self) -> Option<i64> {
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

/// All rows, each measured in a process of its own so that its memory is its own; and the machine's floor.
pub(super) fn rows() -> Result<Value> {
    let mut rows = Vec::new();
    for size in SIZES {
        for going in [Going::Quiet, Going::Churning, Going::Busy] {
            let row = format!("{}:{size}", going.name());
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
    let (lookups, copied) = floor();
    Ok(json!({
        "rows": rows,
        "mapLookupsPerSecond": lookups,
        "copiedGiBPerSecond": copied,
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
        "quiet": "steady traffic, one pod lost an hour; metrics and rules on, a second after every change",
        "churning": "as quiet, one pod lost every five minutes: what `bench first` measures",
        "busy": "shop-busy: traffic of every route changes every minute, scrape and rules every 30 s, a roll-out every 30 min, a fault every hour that is mended after 10 min; nobody heals",
        "per second": "of processor time of one core",
        "leavesOut": "planning and healing, the HTTP door, reading metrics back, and the copying that the first changes after a fork cost",
    }))
}

/// One row: `quiet:15`, `busy:1000`.
pub(super) fn row(row: &str) -> Result<Value> {
    let (going, size) = row.split_once(':').context("a row is `quiet:15` or `busy:1000`")?;
    let size: usize = size.parse()?;
    let going = match going {
        "quiet" => Going::Quiet,
        "churning" => Going::Churning,
        "busy" => Going::Busy,
        other => anyhow::bail!("nothing is known of {other}; there are quiet, churning and busy"),
    };
    let mut world = settled(going, size)?;
    let (woken, begun, cpu) = (world.woken(), world.now(), cpu_seconds());
    let mut spent = 0.0;
    // Whole hours, so that every busy measurement has its roll-outs and its fault.
    while spent < SECONDS && world.now() < begun + SignedDuration::from_hours(24 * 365) {
        let until = world.now() + SignedDuration::from_hours(1);
        live(&mut world, going, until);
        spent = cpu_seconds() - cpu;
    }
    let minutes = world.now().duration_since(begun).as_secs_f64() / 60.0;
    let events = world.woken() - woken;

    // Worlds that share nothing, not even the text that they were made of. Before the forks: what those leave free would
    // be used again, and not be counted.
    let (count, hours) = if size > 100 { (1, 2) } else { (4, 24) };
    let before = memory_bytes("VmRSS");
    let mut others = Vec::new();
    for _ in 0..count {
        let mut other = settled(going, size)?;
        let until = other.now() + SignedDuration::from_hours(hours);
        live(&mut other, going, until);
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
        "goingOn": going.name(),
        "simulatedMinutesPerSecond": (minutes / spent).round(),
        "eventsPerSecond": (events as f64 / spent).round(),
        "worldBytes": bytes,
        "worldBytesAfterHours": hours,
        "forkMs": (fork_ms * 10_000.0).round() / 10_000.0,
        "simulatedMinutes": minutes,
    }))
}

/// A day of the busy shop, skipping and looking at everything at every tick: both records, and whether they are one.
pub(super) fn every_tick() -> Result<(Value, bool)> {
    let mut digests = Vec::new();
    let mut figures = BTreeMap::new();
    for (name, skips) in [("skipping", true), ("everyTick", false)] {
        let mut world = World::new(&datasets::world("shop-busy")?, 1, start())?;
        if !skips {
            world.skip_nothing();
        }
        let mut record = Record::of(&world);
        let (begun, until) = (Instant::now(), start() + SignedDuration::from_hours(24));
        record.pass(&mut world, until);
        let digest = record.digest(&world).to_string();
        figures.insert(
            name,
            json!({"recordDigest": digest, "events": world.woken(), "seconds": begun.elapsed().as_secs_f64()}),
        );
        digests.push(digest);
    }
    let is_equal = digests[0] == digests[1];
    let figures = json!({
        "world": "shop-busy",
        "simulatedHours": 24,
        "skipping": figures["skipping"],
        "everyTick": figures["everyTick"],
        "sameRecord": is_equal,
    });
    Ok((figures, is_equal))
}

fn file(going: Going, size: usize) -> Result<WorldFile> {
    let world = datasets::world(match going {
        Going::Quiet | Going::Churning => "shop",
        Going::Busy => "shop-busy",
    })?;
    if size == world.spec.workloads.len() { Ok(world) } else { multiplied(&world, size) }
}

/// A world in which everything has come up.
fn settled(going: Going, size: usize) -> Result<World> {
    let mut world = World::new(&file(going, size)?, 1, start())?;
    world.advance_fully(start() + LEAD_IN);
    Ok(world)
}

/// Lets time pass, minute by minute.
fn live(world: &mut World, going: Going, until: Timestamp) {
    let deployments: Vec<(String, String)> = world
        .objects()
        .filter(|object| object.kind().kind == "Deployment")
        .map(|object| (object.namespace().unwrap_or_default().into(), object.name().into()))
        .collect();
    while world.now() < until {
        let minute = world.now().as_second() / 60;
        if let Some(every) = going.loses_every_minutes().filter(|every| minute % every == 0) {
            let (namespace, name) = &deployments[(minute / every) as usize % deployments.len()];
            world.lose_pods(namespace, name, Some(1));
        }
        let next = (world.now() + SignedDuration::from_mins(1)).min(until);
        world.advance_fully(next);
    }
}

/// What the machine does at best: lookups a second in an ordered map of 100,000 numbers, and GiB copied a second.
fn floor() -> (u64, f64) {
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
