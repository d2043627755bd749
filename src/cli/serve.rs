//! `chiron serve`: the server in front of the engine, with a simulated cluster at the wall clock.

mod alerts;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use engine::{Pace, Stop, Time};
use jiff::{SignedDuration, Timestamp};
use simulator::scenario;
use store::{Salts, Store as _};

use crate::cli::autonomy::Freedom;
use crate::cli::serve::alerts::Alerts;
use crate::data_dir::DataDir;
use crate::kept_world::{self, KeptWorld};
use crate::origin::Origin;
use crate::poster::{self, Clock};
use crate::serving::{self, Interruption, Serving};
use crate::{datasets, wiring};

/// Serves the API over a simulated cluster that keeps pace with the wall clock.
#[derive(clap::Args)]
#[command(
    after_help = "EXAMPLES\n  chiron serve --simulate --fault bad-image --data-dir state\n  chiron serve --simulate --alerts http://127.0.0.1:9093 --autonomy auto"
)]
pub(crate) struct Args {
    /// Simulates the cluster; the world's name may follow after `=`.
    #[arg(long, value_name = "WORLD", num_args = 0..=1, require_equals = true, default_missing_value = "shop", required = true)]
    simulate: Option<String>,
    /// Draws names, the workload at fault, and every chance; 42 for a new world.
    #[arg(long)]
    seed: Option<u64>,
    /// What breaks: a fault family of the starter suite; nothing where absent.
    #[arg(long, value_name = "FAMILY")]
    fault: Option<String>,
    /// Seconds from the first start until it breaks.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    fault_after: u32,
    /// Simulated seconds a second; above 1 the world runs ahead of the wall clock.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Where the world's alerts go: `none`, `internal` (straight to the engine), or the URL of an Alertmanager.
    #[arg(long, default_value = "internal", value_parser = alerts::parse)]
    alerts: Alerts,
    /// Where the API listens.
    #[arg(long, default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// A further name and port that the API answers to (`Host`); may be repeated.
    #[arg(long = "host", value_name = "HOST:PORT")]
    hosts: Vec<String>,
    /// Where state is kept; a temporary folder, removed at the end, where absent.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// How far Chiron goes by itself.
    #[arg(long, value_enum, default_value_t = Freedom::Approve)]
    autonomy: Freedom,
}

/// Reads how fast simulated time goes.
///
/// # Errors
/// What can be said, where it is something else.
pub(crate) fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=1000.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("use a number from 0.01 to 1000".into()),
    }
}

/// Serves until it is interrupted.
///
/// # Errors
/// Where the data directory or the address cannot be had, or the engine stops.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let dir = DataDir::open(args.data_dir.as_deref())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args, &dir))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &Args, dir: &DataDir) -> Result<()> {
    // From here on a signal ends the server in order, also while it starts.
    let interruption = Interruption::listen()?;
    // The lock on the record guards everything else in the directory.
    let store = wiring::open_store(dir.path(), Salts::System)?;
    let now = Timestamp::now();
    let origin = origin(args, dir.path(), now)?;
    let is_new = store.head().await? == 0;
    let kept = KeptWorld::open(dir.path(), &origin, args.alerts.mode(), &*store).await?;
    // After a restart the engine catches up with the clock. A world that ran ahead of it does not go back.
    let pace = |reached: Timestamp| {
        let machine = Timestamp::now();
        let clock = Clock { world: reached.max(machine), machine, speed: args.speed };
        (Pace::speed(args.speed, clock.world), clock)
    };
    let (pace_now, mut posted_by) = pace(kept.now());
    let time = Time::Simulated { world: kept.world.clone(), pace: pace_now };
    let guardrails = wiring::guardrails(args.autonomy.autonomy());
    let wiring::Simulation { mut engine, store, inputs } =
        wiring::engine_over(kept.cluster, kept.simulated, time, origin.seed, guardrails, store)
            .await?;
    if is_new {
        engine.import(datasets::HISTORY, datasets::history()?).await?;
        // It was there while all was well, so that it knows how that looks.
        engine.set_pace(Pace::Free);
        engine.run(Stop::At(now)).await?;
        let (pace_now, clock_now) = pace(engine.now());
        engine.set_pace(pace_now);
        posted_by = clock_now;
    }
    let token = dir.token()?;
    let listener = serving::listen(args.listen).await?;
    let address = listener.local_addr()?;
    let clock = kept.world.clone();
    let router = server::router(server::Server {
        inputs,
        store,
        catalogue: Arc::new(actions::catalogue()),
        token,
        limits: workflow::Limits::default(),
        hosts: serving::hosts(address, &args.hosts),
        now: Arc::new(move || kept_world::now(&clock)),
        extra: None,
    });
    let poster = match &args.alerts {
        Alerts::To(url) => {
            Some(tokio::spawn(poster::post(kept.world, posted_by, poster::alerts_url(url))))
        }
        Alerts::None | Alerts::Internal => None,
    };
    let serving = Serving::start(listener, router, interruption);
    let _announced = dir.announce(address)?;
    {
        let mut out = std::io::stdout().lock();
        let token = dir.token_file();
        writeln!(out, "serving http://{address}, the token is in {}", token.display())?;
        out.flush()?;
    }
    let ran = serving.run(&mut engine).await;
    if let Some(poster) = poster {
        poster.abort();
    }
    ran
}

/// Where the world begins: as it is kept in `dir`, else so that everything is up now and the fault is near.
fn origin(args: &Args, dir: &Path, now: Timestamp) -> Result<Origin> {
    let name = args.simulate.clone().unwrap_or_else(|| "shop".into());
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
    let seed = args.seed.unwrap_or(42);
    let world = datasets::world(&name)?;
    let lead = match &args.fault {
        // Drawn by the seed alone, wherever the world's time begins.
        Some(fault) => {
            let prepared = scenario::prepare(&datasets::scenario(fault)?, &world, seed, now)?;
            prepared.oracle.fault_at().duration_since(now)
                - SignedDuration::from_secs(args.fault_after.into())
        }
        None => SignedDuration::from_mins(15),
    };
    let origin = Origin { world: name, seed, fault: args.fault.clone(), start: now - lead };
    origin.keep(dir)?;
    Ok(origin)
}
