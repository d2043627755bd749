//! The server over a real cluster, at the wall clock.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use cluster::{ConnectError, KubeCluster, KubeLimits, KubeSource};
use engine::Time;
use jiff::Timestamp;
use store::Salts;

use crate::about::{About, RealCluster};
use crate::cli::SEED;
use crate::cli::serve::Args;
use crate::data_dir::DataDir;
use crate::serving::Interruption;
use crate::unmeasured::Unmeasured;
use crate::wiring;

/// A cluster that cannot be used, and the way out.
#[derive(Debug)]
pub(crate) struct NoCluster(ConnectError);

impl fmt::Display for NoCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let word = error.to_string();
            // Some layers below repeat their cause in their own words.
            if !text.ends_with(&word) {
                text.push_str(": ");
                text.push_str(&word);
            }
            cause = error.source();
        }
        write!(f, "{text}\nhint: {}", self.0.hint())
    }
}

impl Error for NoCluster {}

impl NoCluster {
    /// What the process ends with: 4 where the cluster does not let us in, 6 where the kubeconfig makes no sense.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match &self.0 {
            ConnectError::Kubeconfig { .. } | ConnectError::NoContext { .. } => 6,
            ConnectError::NoServiceAccount(_)
            | ConnectError::Credentials { .. }
            | ConnectError::Untrusted { .. }
            | ConnectError::Unauthenticated { .. }
            | ConnectError::NoRights { .. } => 4,
            ConnectError::Unreachable { .. } | ConnectError::NotKubernetes { .. } => 1,
        })
    }
}

/// Serves over the cluster that the arguments name.
///
/// # Errors
/// [`NoCluster`] where it cannot be used, [`OtherCluster`](crate::about::OtherCluster) where the data directory is about
/// another one; others where the data directory cannot be had or the server cannot go on.
pub(super) async fn serve(args: &Args, dir: &DataDir, interruption: Interruption) -> Result<()> {
    let conduct = args.conduct()?;
    // The lock on the record guards everything else in the directory.
    let store = wiring::open_store(dir.path(), Salts::System)?;
    let (context, source) = source(args)?;
    // References to a cluster that is known go on under the name that they have.
    let name = match About::load(dir.path())? {
        Some(About::Cluster(kept)) => kept.name,
        Some(About::Demo | About::Simulation) | None => context.clone(),
    };
    let secrets = dir.secret_key()?;
    let cluster = KubeCluster::connect(name, &source, secrets, KubeLimits::default())
        .await
        .map_err(NoCluster)?;
    tracing::info!(server = cluster.server(), "connected");
    let asked = RealCluster { name: context, ..RealCluster::of(&cluster).await };
    About::hold(dir.path(), About::Cluster(asked))?;
    let seed = args.seed.unwrap_or(SEED);
    let (cluster, metrics) = (Arc::new(cluster), Arc::new(Unmeasured));
    let mut simulation =
        wiring::engine_over(cluster, metrics, Time::wall(), seed, conduct, store).await?;
    wiring::import_history(&mut simulation.engine).await?;
    super::serve(args, dir, simulation, Arc::new(Timestamp::now), interruption).await
}

/// Where the cluster is, and what references to its objects call it.
fn source(args: &Args) -> Result<(String, KubeSource), NoCluster> {
    let Some(path) = &args.kubeconfig else {
        return Ok((RealCluster::WITHIN.into(), KubeSource::ServiceAccount));
    };
    let context = match &args.context {
        Some(context) => Some(context.clone()),
        None => KubeCluster::contexts(path).map_err(NoCluster)?.into_iter().next(),
    };
    let name = context.unwrap_or_else(|| "default".into());
    Ok((name, KubeSource::File { path: path.clone(), context: args.context.clone() }))
}
