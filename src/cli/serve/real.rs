//! The server for a real cluster.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use cluster::{ConnectError, KubeCluster, KubeLimits, KubeSource};
use jiff::Timestamp;
use store::Salts;

use crate::bootstrap::{self, EngineTime};
use crate::cli::SEED;
use crate::cli::serve::Args;
use crate::data_dir::DataDir;
use crate::data_dir_identity::{DataDirIdentity, RealCluster};
use crate::no_metrics::NoMetrics;
use crate::shutdown::Shutdown;

/// An error that makes the cluster unusable.
#[derive(Debug)]
pub(crate) struct ClusterUnavailable(ConnectError);

impl fmt::Display for ClusterUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = workflow::text::error_chain(&self.0);
        write!(f, "{text}\nhint: {}", self.0.hint())
    }
}

impl Error for ClusterUnavailable {}

impl ClusterUnavailable {
    /// Returns the exit code of the process: 4 if the cluster denies access, 6 if the kubeconfig is invalid, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match &self.0 {
            ConnectError::Kubeconfig { .. } | ConnectError::ContextNotFound { .. } => 6,
            ConnectError::NoServiceAccount(_)
            | ConnectError::Credentials { .. }
            | ConnectError::Untrusted { .. }
            | ConnectError::Unauthenticated { .. }
            | ConnectError::Forbidden { .. } => 4,
            ConnectError::Unreachable { .. } | ConnectError::NotKubernetes { .. } => 1,
        })
    }
}

/// Serves the API for the cluster given by the arguments.
///
/// # Errors
/// [`ClusterUnavailable`] if the cluster cannot be used, [`ClusterMismatch`](crate::data_dir_identity::ClusterMismatch)
/// if the data directory belongs to another one; other errors if the data directory cannot be used or the server fails.
pub(super) async fn serve(args: &Args, dir: &DataDir, shutdown: Shutdown) -> Result<()> {
    let options = args.engine_options()?;
    // The lock on the record guards everything else in the directory.
    let store = bootstrap::open_store(dir.path(), Salts::System)?;
    let (context, source) = source(args)?;
    // References to a known cluster keep the name that they were recorded with.
    let name = match DataDirIdentity::load(dir.path())? {
        Some(DataDirIdentity::Cluster(bound)) => bound.name,
        Some(DataDirIdentity::Demo | DataDirIdentity::Simulation) | None => context.clone(),
    };
    let secrets = dir.secret_key()?;
    let cluster = KubeCluster::connect(name, &source, secrets, KubeLimits::default())
        .await
        .map_err(ClusterUnavailable)?;
    tracing::info!(server = cluster.server(), "connected");
    let connected = RealCluster { name: context, ..RealCluster::of(&cluster).await };
    DataDirIdentity::bind(dir.path(), DataDirIdentity::Cluster(connected))?;
    let seed = args.seed.unwrap_or(SEED);
    let (cluster, metrics) = (Arc::new(cluster), Arc::new(NoMetrics));
    let mut running =
        bootstrap::engine_over(cluster, metrics, EngineTime::wall(), seed, options, store).await?;
    bootstrap::import_history(&mut running.engine).await?;
    super::serve(args, dir, running, Arc::new(Timestamp::now), shutdown).await
}

/// Returns the name of the cluster in references, and the source of its configuration.
fn source(args: &Args) -> Result<(String, KubeSource), ClusterUnavailable> {
    let Some(path) = &args.kubeconfig else {
        return Ok((RealCluster::IN_CLUSTER.into(), KubeSource::ServiceAccount));
    };
    let context = match &args.context {
        Some(context) => Some(context.clone()),
        None => KubeCluster::contexts(path).map_err(ClusterUnavailable)?.into_iter().next(),
    };
    let name = context.unwrap_or_else(|| "default".into());
    Ok((name, KubeSource::File { path: path.clone(), context: args.context.clone() }))
}
