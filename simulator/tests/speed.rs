//! How fast the shop's time passes: prints simulated minutes a second (`cargo test -p simulator --test speed -- --nocapture`).
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use simulator::{World, WorldFile};

fn shop() -> (World, Timestamp) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/worlds/shop.yaml");
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let file = WorldFile::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    (World::new(&file, 1, start).unwrap(), start)
}

#[test]
fn a_quiet_shop_passes_ten_thousand_minutes_a_second() {
    let begun = Instant::now();
    let (mut world, start) = shop();
    println!("making the world:         {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    world.advance_fully(start + SignedDuration::from_mins(2));
    println!("bringing up its pods:     {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let copies: Vec<World> = (0..100).map(|_| world.clone()).collect();
    println!(
        "one copy of it:           {:>8.3} ms",
        begun.elapsed().as_secs_f64() * 1e3 / copies.len() as f64
    );

    let begun = Instant::now();
    for minute in 0..100_000 {
        world.advance_fully(start + SignedDuration::from_mins(2 + minute));
    }
    let quiet = 100_000.0 / begun.elapsed().as_secs_f64();
    println!("quiet:   {quiet:>12.0} simulated minutes a second");
    assert!(quiet >= 10_000.0, "{quiet}");

    // Busy: every two minutes every pod of a workload is lost and comes up again.
    let mut busy = copies.into_iter().next().unwrap();
    let begun = Instant::now();
    let names: Vec<String> = busy
        .objects()
        .filter(|o| o.kind().kind == "Deployment")
        .map(|o| o.name().to_string())
        .collect();
    for minute in 0..600_i64 {
        if minute % 2 == 0 {
            busy.lose_pods("shop", &names[minute as usize / 2 % names.len()], None);
        }
        busy.advance_fully(start + SignedDuration::from_mins(3 + minute));
    }
    println!("busy:    {:>12.0} simulated minutes a second", 600.0 / begun.elapsed().as_secs_f64());
}
