//! How fast the shop's time passes: prints simulated minutes a second (`cargo test -p simulator --test speed -- --nocapture`).
//!
//! The bars are those of an optimised build; here only a tenth of them is demanded, so that a machine at work on other
//! things does not fail it. `chiron bench simulator` measures.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use simulator::{World, WorldFile};

fn file(name: &str) -> WorldFile {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/worlds");
    let text = std::fs::read_to_string(path.join(name).with_extension("yaml")).unwrap();
    WorldFile::parse(&text).unwrap()
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// The world after its pods came up.
fn settled(file: &WorldFile) -> World {
    let begun = Instant::now();
    let mut world = World::new(file, 1, start()).unwrap();
    println!("making the world:         {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    world.advance_fully(start() + SignedDuration::from_mins(2));
    println!("bringing up its pods:     {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    world
}

#[test]
fn a_quiet_shop_passes_thousands_of_minutes_a_second_and_is_copied_at_once() {
    let mut world = settled(&file("shop"));
    let begun = Instant::now();
    let copies: Vec<World> = (0..100).map(|_| world.clone()).collect();
    let copied = begun.elapsed().as_secs_f64() * 1e3 / copies.len() as f64;
    println!("one copy of it:           {copied:>8.3} ms");
    assert!(copied < 10.0, "{copied} ms");

    let names: Vec<String> = world
        .objects()
        .filter(|object| object.kind().kind == "Deployment")
        .map(|object| object.name().to_string())
        .collect();
    let begun = Instant::now();
    let minutes = 24 * 60_u16;
    for minute in 0..minutes {
        if minute % 5 == 0 {
            world.lose_pods("shop", &names[usize::from(minute) / 5 % names.len()], Some(1));
        }
        let next = world.now() + SignedDuration::from_mins(1);
        world.advance_fully(next);
    }
    let rate = f64::from(minutes) / begun.elapsed().as_secs_f64();
    println!("quiet:   {rate:>12.0} simulated minutes a second");
    assert!(rate >= 1_000.0, "{rate}");
}

#[test]
fn a_busy_shop_passes_more_than_a_hundred_minutes_a_second() {
    let mut world = settled(&file("shop-busy").on(&file("shop")).unwrap());
    let begun = Instant::now();
    let minutes = 24 * 60_u16;
    for _ in 0..minutes {
        let next = world.now() + SignedDuration::from_mins(1);
        world.advance_fully(next);
    }
    let rate = f64::from(minutes) / begun.elapsed().as_secs_f64();
    println!("busy:    {rate:>12.0} simulated minutes a second, {} events", world.woken());
    assert!(rate >= 150.0, "{rate}");
}
