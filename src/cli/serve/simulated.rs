//! The server over a simulated cluster that keeps pace with the wall clock.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use engine::{Pace, Stop, Time};
use jiff::{SignedDuration, Timestamp};
use simulator::scenario;
use store::Salts;

use crate::about::About;
use crate::cli::SEED;
use crate::cli::serve::Args;
use crate::cli::serve::alerts::Alerts;
use crate::data_dir::DataDir;
use crate::kept_world::{self, KeptWorld};
use crate::origin::Origin;
use crate::poster::{self, Clock};
use crate::serving::Interruption;
use crate::{datasets, wiring};

/// Serves over the world of this name.
///
/// # Errors
/// Where there is no such world, the data directory holds another, or the server cannot go on.
pub(super) async fn serve(
    args: &Args,
    dir: &DataDir,
    world: &str,
    interruption: Interruption,
) -> Result<()> {
    let conduct = args.conduct()?;
    // The lock on the record guards everything else in the directory.
    let store = wiring::open_store(dir.path(), Salts::System)?;
    About::hold(dir.path(), About::Simulation)?;
    let now = Timestamp::now();
    let origin = origin(args, dir.path(), world, now)?;
    let kept = KeptWorld::open(dir.path(), &origin, args.alerts.mode(), &*store).await?;
    // After a restart the engine catches up with the clock. A world that ran ahead of it does not go back.
    let pace = |reached: Timestamp| {
        let machine = Timestamp::now();
        let clock = Clock { world: reached.max(machine), machine, speed: args.speed };
        (Pace::speed(args.speed, clock.world), clock)
    };
    let (pace_now, mut posted_by) = pace(kept.now());
    let time = Time::Simulated { world: kept.world.clone(), pace: pace_now };
    let mut simulation =
        wiring::engine_over(kept.cluster, kept.simulated, time, origin.seed, conduct, store)
            .await?;
    let engine = &mut simulation.engine;
    if wiring::import_history(engine).await? {
        // It was there while all was well, so that it knows how that looks.
        engine.set_pace(Pace::Free);
        engine.run(Stop::At(now)).await?;
        let (pace_now, clock_now) = pace(engine.now());
        engine.set_pace(pace_now);
        posted_by = clock_now;
    }
    let clock = kept.world.clone();
    let poster = match &args.alerts {
        Alerts::To(url) => {
            Some(tokio::spawn(poster::post(kept.world, posted_by, poster::alerts_url(url))))
        }
        Alerts::None | Alerts::Internal => None,
    };
    let now = Arc::new(move || kept_world::now(&clock));
    let served = super::serve(args, dir, simulation, now, interruption).await;
    if let Some(poster) = poster {
        poster.abort();
    }
    served
}

/// Where the world begins: as it is kept in `dir`, else so that everything is up now and the fault is near.
fn origin(args: &Args, dir: &Path, name: &str, now: Timestamp) -> Result<Origin> {
    if let Some(kept) = Origin::load(dir)? {
        let is_same = name == kept.world
            && args.seed.is_none_or(|seed| seed == kept.seed)
            && (args.fault.is_none() || args.fault == kept.fault);
        if !is_same {
            bail!(
                "the world in {} is {}, seed {}, fault {}: leave --seed and --fault out to go on with it, or take another --data-dir",
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
        // Drawn by the seed alone, wherever the world's time begins.
        Some(fault) => {
            let prepared = scenario::prepare(&datasets::scenario(fault)?, &world, seed, now)?;
            prepared.oracle.fault_at().duration_since(now)
                - SignedDuration::from_secs(args.fault_after.into())
        }
        None => SignedDuration::from_mins(15),
    };
    let origin = Origin { world: name.into(), seed, fault: args.fault.clone(), start: now - lead };
    origin.keep(dir)?;
    Ok(origin)
}
