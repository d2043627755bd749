//! The demo of one incident, with the state in memory.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use engine::RunUntil;
use runtime::Speed;
use serde_json::json;
use simulator::{AlertMode, World, scenario};

use crate::cli::SEED;
use crate::cli::demo::{Args, are_reported};
use crate::cli::progress::ProgressPrinter;
use crate::incident_report::IncidentReport;
use crate::{bootstrap, datasets};

/// Runs one incident.
///
/// # Errors
/// If an embedded file is invalid.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let start = crate::bootstrap::start();
    let seed = args.seed.unwrap_or(SEED);
    let file = args.scenario(seed, 0)?;
    let prepared = scenario::prepare(&file, &datasets::world(&file.spec.world)?, seed, start)?;
    let mut world = prepared.world;
    world.set_alert_mode(AlertMode::Internal);
    let world = Arc::new(Mutex::new(world));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let setup = bootstrap::EngineSetup {
            world: world.clone(),
            speed: Speed::Unlimited,
            seed,
            options: args.engine_options(),
        };
        let (mut running, runtime) = bootstrap::simulate(setup, bootstrap::memory(seed)).await?;
        let engine = &mut running.engine;
        bootstrap::import_history(engine).await?;
        let before = engine.folds().learner.model().outcomes();
        let progress = ProgressPrinter::new(args.json, std::io::stdout().is_terminal());
        engine.run(RunUntil::At(prepared.oracle.fault_at())).await?;
        progress.print_start(&World::lock(&world), before, begun.elapsed());
        progress.print_fault();
        if !args.json {
            runtime.set_speed(Speed::paced(args.speed, engine.now()));
        }
        let printing = progress.follow(running.store.clone(), running.store.head().await?);
        engine.run(RunUntil::Condition(Box::new(|folds| are_reported(folds, 0)))).await?;
        let after = engine.folds().learner.model().outcomes();
        printing.finish(running.store.head().await?).await;
        let report = IncidentReport::of(&running.store.read(0, usize::MAX).await?)?;
        if args.json {
            let mut object = report.to_json();
            object["learner"] = json!({"observationsBefore": before, "observationsAfter": after});
            object["timing"] = json!({"totalMs": begun.elapsed().as_millis()});
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", serde_json::to_string_pretty(&object)?)?;
        } else {
            progress.print_observations(before, after);
        }
        Ok(if report.is_resolved() { ExitCode::SUCCESS } else { ExitCode::from(8) })
    })
}
