//! `chiron serve`: the server in front of the engine, with a simulated cluster at the wall clock.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use engine::{Pace, Stop, Time};
use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, SimulatedCluster, scenario};
use store::{Salts, Store as _};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use workflow::guardrail::Autonomy;

use crate::journal::{Journal, JournaledCluster, Origin};
use crate::poster::{self, Clock};
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
    #[arg(long, default_value = "internal", value_parser = alerts)]
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

/// Where the world's alerts go.
#[derive(Clone, Debug, PartialEq)]
enum Alerts {
    None,
    Internal,
    To(reqwest::Url),
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=1000.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("use a number from 0.01 to 1000".into()),
    }
}

fn alerts(text: &str) -> Result<Alerts, String> {
    match text {
        "none" => Ok(Alerts::None),
        "internal" => Ok(Alerts::Internal),
        url => match reqwest::Url::parse(url) {
            Ok(url) if url.scheme() == "http" => Ok(Alerts::To(url)),
            Ok(_) | Err(_) => {
                Err("use `none`, `internal`, or the http:// URL of an Alertmanager".into())
            }
        },
    }
}

/// The levels of autonomy, as the command line says them.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Freedom {
    /// Gathers evidence, proposes nothing.
    Observe,
    /// Proposes; nothing runs.
    Suggest,
    /// A person approves each plan.
    Approve,
    /// Plans of low risk run by themselves.
    AutoLowRisk,
    /// Plans run by themselves.
    Auto,
}

impl Freedom {
    fn autonomy(self) -> Autonomy {
        match self {
            Self::Observe => Autonomy::Observe,
            Self::Suggest => Autonomy::Suggest,
            Self::Approve => Autonomy::Approve,
            Self::AutoLowRisk => Autonomy::AutoLowRisk,
            Self::Auto => Autonomy::Auto,
        }
    }
}

/// How long the engine may take to end what it has begun.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves until it is interrupted.
///
/// # Errors
/// Where the data directory or the address cannot be had, or the engine stops.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let temporary = match args.data_dir {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("chiron-")
                .tempdir()
                .context("cannot make a temporary folder")?,
        ),
    };
    let dir = args
        .data_dir
        .as_deref()
        .or(temporary.as_ref().map(tempfile::TempDir::path))
        .expect("there is one of the two");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make the data directory {}", dir.display()))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args, dir))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &Args, dir: &Path) -> Result<()> {
    // From here on a signal ends the server in order, also while it starts.
    let interrupted = interrupted()?;
    // The lock on the record guards everything else in the directory.
    let store = wiring::open_store(dir, Salts::System)?;
    let now = Timestamp::now();
    let origin = origin(args, dir, now)?;
    let mode = match args.alerts {
        Alerts::None => AlertMode::None,
        Alerts::Internal => AlertMode::Internal,
        Alerts::To(_) => AlertMode::External,
    };
    let (journal, lines) = Journal::open(dir)?;
    let mut world = origin.begin(mode)?;
    for line in &lines {
        world.replay(line.at, &line.request);
    }
    let head = store.head().await?;
    let is_new = head == 0;
    // After a restart the world goes on where the record ends, and the engine catches up with the clock: what the world
    // emitted meanwhile is not lost.
    if let Some(last) = store.read(head.saturating_sub(1), 1).await?.first() {
        world.advance_fully(last.at);
    }
    // A world that ran ahead of the clock does not go back.
    let pace = |reached: Timestamp| {
        let machine = Timestamp::now();
        let clock = Clock { world: reached.max(machine), machine, speed: args.speed };
        (Pace::speed(args.speed, clock.world), clock)
    };
    let (pace_now, mut posted_by) = pace(world.now());
    let world = Arc::new(Mutex::new(world));
    let simulated = SimulatedCluster::new(world.clone(), wiring::CLUSTER);
    let cluster = Arc::new(JournaledCluster::new(simulated.clone(), journal));
    let time = Time::Simulated { world: world.clone(), pace: pace_now };
    let guardrails = wiring::guardrails(args.autonomy.autonomy());
    let wiring::Simulation { mut engine, store, inputs } =
        wiring::engine_over(cluster, Arc::new(simulated), time, origin.seed, guardrails, store)
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
    let token = token(dir)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let mut hosts = vec![
        address.to_string(),
        format!("localhost:{}", address.port()),
        format!("127.0.0.1:{}", address.port()),
    ];
    hosts.extend(args.hosts.iter().cloned());
    let clock = world.clone();
    let router = server::router(server::Server {
        inputs,
        store,
        catalogue: Arc::new(actions::catalogue()),
        token,
        limits: workflow::Limits::default(),
        hosts,
        now: Arc::new(move || clock.lock().expect("a world is never left half-changed").now()),
        extra: None,
    });
    let poster = match &args.alerts {
        Alerts::To(url) => {
            Some(tokio::spawn(poster::post(world, posted_by, poster::alerts_url(url))))
        }
        Alerts::None | Alerts::Internal => None,
    };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "serving http://{address}, the token is in {}", dir.join(TOKEN).display())?;
        out.flush()?;
    }
    let shutdown = async {
        tokio::select! {
            () = interrupted => {}
            _ = ended => tracing::error!("the engine stopped"),
        }
    };
    let mut serving = tokio::spawn(server::serve(listener, router, shutdown));
    let mut running = std::pin::pin!(engine.run(Stop::WhenClosed));
    let ran = tokio::select! {
        ran = running.as_mut() => {
            drop(end);
            serving.await.context("the server broke off")??;
            ran
        }
        served = &mut serving => {
            served.context("the server broke off")??;
            // The router is gone, and with it the last sender of inputs: the engine ends.
            match tokio::time::timeout(DRAIN, running).await {
                Ok(ran) => ran,
                Err(_) => bail!("the engine did not end within {} s; the record is whole, start again to go on", DRAIN.as_secs()),
            }
        }
    };
    if let Some(poster) = poster {
        poster.abort();
    }
    ran.context("the engine stopped; the record is whole, start again to go on")
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

const TOKEN: &str = "token";

/// The token in `dir`, made at the first start; only its owner reads it.
fn token(dir: &Path) -> Result<String> {
    let path = dir.join(TOKEN);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().into()),
        Ok(_) => bail!(
            "{} holds no token of at least 32 characters: remove it, and a new one is made",
            path.display()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the operating system gives no random bytes: {error}"))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let write = || {
        let draft = dir.join("token.new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(token.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(draft, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(token)
}

/// Ends at the first interrupt or request to end; the second ends the process at once.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (first, seen) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match first.take() {
                Some(first) => drop(first.send(())),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async move { drop(seen.await) })
}
