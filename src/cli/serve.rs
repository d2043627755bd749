//! `chiron serve`: the server in front of the engine, over a real cluster or a simulated one, at the wall clock.

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

use crate::cli::autonomy::Freedom;
use crate::cli::policy::Choice;
use crate::cli::serve::alerts::Alerts;
use crate::cli::serve::timing::Timing;
use crate::data_dir::DataDir;
use crate::datasets;
use crate::serving::{self, Interruption, Serving};
use crate::wiring::{self, Conduct};
use workflow::Guardrails;

pub(crate) use real::NoCluster;

/// Serves the API over a real cluster, or over a simulated one that keeps pace with the wall clock.
///
/// Alerts come in at `POST /api/v1/ingest/alertmanager`. A plan waits for a person unless --autonomy says otherwise.
#[derive(clap::Args)]
#[command(
    after_help = "EXAMPLES\n  chiron serve --kubeconfig ~/.kube/config --context staging --data-dir state\n  chiron serve --simulate --fault bad-image --data-dir state\n  chiron serve --simulate --alerts http://127.0.0.1:9093 --autonomy auto"
)]
#[group(id = "where", required = true, multiple = false, args = ["simulate", "kubeconfig", "in_cluster"])]
pub(crate) struct Args {
    /// Simulates the cluster; the world's name may follow after `=`.
    #[arg(long, value_name = "WORLD", num_args = 0..=1, require_equals = true, default_missing_value = "shop")]
    simulate: Option<String>,
    /// Reaches a real cluster as this kubeconfig says.
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    kubeconfig: Option<PathBuf>,
    /// One of the kubeconfig's contexts; its current one where absent.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
    /// Reaches the cluster in which it runs, as the pod's service account.
    #[arg(long, requires = "data_dir")]
    in_cluster: bool,
    /// Draws every choice, and in a simulated cluster names and the workload at fault; 42 where nothing is kept.
    #[arg(long)]
    seed: Option<u64>,
    /// What breaks: a fault family of the starter suite; nothing where absent.
    #[arg(long, value_name = "FAMILY", conflicts_with_all = ["kubeconfig", "in_cluster"])]
    fault: Option<String>,
    /// Simulated seconds from the first start until it breaks: 0 to 600.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(..=LONGEST), conflicts_with_all = ["kubeconfig", "in_cluster"])]
    fault_after: u32,
    /// Simulated seconds a second; above 1 the world runs ahead of the wall clock.
    #[arg(long, default_value_t = 1.0, value_parser = speed, conflicts_with_all = ["kubeconfig", "in_cluster"])]
    speed: f64,
    /// Where the world's alerts go: `none`, `internal` (straight to the engine), or the URL of an Alertmanager.
    #[arg(long, default_value = "internal", value_parser = alerts::parse, conflicts_with_all = ["kubeconfig", "in_cluster"])]
    alerts: Alerts,
    /// Where the API listens.
    #[arg(long, default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// A further name and port that the API answers to (`Host`); may be repeated.
    #[arg(long = "host", value_name = "HOST:PORT")]
    hosts: Vec<String>,
    /// Where state is kept, that of one cluster alone. A real cluster's must be named; a simulated one's is a temporary
    /// folder, removed at the end, where absent.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How far Chiron goes by itself; as the guardrails say where absent, which is `approve` by default.
    #[arg(long, value_enum)]
    autonomy: Option<Freedom>,
    /// Who chooses among the candidates that the guardrails allow.
    #[arg(long, value_enum, default_value_t)]
    policy: Choice,
    /// What Chiron may and may not do, as `chiron workflow lint` checks it; the defaults where absent.
    #[arg(long, value_name = "FILE")]
    guardrails: Option<PathBuf>,
    /// A folder of templates beside the built-in ones, as `chiron workflow lint` checks them.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    #[command(flatten)]
    timing: Timing,
}

/// The longest time until something breaks, in seconds: no fault of the starter suite comes sooner after its world's
/// time begins.
const LONGEST: i64 = 600;

impl Args {
    /// How the engine goes about its work.
    fn conduct(&self) -> Result<Conduct> {
        let templates = match &self.templates {
            Some(folder) => datasets::templates_in(folder, &actions::catalogue())?,
            None => Vec::new(),
        };
        let mut guardrails = match &self.guardrails {
            Some(file) => datasets::guardrails(file)?,
            None => Guardrails::default(),
        };
        if let Some(freedom) = self.autonomy {
            guardrails.spec.autonomy = freedom.autonomy();
        }
        let (settings, policy) = (self.timing.settings(), self.policy.policy());
        Ok(Conduct { guardrails, settings, templates, policy })
    }
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
/// Where the data directory, the cluster or the address cannot be had, or the engine stops.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let dir = DataDir::open(args.data_dir.as_deref())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // From here on a signal ends the server in order, also while it starts.
        let interruption = Interruption::listen()?;
        match &args.simulate {
            Some(world) => simulated::serve(args, &dir, world, interruption).await,
            None => real::serve(args, &dir, interruption).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Serves `simulation` until both it and the server have come to their end.
async fn serve(
    args: &Args,
    dir: &DataDir,
    simulation: wiring::Simulation,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    interruption: Interruption,
) -> Result<()> {
    let wiring::Simulation { mut engine, store, inputs } = simulation;
    let token = dir.token()?;
    let listener = serving::listen(args.listen).await?;
    let address = listener.local_addr()?;
    let router = server::router(server::Server {
        inputs,
        store,
        catalogue: Arc::new(actions::catalogue()),
        token,
        limits: workflow::Limits::default(),
        hosts: serving::hosts(address, &args.hosts),
        now,
        extra: None,
    });
    let serving = Serving::start(listener, router, interruption);
    let _announced = dir.announce(address)?;
    {
        let mut out = std::io::stdout().lock();
        let token = dir.token_file();
        writeln!(out, "serving http://{address}, the token is in {}", token.display())?;
        out.flush()?;
    }
    serving.run(&mut engine).await
}
