//! Measures simulated time and the copying of worlds: `cargo bench -p simulator`. `chiron bench simulator` also measures
//! memory, and clusters of other sizes.
#![allow(clippy::unwrap_used, reason = "a failed measurement ends")]
#![allow(clippy::print_stdout, reason = "prints figures")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, World, WorldFile};

fn file(name: &str) -> WorldFile {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/worlds");
    let text = std::fs::read_to_string(path.join(name).with_extension("yaml")).unwrap();
    WorldFile::parse(&text).unwrap()
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Returns the result of `f` and its run time.
fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = f();
    (result, begun.elapsed())
}

/// Returns the world after its pods became ready, with rules enabled.
fn settled(file: &WorldFile) -> World {
    let mut world = World::new(file, 1, start()).unwrap();
    world.set_alert_mode(AlertMode::Internal);
    world.advance_fully(start() + SignedDuration::from_mins(2));
    world
}

/// Advances by a day, minute by minute as a client would, and prints the rate.
fn simulate_day(name: &str, mut world: World) {
    let (minutes, before) = (24 * 60, world.timers_fired());
    let ((), took) = timed(|| {
        for _ in 0..minutes {
            let next = world.now() + SignedDuration::from_mins(1);
            world.advance_fully(next);
        }
    });
    let (seconds, events) = (took.as_secs_f64(), world.timers_fired() - before);
    println!(
        "{:>12.0} simulated minutes and {:.0} events per second, {name}",
        f64::from(minutes) / seconds,
        events as f64 / seconds
    );
}

/// Prints how often per second this machine inserts into and removes from an ordered queue of 1,000 entries.
fn print_floor() {
    let mut queue: BTreeMap<u64, u64> = (0..1_000).map(|i| (i, i)).collect();
    let rounds = 1_000_000_u32;
    let ((), took) = timed(|| {
        for _ in 0..rounds {
            let (at, value) = queue.pop_first().unwrap();
            queue.insert(at + 1_000, black_box(value));
        }
    });
    println!(
        "{:>12.0} per second is the floor: an ordered queue alone",
        f64::from(rounds) / took.as_secs_f64()
    );
}

fn main() {
    simulate_day("idle shop", settled(&file("shop")));
    simulate_day("busy shop", settled(&file("shop-busy").extend(&file("shop")).unwrap()));
    let (world, created) = timed(|| settled(&file("shop")));
    let (copies, copied) = timed(|| (0..100).map(|_| world.clone()).collect::<Vec<World>>());
    println!("{:>12?} to create the shop, {:?} to clone it", created, copied / copies.len() as u32);
    print_floor();
}
