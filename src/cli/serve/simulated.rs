//! The server for a simulated cluster on the wall clock.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use engine::RunUntil;
use jiff::{SignedDuration, Timestamp};
use runtime::Speed;
use simulator::scenario;
use store::Salts;

use crate::alert_forwarder::{self, WorldClock};
use crate::bootstrap::{self, EngineTime};
use crate::cli::SEED;
use crate::cli::serve::Args;
use crate::cli::serve::alerts::AlertDestination;
use crate::data_dir::DataDir;
use crate::data_dir_identity::DataDirIdentity;
use crate::datasets;
use crate::persistent_world::{self, PersistentWorld};
use crate::shutdown::Shutdown;
use crate::simulation_spec::SimulationSpec;

/// Serves the API for the world with this name.
///
/// # Errors
/// If the world does not exist, the data directory belongs to another cluster, or the server fails.
pub(super) async fn serve(
    args: &Args,
    dir: &DataDir,
    world_name: &str,
    shutdown: Shutdown,
) -> Result<()> {
    let options = args.engine_options()?;
    // The lock on the record guards everything else in the directory.
    let store = bootstrap::open_store(dir.path(), Salts::System)?;
    DataDirIdentity::bind(dir.path(), DataDirIdentity::Simulation)?;
    let now = Timestamp::now();
    let spec = load_or_create_spec(args, dir.path(), world_name, now)?;
    let world = PersistentWorld::open(dir.path(), &spec, args.alerts.mode(), &*store).await?;
    // After a restart the engine catches up with the clock. A world ahead of the clock does not go back.
    let speed_from = |reached: Timestamp| {
        let machine = Timestamp::now();
        let clock = WorldClock { world: reached.max(machine), machine, speed: args.speed };
        (Speed::paced(args.speed, clock.world), clock)
    };
    let (speed, mut forward_clock) = speed_from(world.now());
    let (time, runtime) = EngineTime::simulated(world.world.clone(), speed);
    let mut running =
        bootstrap::engine_over(world.cluster, world.simulated, time, spec.seed, options, store)
            .await?;
    let engine = &mut running.engine;
    if bootstrap::import_history(engine).await? {
        // The engine observes the healthy world first, so that it records the known-good state.
        runtime.set_speed(Speed::Unlimited);
        engine.run(RunUntil::At(now)).await?;
        let (speed, clock) = speed_from(engine.now());
        runtime.set_speed(speed);
        forward_clock = clock;
    }
    let clock = world.world.clone();
    let forwarder = match &args.alerts {
        AlertDestination::Alertmanager(url) => Some(tokio::spawn(alert_forwarder::post(
            world.world,
            forward_clock,
            alert_forwarder::alerts_url(url),
        ))),
        AlertDestination::None | AlertDestination::Internal => None,
    };
    let now = Arc::new(move || persistent_world::now(&clock));
    let served = super::serve(args, dir, running, now, shutdown).await;
    if let Some(forwarder) = forwarder {
        forwarder.abort();
    }
    served
}

/// Returns the spec in `dir`; if there is none, creates one whose world is ready now and whose fault is near.
fn load_or_create_spec(
    args: &Args,
    dir: &Path,
    name: &str,
    now: Timestamp,
) -> Result<SimulationSpec> {
    if let Some(kept) = SimulationSpec::load(dir)? {
        let is_same = name == kept.world
            && args.seed.is_none_or(|seed| seed == kept.seed)
            && (args.fault.is_none() || args.fault == kept.fault);
        if !is_same {
            bail!(
                "the world in {} is {}, seed {}, fault {}: omit --seed and --fault to continue with it, or use another --data-dir",
                dir.display(),
                kept.world,
                kept.seed,
                kept.fault.as_deref().unwrap_or("none")
            );
        }
        return Ok(kept);
    }
    let seed = args.seed.unwrap_or(SEED);
    let world = datasets::world(name)?;
    let lead = match &args.fault {
        // The fault time depends on the seed only, not on the start of simulated time.
        Some(fault) => {
            let prepared = scenario::prepare(&datasets::scenario(fault)?, &world, seed, now)?;
            prepared.oracle.fault_at().duration_since(now)
                - SignedDuration::from_secs(args.fault_after.into())
        }
        None => SignedDuration::from_mins(15),
    };
    let spec =
        SimulationSpec { world: name.into(), seed, fault: args.fault.clone(), start: now - lead };
    spec.save(dir)?;
    Ok(spec)
}
