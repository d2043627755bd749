//! The demo that stands: the first incident as ever, then an API and every further incident, until Ctrl-C.

use std::io::{ErrorKind, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use engine::{Case, Engine, Folds, Message, Pace, Stage, Stop, Time};
use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, World};
use store::{Salts, Store};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::about::About;
use crate::cli::SEED;
use crate::cli::client::word;
use crate::cli::demo::{Args, is_told, place, strike};
use crate::cli::tale::Tale;
use crate::data_dir::{Announced, DataDir};
use crate::kept_world::{self, KeptWorld};
use crate::origin::Origin;
use crate::serving::{self, Interruption, Serving};
use crate::story::Story;
use crate::wiring;

/// How long after something broke an alert of it is waited for, in the time of the world.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// Shows an incident over a world that is kept; then stays, if it `stays`.
///
/// # Errors
/// Where the data directory or an address cannot be had, or the engine stops.
pub(crate) fn run(args: &Args, stays: bool) -> Result<ExitCode> {
    let begun = Instant::now();
    let dir = DataDir::open(args.data_dir.as_deref())?;
    let tale = Tale::new(false, std::io::stdout().is_terminal());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(async {
        let interruption = Interruption::listen()?;
        let demo = tokio::select! {
            opened = Demo::open(args, &dir) => opened?,
            () = interruption.clone().came() => return Ok(ExitCode::SUCCESS),
        };
        demo.show(args, &dir, stays, tale, interruption, begun).await
    })?;
    if stays {
        match args.data_dir {
            Some(_) => tale
                .note(&format!("Ended; `chiron demo --data-dir {}` goes on.", named(dir.path()))),
            None => tale.note("Ended; its state is removed."),
        }
    }
    Ok(code)
}

/// A demo, everything in it at the moment before something breaks.
struct Demo {
    engine: Engine,
    store: Arc<dyn Store>,
    inputs: mpsc::Sender<Message>,
    kept: KeptWorld,
    origin: Origin,
}

impl Demo {
    /// Begins a new world, or goes on with the one in `dir`.
    async fn open(args: &Args, dir: &DataDir) -> Result<Self> {
        // The lock on the record guards everything else in the directory.
        let store = wiring::open_store(dir.path(), Salts::System)?;
        About::hold(dir.path(), About::Demo)?;
        let origin = origin(args, dir)?;
        let kept = KeptWorld::open(dir.path(), &origin, AlertMode::Internal, &*store).await?;
        let time = Time::Simulated { world: kept.world.clone(), pace: Pace::Free };
        let conduct = args.conduct();
        let (cluster, metrics) = (kept.cluster.clone(), kept.simulated.clone());
        let wiring::Simulation { mut engine, store, inputs } =
            wiring::engine_over(cluster, metrics, time, origin.seed, conduct, store).await?;
        wiring::import_history(&mut engine).await?;
        if let Some(at) = kept.last_struck.filter(|at| *at > engine.now()) {
            engine.run(Stop::At(at)).await?;
        }
        Ok(Self { engine, store, inputs, kept, origin })
    }

    async fn show(
        self,
        args: &Args,
        dir: &DataDir,
        stays: bool,
        tale: Tale,
        interruption: Interruption,
        begun: Instant,
    ) -> Result<ExitCode> {
        let Self { mut engine, store, inputs, kept, origin } = self;
        let before = engine.folds().learner.model().outcomes();
        let told_already = engine.folds().cases.cases.len();
        {
            let world = kept.world.lock().expect("a world is never left half-changed");
            tale.opening(&world, before, begun.elapsed());
        }
        let served = match stays {
            true => Some(serve(args, dir, &kept, &store, inputs.clone(), &interruption).await?),
            false => None,
        };
        if let Some(served) = &served {
            let token = dir.token_file();
            tale.note(&format!(
                "Serving http://{}, the token is in {}",
                served.at,
                token.display()
            ));
        }
        if told_already > 0 {
            tale.note(&format!("It goes on where it was, after {told_already} incidents."));
        }
        // An incident that was cut off is told to its end, and one that is on its way is waited for.
        let struck = match (is_told_so_far(engine.folds()), awaited(engine.folds(), &kept)) {
            (false, _) => None,
            (true, Some(struck)) => Some(struck),
            (true, None) => {
                let family = args.family(origin.seed, kept.striker.strikes() + 1)?.spec.family;
                Some(kept.striker.strike(&family)?.at)
            }
        };
        let wait = struck
            .map(|struck| Wait { alerts: alerts_begun(engine.folds()), until: struck + PATIENCE });
        if wait.is_some() {
            tale.breaking();
        }
        engine.set_pace(Pace::speed(args.speed, engine.now()));
        let from = store.head().await?;
        let told = tale.follow(store.clone(), from);
        // An engine with nothing due sleeps past the end of a wait.
        let until = wait.map(|wait| wait.until.duration_since(engine.now()));
        let waking = tokio::spawn(wake_from(until, args.speed, inputs.downgrade()));
        wake_when(&interruption, inputs);
        let (is_interrupted, world) = (interruption.clone(), kept.world.clone());
        let is_over = move |folds: &Folds| {
            let is_in_vain = || wait.is_some_and(|wait| wait.is_in_vain(folds, &world));
            let is_heard = || wait.is_none_or(|wait| wait.is_heard(folds));
            let is_told = || is_told_so_far(folds) && is_heard() && !has_come_back(folds);
            is_interrupted.has_come() || is_told() || is_in_vain()
        };
        engine.run(Stop::When(Box::new(is_over))).await?;
        waking.abort();
        let head = store.head().await?;
        told.finish(head).await;
        let story = Story::of(&store.read(from, usize::MAX).await?)?;
        let is_heard = wait.is_none_or(|wait| wait.is_heard(engine.folds()));
        match (interruption.has_come(), is_heard) {
            (true, _) => {}
            (false, true) => tale.lesson(before, engine.folds().learner.model().outcomes()),
            (false, false) => tale.note(&format!(
                "Nothing was heard of it: no alert began within {} minutes.",
                PATIENCE.as_mins()
            )),
        }
        let Some(served) = served else {
            let is_healed = is_heard && story.is_resolved();
            return Ok(if is_healed { ExitCode::SUCCESS } else { ExitCode::from(8) });
        };
        if !interruption.has_come() {
            for line in served.what_to_try(dir, &story) {
                tale.note(&line);
            }
        }
        let told = tale.follow(store.clone(), head);
        served.serving.run(&mut engine).await?;
        told.finish(store.head().await?).await;
        Ok(ExitCode::SUCCESS)
    }
}

/// A server over the demo, and the files that say where it is.
struct Served {
    at: SocketAddr,
    serving: Serving,
    /// Present where other commands find the demo by themselves.
    found: Option<Announced>,
    _address: Announced,
    /// The way in for kubectl; it closes with this.
    _door: simulator::http::Handle,
    kubeconfig: PathBuf,
}

impl Served {
    fn what_to_try(&self, dir: &DataDir, story: &Story) -> Vec<String> {
        let at = match &self.found {
            Some(_) => String::new(),
            None => format!(" --data-dir {}", named(dir.path())),
        };
        let explain = match story.attempts.last().and_then(|attempt| attempt.plan.as_ref()) {
            Some(plan) => format!("plan explain {}", plan.id),
            None => "plan list".into(),
        };
        let wishes = ["incident list", &explain, "run list", "demo break wrong-target-port"];
        let mut lines = vec![
            "The demo stays up until Ctrl-C, and tells each further incident. In another terminal:"
                .to_string(),
        ];
        lines.extend(wishes.iter().map(|wish| format!("  chiron {wish}{at}")));
        lines.push(format!("  kubectl --kubeconfig {} get pods -A", named(&self.kubeconfig)));
        lines
    }
}

/// A path as a shell takes it, in whichever folder.
fn named(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    word(&path.display().to_string())
}

async fn serve(
    args: &Args,
    dir: &DataDir,
    kept: &KeptWorld,
    store: &Arc<dyn Store>,
    inputs: mpsc::Sender<Message>,
    interruption: &Interruption,
) -> Result<Served> {
    let token = dir.token()?;
    let listener = listen(args.listen).await?;
    let at = listener.local_addr()?;
    let clock = kept.world.clone();
    // The engine ends with the last of its senders, whoever may still come through the door.
    let waking = inputs.downgrade();
    let changed = move || {
        if let Some(inputs) = waking.upgrade() {
            strike::wake(&inputs);
        }
    };
    let router = server::router(server::Server {
        inputs: inputs.clone(),
        store: store.clone(),
        catalogue: Arc::new(actions::catalogue()),
        token,
        limits: workflow::Limits::default(),
        hosts: serving::hosts(at, &[]),
        now: Arc::new(move || kept_world::now(&clock)),
        extra: Some(strike::route(kept.striker.clone(), inputs)),
    });
    let kubeconfig = dir.path().join("kubeconfig");
    let door = kept.open_door(&kubeconfig, changed).await?;
    let serving = Serving::start(listener, router, interruption.clone());
    let found = place::announce(dir.path())
        .inspect_err(|error| tracing::warn!("{error:#}: this one is reached with --data-dir"))
        .ok();
    Ok(Served { at, serving, found, _address: dir.announce(at)?, _door: door, kubeconfig })
}

/// Listens where it was asked to; else on the port that clients try first, or on a free one where that is taken.
async fn listen(asked: Option<SocketAddr>) -> Result<TcpListener> {
    if let Some(address) = asked {
        return serving::listen(address).await;
    }
    match TcpListener::bind("127.0.0.1:7420").await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            TcpListener::bind("127.0.0.1:0").await
        }
        bound => bound,
    }
    .context("cannot listen on 127.0.0.1")
}

/// Lets an engine that sleeps see that it is interrupted.
fn wake_when(interruption: &Interruption, inputs: mpsc::Sender<Message>) {
    let came = interruption.clone().came();
    tokio::spawn(async move {
        came.await;
        strike::wake(&inputs);
    });
}

fn is_told_so_far(folds: &Folds) -> bool {
    folds.cases.cases.values().all(is_told)
}

/// When something broke of which nothing was heard yet, if that is not too long ago to wait for it.
fn awaited(folds: &Folds, kept: &KeptWorld) -> Option<Timestamp> {
    let opened = folds.incidents.incidents.values().map(|incident| incident.opened_at).max();
    let struck = kept.last_struck?;
    let is_waited_for =
        opened.is_none_or(|opened| opened < struck) && kept.now() < struck + PATIENCE;
    is_waited_for.then_some(struck)
}

/// How often an alert began to fire, of whatever incident: one that joins an open incident makes no new case.
fn alerts_begun(folds: &Folds) -> u64 {
    folds.incidents.episodes.values().map(|episode| episode.n).sum()
}

/// Whether what was healed fires again while it is still watched: what comes of that is not told yet.
fn has_come_back(folds: &Folds) -> bool {
    let fires = |case: &Case| {
        let incident = folds.incidents.incidents.get(&case.incident);
        incident.is_some_and(|incident| !incident.firing.is_empty())
    };
    folds.cases.cases.values().any(|case| matches!(case.stage, Stage::Watching(_)) && fires(case))
}

/// What is waited for after something broke: an alert of it.
#[derive(Clone, Copy)]
struct Wait {
    /// How many alerts had begun before.
    alerts: u64,
    /// When it is given up, in the time of the world.
    until: Timestamp,
}

impl Wait {
    fn is_heard(self, folds: &Folds) -> bool {
        alerts_begun(folds) > self.alerts
    }

    fn is_in_vain(self, folds: &Folds, world: &Mutex<World>) -> bool {
        !self.is_heard(folds) && kept_world::now(world) >= self.until
    }
}

/// From `until` on, in simulated time from now at `speed`, lets a sleeping engine look at the time again and again.
async fn wake_from(until: Option<SignedDuration>, speed: f64, inputs: mpsc::WeakSender<Message>) {
    let Some(until) = until else { return };
    tokio::time::sleep(Duration::try_from(until).unwrap_or_default().div_f64(speed)).await;
    while let Some(inputs) = inputs.upgrade() {
        strike::wake(&inputs);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Where the world begins: as it is kept in `dir`, else as the demo always begins.
fn origin(args: &Args, dir: &DataDir) -> Result<Origin> {
    if let Some(kept) = Origin::load(dir.path())? {
        if args.seed.is_some_and(|seed| seed != kept.seed) {
            bail!(
                "the world in {} has the seed {}: leave --seed out to go on with it, or take another --data-dir",
                dir.path().display(),
                kept.seed
            );
        }
        return Ok(kept);
    }
    let seed = args.seed.unwrap_or(SEED);
    let file = args.family(seed, 0)?;
    let origin = Origin {
        world: file.spec.world,
        seed,
        fault: Some(file.spec.family),
        start: crate::cli::start(),
    };
    origin.keep(dir.path())?;
    Ok(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_copied_means_the_same_in_another_folder_and_stands_as_one_word() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(named(Path::new("my state")), format!("'{}/my state'", here.display()));
        assert_eq!(named(Path::new("/tmp/state")), "/tmp/state");
    }
}
