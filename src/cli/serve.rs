//! `chiron serve`: runs the server on a real or simulated cluster, on the wall clock.

mod alerts;
mod real;
mod simulated;
mod timing;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;

use crate::bootstrap::{self, EngineOptions};
use crate::cli::autonomy::AutonomyLevel;
use crate::cli::policy::PolicyName;
use crate::cli::serve::alerts::AlertDestination;
use crate::cli::serve::timing::Timing;
use crate::data_dir::DataDir;
use crate::datasets;
use crate::server_task::{self, ServerTask};
use crate::shutdown::Shutdown;
use workflow::Guardrails;

pub(crate) use real::ClusterUnavailable;

/// Serves the API for a real cluster, or for a simulated one on the wall clock.
///
/// Alerts are ingested at `POST /api/v1/ingest/alertmanager`. By default, each plan needs an approval; see --autonomy.
#[derive(clap::Args)]
#[command(
    after_help = "EXAMPLES\n  chiron serve --kubeconfig ~/.kube/config --context staging --data-dir state\n  chiron serve --simulate --fault bad-image --data-dir state\n  chiron serve --simulate --alerts http://127.0.0.1:9093 --autonomy auto"
)]
#[group(id = "where", required = true, multiple = false, args = ["simulate", "kubeconfig", "in_cluster"])]
pub(crate) struct Args {
    /// Simulates the cluster. `--simulate=WORLD` selects the world.
    #[arg(long, value_name = "WORLD", num_args = 0..=1, require_equals = true, default_missing_value = "shop")]
    simulate: Option<String>,
    /// Kubeconfig file of a real cluster.
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig. Default: its current context.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
    /// Uses the cluster in which the process runs, with the service account of the pod.
    #[arg(long, requires = "data_dir")]
    in_cluster: bool,
    /// Random seed of decisions and, in a simulated cluster, of names and the faulty workload. Default for a new data
    /// directory: 42.
    #[arg(long)]
    seed: Option<u64>,
    /// Fault family of the starter suite to inject. Default: none.
    #[arg(long, value_name = "FAMILY", conflicts_with_all = ["kubeconfig", "in_cluster"])]
    fault: Option<String>,
    /// Simulated seconds from the first start until the fault: 0 to 600.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(..=MAX_FAULT_DELAY_S), conflicts_with_all = ["kubeconfig", "in_cluster"])]
    fault_after: u32,
    /// Simulated seconds per second; above 1, simulated time runs ahead of the wall clock.
    #[arg(long, default_value_t = 1.0, value_parser = speed, conflicts_with_all = ["kubeconfig", "in_cluster"])]
    speed: f64,
    /// Destination of simulated alerts: `none`, `internal` (the engine), or the URL of an Alertmanager.
    #[arg(long, default_value = "internal", value_parser = alerts::parse, conflicts_with_all = ["kubeconfig", "in_cluster"])]
    alerts: AlertDestination,
    /// Address of the API.
    #[arg(long, default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// Additional accepted value of the `Host` header; may be repeated.
    #[arg(long = "host", value_name = "HOST:PORT")]
    hosts: Vec<String>,
    /// Data directory, used for one cluster only. Required for a real cluster. Default for a simulated cluster: a
    /// temporary folder, removed at exit.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// What Chiron does without an approval. Default: the autonomy in the guardrails, which is `approve` unless set.
    #[arg(long, value_enum)]
    autonomy: Option<AutonomyLevel>,
    /// Policy that chooses among the candidates that the guardrails allow.
    #[arg(long, value_enum, default_value_t)]
    policy: PolicyName,
    /// Guardrails file; `chiron lint` validates it. Default: the built-in guardrails.
    #[arg(long, value_name = "FILE")]
    guardrails: Option<PathBuf>,
    /// Folder of templates to use in addition to the built-in ones; `chiron lint` validates them.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    #[command(flatten)]
    timing: Timing,
}

/// Maximum delay of the fault in seconds: no fault of the starter suite occurs earlier after the start of its world.
const MAX_FAULT_DELAY_S: i64 = 600;

impl Args {
    /// Returns the engine options.
    fn engine_options(&self) -> Result<EngineOptions> {
        let templates = match &self.templates {
            Some(folder) => datasets::templates_in(folder, &actions::catalogue())?,
            None => Vec::new(),
        };
        let mut guardrails = match &self.guardrails {
            Some(file) => datasets::guardrails(file)?,
            None => Guardrails::default(),
        };
        if let Some(level) = self.autonomy {
            guardrails.spec.autonomy = level.autonomy();
        }
        let (settings, policy) = (self.timing.settings(), self.policy.policy());
        Ok(EngineOptions { guardrails, settings, templates, policy })
    }
}

/// Parses the speed of simulated time.
///
/// # Errors
/// If it is not a number in the accepted range.
pub(crate) fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=1000.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("use a number from 0.01 to 1000".into()),
    }
}

/// Serves until interrupted.
///
/// # Errors
/// If the data directory, the cluster or the address cannot be used, or if the engine stops.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let dir = DataDir::open(args.data_dir.as_deref())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // From here on a signal shuts the server down in order, also during startup.
        let shutdown = Shutdown::listen()?;
        match &args.simulate {
            Some(world) => simulated::serve(args, &dir, world, shutdown).await,
            None => real::serve(args, &dir, shutdown).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Serves `running` until the engine and the server have ended.
async fn serve(
    args: &Args,
    dir: &DataDir,
    running: bootstrap::RunningEngine,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    shutdown: Shutdown,
) -> Result<()> {
    let bootstrap::RunningEngine { mut engine, store, inputs } = running;
    let token = dir.token()?;
    let listener = server_task::listen(args.listen).await?;
    let address = listener.local_addr()?;
    let router = server::router(server::ServerConfig {
        inputs: inputs.commands,
        controls: inputs.controls,
        store,
        catalogue: Arc::new(actions::catalogue()),
        token,
        limits: workflow::Limits::default(),
        hosts: server_task::hosts(address, &args.hosts),
        now,
        extra: None,
    });
    let server_task = ServerTask::start(listener, router, shutdown);
    let _address_file = dir.write_address(address)?;
    {
        let mut out = std::io::stdout().lock();
        let token = dir.token_file();
        writeln!(out, "serving http://{address}, token file: {}", token.display())?;
        out.flush()?;
    }
    server_task.run(&mut engine).await
}
