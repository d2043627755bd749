//! Speed of the simulation (`cargo test -p simulator --test speed -- --nocapture` prints the figures). Measurements
//! are created with `chiron bench simulator`.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]
#![allow(clippy::print_stdout, reason = "the tests print figures")]

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

/// Advances by a day, minute by minute as a client would; returns the number of fired timers.
fn simulate_day(mut world: World) -> u64 {
    let (minutes, before) = (24 * 60, world.timers_fired());
    let ((), took) = timed(|| {
        for _ in 0..minutes {
            let next = world.now() + SignedDuration::from_mins(1);
            world.advance_fully(next);
        }
    });
    let events = world.timers_fired() - before;
    let rate = f64::from(minutes) / took.as_secs_f64();
    println!("{rate:>12.0} simulated minutes per second, {events} events");
    events
}

#[test]
fn idle_day_needs_fewer_events_than_busy_day() {
    let idle = simulate_day(settled(&file("shop")));
    let busy = simulate_day(settled(&file("shop-busy").extend(&file("shop")).unwrap()));
    assert!(idle * 5 < busy, "an idle day took {idle} events, a busy day {busy}");
}

#[test]
fn clones_have_the_digest_of_the_original() {
    let (world, created) = timed(|| settled(&file("shop")));
    let (copies, copied) = timed(|| (0..100).map(|_| world.clone()).collect::<Vec<World>>());
    assert!(copies.iter().all(|copy| copy.digest() == world.digest()));
    let copied = copied / copies.len() as u32;
    // No time limit here: `chiron bench simulator` checks it on an otherwise idle machine.
    println!("created in {created:?}, cloned in {copied:?}");
}
