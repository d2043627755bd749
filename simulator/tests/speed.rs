//! How fast the shop's time passes (`cargo test -p simulator --test speed -- --nocapture` prints
//! the figures). `chiron bench simulator` measures.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

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

/// How long that took.
fn timed<T>(deed: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = deed();
    (done, begun.elapsed())
}

/// The world after its pods came up, its rules at work.
fn settled(file: &WorldFile) -> World {
    let mut world = World::new(file, 1, start()).unwrap();
    world.set_alert_mode(AlertMode::Internal);
    world.advance_fully(start() + SignedDuration::from_mins(2));
    world
}

/// Lets a day pass, minute by minute, as somebody would who looks in between; gives how many events it took.
fn a_day_in(mut world: World) -> u64 {
    let (minutes, before) = (24 * 60, world.woken());
    let ((), took) = timed(|| {
        for _ in 0..minutes {
            let next = world.now() + SignedDuration::from_mins(1);
            world.advance_fully(next);
        }
    });
    let events = world.woken() - before;
    let rate = f64::from(minutes) / took.as_secs_f64();
    println!("{rate:>12.0} simulated minutes a second, {events} events");
    events
}

#[test]
fn quiet_time_is_skipped() {
    let quiet = a_day_in(settled(&file("shop")));
    let busy = a_day_in(settled(&file("shop-busy").on(&file("shop")).unwrap()));
    assert!(quiet * 5 < busy, "a quiet day took {quiet} events, a busy one {busy}");
}

#[test]
fn a_copy_is_the_same_world_and_tells_what_it_cost() {
    let (world, made) = timed(|| settled(&file("shop")));
    let (copies, copied) = timed(|| (0..100).map(|_| world.clone()).collect::<Vec<World>>());
    assert!(copies.iter().all(|copy| copy.digest() == world.digest()));
    let copied = copied / copies.len() as u32;
    // No bound here: that is for `chiron bench simulator`, which has a machine to itself.
    println!("made in {made:?}, copied in {copied:?}");
}
