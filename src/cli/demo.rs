//! `chiron demo`: a simulated cluster, something broken in it, and the whole line from alert to lesson.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use engine::{Folds, Pace, Stage, Stop};
use jiff::Timestamp;
use serde_json::json;
use simulator::{AlertMode, scenario};
use workflow::guardrail::Autonomy;

use crate::cli::tale::Tale;
use crate::story::Story;
use crate::{datasets, wiring};

/// Breaks something in a simulated cluster and heals it before your eyes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is broken: a fault family of the starter suite; drawn by the seed where absent.
    #[arg(long)]
    fault: Option<String>,
    /// Draws names, the workload at fault, the time, and every choice.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// One incident, then the end.
    #[arg(long)]
    once: bool,
    /// One JSON object in place of the tale; implies --once.
    #[arg(long)]
    json: bool,
    /// Simulated seconds a second.
    #[arg(long, default_value_t = 30.0)]
    speed: f64,
}

/// Runs the demo.
///
/// # Errors
/// Where an embedded file is damaged or the record cannot be written.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let start: Timestamp = crate::cli::START.parse().expect("a timestamp of our own");
    let families = datasets::starter()?;
    // The last one is where nothing is wrong: it is shown when it is asked for.
    let drawn = (args.seed % (families.len() as u64 - 1)) as usize;
    let file = match &args.fault {
        Some(name) => datasets::scenario(name)?,
        None => families[drawn].clone(),
    };
    let prepared = scenario::prepare(&file, &datasets::world(&file.spec.world)?, args.seed, start)?;
    let mut world = prepared.world;
    world.set_alert_mode(AlertMode::Internal);
    let world = Arc::new(Mutex::new(world));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let setup = wiring::Setup {
            world: world.clone(),
            pace: Pace::Free,
            seed: args.seed,
            autonomy: Autonomy::Auto,
        };
        let mut simulation = wiring::simulate(setup, wiring::memory(args.seed)).await?;
        let engine = &mut simulation.engine;
        engine.import(datasets::HISTORY, datasets::history()?).await?;
        let before = engine.folds().learner.model().outcomes();
        let tale = Tale::new(args.json, std::io::stdout().is_terminal());
        let simulated_to = prepared.oracle.fault_at();
        engine.run(Stop::At(simulated_to)).await?;
        tale.opening(
            &world.lock().expect("a world is never left half-changed"),
            before,
            begun.elapsed(),
        );
        if !args.json {
            engine.set_pace(Pace::speed(args.speed, engine.now()));
        }
        let told = tale.follow(simulation.store.clone());
        let engine = &mut simulation.engine;
        engine.run(Stop::When(Box::new(is_told))).await?;
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
        let is_resolved = story
            .attempts
            .last()
            .is_some_and(|attempt| attempt.outcomes.last().is_some_and(|outcome| outcome.resolved));
        Ok(if is_resolved { ExitCode::SUCCESS } else { ExitCode::from(8) })
    })
}

/// Whether every incident has come to an end, or to a person.
fn is_told(folds: &Folds) -> bool {
    !folds.cases.cases.is_empty()
        && folds.cases.cases.values().all(|case| {
            matches!(case.stage, Stage::Watching(_) | Stage::WithPerson | Stage::Settled)
        })
}
