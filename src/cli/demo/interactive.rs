//! The interactive demo: the first incident, then the API and all further incidents, until Ctrl-C.

use std::io::{ErrorKind, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use engine::{Engine, Folds, IncidentCase, IncidentStage, InputSenders, RunUntil};
use jiff::{SignedDuration, Timestamp};
use runtime::{Runtime as _, Speed};
use simulator::{AlertMode, World};
use store::{Salts, Store};
use tokio::net::TcpListener;

use crate::bootstrap::{self, EngineTime, WorldRuntime};
use crate::cli::SEED;
use crate::cli::client::shell_quote;
use crate::cli::demo::{Args, break_fault, is_reported, locator};
use crate::cli::progress::ProgressPrinter;
use crate::data_dir::{AddressFile, DataDir};
use crate::data_dir_identity::DataDirIdentity;
use crate::incident_report::IncidentReport;
use crate::persistent_world::{self, PersistentWorld};
use crate::server_task::{self, ServerTask};
use crate::shutdown::Shutdown;
use crate::simulation_spec::SimulationSpec;

/// Simulated time to wait for an alert after a fault.
const ALERT_TIMEOUT: SignedDuration = SignedDuration::from_mins(30);

/// Runs an incident in a persistent world; then continues to serve if `keep_serving` is set.
///
/// # Errors
/// If the data directory or an address cannot be used, or the engine stops.
pub(crate) fn run(args: &Args, keep_serving: bool) -> Result<ExitCode> {
    let begun = Instant::now();
    let dir = DataDir::open(args.data_dir.as_deref())?;
    let progress = ProgressPrinter::new(false, std::io::stdout().is_terminal());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(async {
        let shutdown = Shutdown::listen()?;
        let demo = tokio::select! {
            opened = Demo::open(args, &dir) => opened?,
            () = shutdown.clone().recv() => return Ok(ExitCode::SUCCESS),
        };
        demo.show(args, &dir, keep_serving, progress, shutdown, begun).await
    })?;
    if keep_serving {
        match args.data_dir {
            Some(_) => progress.print_text(&format!(
                "The demo has ended; `chiron demo --data-dir {}` continues it.",
                quoted(dir.path())
            )),
            None => progress.print_text("The demo has ended; its state is removed."),
        }
    }
    Ok(code)
}

/// A demo in the state before the next fault.
struct Demo {
    engine: Engine,
    store: Arc<dyn Store>,
    inputs: InputSenders,
    runtime: Arc<WorldRuntime>,
    world: PersistentWorld,
    spec: SimulationSpec,
}

impl Demo {
    /// Creates a new world, or continues with the one in `dir`.
    async fn open(args: &Args, dir: &DataDir) -> Result<Self> {
        // The lock on the record guards everything else in the directory.
        let store = bootstrap::open_store(dir.path(), Salts::System)?;
        DataDirIdentity::bind(dir.path(), DataDirIdentity::Demo)?;
        let spec = load_or_create_spec(args, dir)?;
        let world = PersistentWorld::open(dir.path(), &spec, AlertMode::Internal, &*store).await?;
        let (time, runtime) = EngineTime::simulated(world.world.clone(), Speed::Unlimited);
        let options = args.engine_options();
        let (cluster, metrics) = (world.cluster.clone(), world.simulated.clone());
        let bootstrap::RunningEngine { mut engine, store, inputs } =
            bootstrap::engine_over(cluster, metrics, time, spec.seed, options, store).await?;
        bootstrap::import_history(&mut engine).await?;
        if let Some(at) = world.last_fault_at.filter(|at| *at > engine.now()) {
            engine.run(RunUntil::At(at)).await?;
        }
        Ok(Self { engine, store, inputs, runtime, world, spec })
    }

    async fn show(
        self,
        args: &Args,
        dir: &DataDir,
        keep_serving: bool,
        progress: ProgressPrinter,
        shutdown: Shutdown,
        begun: Instant,
    ) -> Result<ExitCode> {
        let Self { mut engine, store, inputs, runtime, world, spec } = self;
        let before = engine.folds().learner.model().outcomes();
        let earlier_cases = engine.folds().cases.cases.len();
        {
            let world = World::lock(&world.world);
            progress.print_start(&world, before, begun.elapsed());
        }
        let served = match keep_serving {
            true => Some(serve(args, dir, &world, &store, inputs, &runtime, &shutdown).await?),
            false => None,
        };
        if let Some(served) = &served {
            let token = dir.token_file();
            progress.print_text(&format!(
                "Serving http://{}, token file: {}",
                served.address,
                token.display()
            ));
        }
        if earlier_cases > 0 {
            progress.print_text(&format!("The demo continues after {earlier_cases} incidents."));
        }
        // An interrupted incident is continued, and an alert that is still expected is awaited, before another fault.
        let fault_at = match (all_reported(engine.folds()), pending_fault(engine.folds(), &world)) {
            (false, _) => None,
            (true, Some(fault_at)) => Some(fault_at),
            (true, None) => {
                let n = world.fault_injector.injected_count() + 1;
                let family = args.scenario(spec.seed, n)?.spec.family;
                Some(world.fault_injector.inject(&family)?.at)
            }
        };
        let wait = fault_at.map(|at| AlertWait {
            alerts_before: alerts_fired(engine.folds()),
            until: at + ALERT_TIMEOUT,
        });
        if wait.is_some() {
            progress.print_fault();
        }
        runtime.set_speed(Speed::paced(args.speed, engine.now()));
        let from = store.head().await?;
        let printing = progress.follow(store.clone(), from);
        // An engine without a deadline would sleep past the end of the wait.
        if let Some(wait) = wait {
            runtime.spawn(runtime.timer(wait.until));
        }
        wake_on_shutdown(&shutdown, runtime);
        let (stop_request, clock) = (shutdown.clone(), world.world.clone());
        let is_over = move |folds: &Folds| {
            let has_timed_out = || wait.is_some_and(|wait| wait.has_timed_out(folds, &clock));
            let has_alert = || wait.is_none_or(|wait| wait.has_alert(folds));
            let is_done = || all_reported(folds) && has_alert() && !has_recurred(folds);
            stop_request.is_requested() || is_done() || has_timed_out()
        };
        engine.run(RunUntil::Condition(Box::new(is_over))).await?;
        let head = store.head().await?;
        printing.finish(head).await;
        let report = IncidentReport::of(&store.read(from, usize::MAX).await?)?;
        let has_alert = wait.is_none_or(|wait| wait.has_alert(engine.folds()));
        match (shutdown.is_requested(), has_alert) {
            (true, _) => {}
            (false, true) => {
                progress.print_observations(before, engine.folds().learner.model().outcomes())
            }
            (false, false) => progress.print_text(&format!(
                "No alert fired within {} simulated minutes after the fault.",
                ALERT_TIMEOUT.as_mins()
            )),
        }
        let Some(served) = served else {
            let is_resolved = has_alert && report.is_resolved();
            return Ok(if is_resolved { ExitCode::SUCCESS } else { ExitCode::from(8) });
        };
        if !shutdown.is_requested() {
            for line in served.suggestions(dir, &report) {
                progress.print_text(&line);
            }
        }
        let printing = progress.follow(store.clone(), head);
        served.server_task.run(&mut engine).await?;
        printing.finish(store.head().await?).await;
        Ok(ExitCode::SUCCESS)
    }
}

/// The server of the demo, with the files that contain its address.
struct Served {
    address: SocketAddr,
    server_task: ServerTask,
    /// Present if other commands find the demo without flags.
    registration: Option<AddressFile>,
    _address_file: AddressFile,
    /// The Kubernetes API for kubectl; dropping it closes the API.
    _kubernetes_api: simulator::http::ServerHandle,
    kubeconfig: PathBuf,
}

impl Served {
    /// Returns the commands to try next.
    fn suggestions(&self, dir: &DataDir, report: &IncidentReport) -> Vec<String> {
        let flags = match &self.registration {
            Some(_) => String::new(),
            None => format!(" --data-dir {}", quoted(dir.path())),
        };
        let explain = match report.attempts.last().and_then(|attempt| attempt.plan.as_ref()) {
            Some(plan) => format!("plan explain {}", plan.id),
            None => "plan list".into(),
        };
        let commands = ["incident list", &explain, "run list", "demo break wrong-target-port"];
        let mut lines = vec![
            "The demo runs until Ctrl-C and prints each further incident. In another terminal:"
                .to_string(),
        ];
        lines.extend(commands.iter().map(|command| format!("  chiron {command}{flags}")));
        lines.push(format!("  kubectl --kubeconfig {} get pods -A", quoted(&self.kubeconfig)));
        lines
    }
}

/// Returns the absolute path, quoted for a shell.
fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    shell_quote(&path.display().to_string())
}

async fn serve(
    args: &Args,
    dir: &DataDir,
    world: &PersistentWorld,
    store: &Arc<dyn Store>,
    inputs: InputSenders,
    runtime: &Arc<WorldRuntime>,
    shutdown: &Shutdown,
) -> Result<Served> {
    let token = dir.token()?;
    let listener = listen(args.listen).await?;
    let address = listener.local_addr()?;
    let clock = world.world.clone();
    let changed = runtime.clone();
    let on_change = move || changed.wake();
    let router = server::router(server::ServerConfig {
        inputs: inputs.commands,
        controls: inputs.controls,
        store: store.clone(),
        catalogue: Arc::new(actions::catalogue()),
        token,
        limits: workflow::Limits::default(),
        hosts: server_task::hosts(address, &[]),
        now: Arc::new(move || persistent_world::now(&clock)),
        extra: Some(break_fault::route(world.fault_injector.clone(), runtime.clone())),
    });
    let kubeconfig = dir.path().join("kubeconfig");
    let kubernetes_api = world.serve_kubernetes_api(&kubeconfig, on_change).await?;
    let server_task = ServerTask::start(listener, router, shutdown.clone());
    let registration = locator::register(dir.path())
        .inspect_err(|error| tracing::warn!("{error:#}: use --data-dir to reach this demo"))
        .ok();
    Ok(Served {
        address,
        server_task,
        registration,
        _address_file: dir.write_address(address)?,
        _kubernetes_api: kubernetes_api,
        kubeconfig,
    })
}

/// Listens on the requested address. By default, listens on the default port, or on a free port if that one is in use.
async fn listen(requested: Option<SocketAddr>) -> Result<TcpListener> {
    if let Some(address) = requested {
        return server_task::listen(address).await;
    }
    match TcpListener::bind("127.0.0.1:7420").await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            TcpListener::bind("127.0.0.1:0").await
        }
        bound => bound,
    }
    .context("cannot listen on 127.0.0.1")
}

/// Wakes a sleeping engine when a shutdown is requested.
fn wake_on_shutdown(shutdown: &Shutdown, runtime: Arc<WorldRuntime>) {
    let requested = shutdown.clone().recv();
    tokio::spawn(async move {
        requested.await;
        runtime.wake();
    });
}

/// Whether every case has ended or is escalated.
fn all_reported(folds: &Folds) -> bool {
    folds.cases.cases.values().all(is_reported)
}

/// Returns the time of the last fault if no incident was opened since and [`ALERT_TIMEOUT`] is not over.
fn pending_fault(folds: &Folds, world: &PersistentWorld) -> Option<Timestamp> {
    let opened = folds.incidents.incidents.values().map(|incident| incident.opened_at).max();
    let fault_at = world.last_fault_at?;
    let is_pending =
        opened.is_none_or(|opened| opened < fault_at) && world.now() < fault_at + ALERT_TIMEOUT;
    is_pending.then_some(fault_at)
}

/// Returns how many times any alert started to fire. Cases are not counted, because an alert may join an open incident.
fn alerts_fired(folds: &Folds) -> usize {
    folds.incidents.episodes.len()
}

/// Whether an alert of a resolved incident fires again within the recurrence window. Its outcome is not reported yet.
fn has_recurred(folds: &Folds) -> bool {
    let fires = |case: &IncidentCase| {
        let incident = folds.incidents.incidents.get(&case.incident);
        incident.is_some_and(|incident| !incident.firing.is_empty())
    };
    folds
        .cases
        .cases
        .values()
        .any(|case| matches!(case.stage, IncidentStage::RecurrenceWatch { .. }) && fires(case))
}

/// The wait for an alert after a fault.
#[derive(Clone, Copy)]
struct AlertWait {
    /// Number of alerts that had fired before the fault.
    alerts_before: usize,
    /// Simulated time at which the wait ends.
    until: Timestamp,
}

impl AlertWait {
    fn has_alert(self, folds: &Folds) -> bool {
        alerts_fired(folds) > self.alerts_before
    }

    fn has_timed_out(self, folds: &Folds, world: &Mutex<World>) -> bool {
        !self.has_alert(folds) && persistent_world::now(world) >= self.until
    }
}

/// Returns the spec in `dir`, or creates the spec of a new demo.
fn load_or_create_spec(args: &Args, dir: &DataDir) -> Result<SimulationSpec> {
    if let Some(kept) = SimulationSpec::load(dir.path())? {
        if args.seed.is_some_and(|seed| seed != kept.seed) {
            bail!(
                "the world in {} has the seed {}: omit --seed to continue with it, or use another --data-dir",
                dir.path().display(),
                kept.seed
            );
        }
        return Ok(kept);
    }
    let seed = args.seed.unwrap_or(SEED);
    let file = args.scenario(seed, 0)?;
    let spec = SimulationSpec {
        world: file.spec.world,
        seed,
        fault: Some(file.spec.family),
        start: crate::bootstrap::start(),
    };
    spec.save(dir.path())?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_path_is_absolute_and_shell_quoted() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(quoted(Path::new("my state")), format!("'{}/my state'", here.display()));
        assert_eq!(quoted(Path::new("/tmp/state")), "/tmp/state");
    }
}
