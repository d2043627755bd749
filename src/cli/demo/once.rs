//! One incident in memory, and the end.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use engine::{Pace, Stop};
use serde_json::json;
use simulator::{AlertMode, scenario};

use crate::cli::SEED;
use crate::cli::demo::{Args, are_told};
use crate::cli::tale::Tale;
use crate::story::Story;
use crate::{datasets, wiring};

/// Shows one incident.
///
/// # Errors
/// Where an embedded file is damaged.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let start = crate::cli::start();
    let seed = args.seed.unwrap_or(SEED);
    let file = args.family(seed, 0)?;
    let prepared = scenario::prepare(&file, &datasets::world(&file.spec.world)?, seed, start)?;
    let mut world = prepared.world;
    world.set_alert_mode(AlertMode::Internal);
    let world = Arc::new(Mutex::new(world));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let setup =
            wiring::Setup { world: world.clone(), pace: Pace::Free, seed, conduct: args.conduct() };
        let mut simulation = wiring::simulate(setup, wiring::memory(seed)).await?;
        let engine = &mut simulation.engine;
        wiring::import_history(engine).await?;
        let before = engine.folds().learner.model().outcomes();
        let tale = Tale::new(args.json, std::io::stdout().is_terminal());
        engine.run(Stop::At(prepared.oracle.fault_at())).await?;
        tale.opening(
            &world.lock().expect("a world is never left half-changed"),
            before,
            begun.elapsed(),
        );
        tale.breaking();
        if !args.json {
            engine.set_pace(Pace::speed(args.speed, engine.now()));
        }
        let told = tale.follow(simulation.store.clone(), simulation.store.head().await?);
        engine.run(Stop::When(Box::new(|folds| are_told(folds, 0)))).await?;
        let after = engine.folds().learner.model().outcomes();
        told.finish(simulation.store.head().await?).await;
        let story = Story::of(&simulation.store.read(0, usize::MAX).await?)?;
        if args.json {
            let mut object = story.to_json();
            object["learner"] = json!({"observationsBefore": before, "observationsAfter": after});
            object["timing"] = json!({"totalMs": begun.elapsed().as_millis()});
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", serde_json::to_string_pretty(&object)?)?;
        } else {
            tale.lesson(before, after);
        }
        Ok(if story.is_resolved() { ExitCode::SUCCESS } else { ExitCode::from(8) })
    })
}
