//! A simulated world that persists across restarts: rebuilt from its spec and its journal.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use simulator::http;
use simulator::{AlertMode, SimulatedCluster, World};
use store::Store;
use tokio::net::TcpListener;

use crate::bootstrap;
use crate::fault_injector::FaultInjector;
use crate::journal::{Journal, JournalEntry, WorldMutation};
use crate::journaled_cluster::JournaledCluster;
use crate::simulation_spec::SimulationSpec;

/// A simulated world with a journal of all its changes.
pub(crate) struct PersistentWorld {
    pub(crate) world: Arc<Mutex<World>>,
    /// Cluster port that writes changes to the journal first.
    pub(crate) cluster: Arc<JournaledCluster>,
    /// Metrics port.
    pub(crate) simulated: Arc<SimulatedCluster>,
    /// Time of the last fault, or of the first one if it is still to come.
    pub(crate) last_fault_at: Option<Timestamp>,
    pub(crate) fault_injector: FaultInjector,
    journal: Arc<Journal>,
}

impl PersistentWorld {
    /// Rebuilds the world of `spec` at the time of the last record in `store`.
    ///
    /// # Errors
    /// If the journal in `dir` cannot be read or replayed.
    pub(crate) async fn open(
        dir: &Path,
        spec: &SimulationSpec,
        mode: AlertMode,
        store: &dyn Store,
    ) -> Result<Self> {
        let (journal, entries) = Journal::open(dir)?;
        let (mut world, mut last_fault_at) = spec.build(mode)?;
        let mut injected_count = 0;
        for (i, entry) in entries.iter().enumerate() {
            entry
                .replay(&mut world)
                .with_context(|| format!("cannot replay line {} of the journal", i + 1))?;
            match entry.mutation {
                WorldMutation::InjectFault { .. } => {
                    injected_count += 1;
                    last_fault_at = Some(entry.at);
                }
                WorldMutation::Request { .. } | WorldMutation::Call { .. } => {}
            }
        }
        // The world continues where the record ends, so alerts emitted after that are not lost.
        let head = store.head().await?;
        if let Some(last) = store.read(head.saturating_sub(1), 1).await?.first() {
            world.advance_fully(last.at);
        }
        let journal = Arc::new(journal);
        let world = Arc::new(Mutex::new(world));
        let simulated = SimulatedCluster::new(world.clone(), bootstrap::CLUSTER);
        let cluster = Arc::new(JournaledCluster::new(simulated.clone(), journal.clone()));
        let fault_injector =
            FaultInjector::new(world.clone(), journal.clone(), spec.seed, injected_count);
        let simulated = Arc::new(simulated);
        Ok(Self { world, cluster, simulated, last_fault_at, fault_injector, journal })
    }

    /// Serves the world as a Kubernetes API on a free port and writes `kubeconfig` for its clients. Changes are written
    /// to the journal first; `changed` is called after each change.
    ///
    /// # Errors
    /// If no port can be bound, or the file cannot be written.
    pub(crate) async fn serve_kubernetes_api(
        &self,
        kubeconfig: &Path,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<http::ServerHandle> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?;
        let journal = self.journal.clone();
        let change_hook: http::ChangeHook = Arc::new(move |at, call| {
            let mutation = WorldMutation::Call { call: Box::new(call.clone()) };
            journal.append(&JournalEntry { at, mutation })
        });
        let options = http::ServerOptions {
            name: bootstrap::CLUSTER.into(),
            clock: http::ClockSource::External { changed: Arc::new(changed) },
            delay: Duration::ZERO,
            change_hook: Some(change_hook),
        };
        let handle = http::serve(self.world.clone(), listener, options)?;
        crate::kubeconfig::write(kubeconfig, &handle.kubeconfig)?;
        Ok(handle)
    }

    /// Returns the simulated time.
    pub(crate) fn now(&self) -> Timestamp {
        now(&self.world)
    }
}

/// Returns the simulated time of `world`.
pub(crate) fn now(world: &Mutex<World>) -> Timestamp {
    World::lock(world).now()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use cluster::{Agent, Cluster as _, Kind, ListQuery, Mode, Patch, Preconditions};
    use cluster::{Request, Verb, WriteReply};
    use jiff::SignedDuration;

    use super::*;

    fn spec() -> SimulationSpec {
        SimulationSpec {
            world: "shop".into(),
            seed: 7,
            fault: Some("scaled-to-zero".into()),
            start: crate::bootstrap::start(),
        }
    }

    async fn open(dir: &Path) -> PersistentWorld {
        PersistentWorld::open(dir, &spec(), AlertMode::Internal, &*bootstrap::memory(7))
            .await
            .unwrap()
    }

    fn advance(persistent: &PersistentWorld, minutes: i64) {
        let until = spec().start + SignedDuration::from_mins(minutes);
        persistent.world.lock().unwrap().advance_fully(until);
    }

    #[tokio::test]
    async fn world_rebuilt_from_journal_is_identical() {
        let dir = tempfile::tempdir().unwrap();
        let persistent = open(dir.path()).await;
        advance(&persistent, 12);
        let target = persistent
            .cluster
            .list(&ListQuery::latest(Kind::builtin("Deployment").unwrap(), None))
            .await
            .unwrap()
            .items[0]
            .reference("simulated");
        let scale = |mode| Request {
            target: target.clone(),
            verb: Verb::Patch {
                patch: Patch::Merge(serde_json::json!({"spec": {"replicas": 5}})),
                subresource: None,
            },
            preconditions: Preconditions::default(),
            mode,
            agent: Agent { effect_key: "key-1".into(), ..Agent::default() },
        };
        assert!(matches!(
            persistent.cluster.send(&scale(Mode::DryRun)).await,
            WriteReply::Accepted(_)
        ));
        assert!(matches!(
            persistent.cluster.send(&scale(Mode::Commit)).await,
            WriteReply::Accepted(_)
        ));
        advance(&persistent, 15);
        let injected = persistent.fault_injector.inject("wrong-target-port").unwrap();
        // An unknown family leaves no entry.
        let refused = persistent.fault_injector.inject("gremlins").err().unwrap();
        let refused = format!("{refused:#}");
        assert!(refused.contains("gremlins") && refused.contains("bad-image"), "{refused}");
        advance(&persistent, 20);
        let digest = persistent.world.lock().unwrap().digest();

        let path = dir.path().join(Journal::FILE);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "requests may contain Secrets");
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"at\":");
        std::fs::write(&path, torn).unwrap();
        let rebuilt = open(dir.path()).await;
        assert_eq!(
            (rebuilt.last_fault_at, rebuilt.fault_injector.injected_count()),
            (Some(injected.at), 1)
        );
        advance(&rebuilt, 20);
        assert_eq!(rebuilt.world.lock().unwrap().digest(), digest);
        assert_eq!(rebuilt.world.lock().unwrap().effects().get("key-1"), Some(&1));
        let lines = std::fs::read_to_string(path).unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert_ne!(
            rebuilt.fault_injector.inject("wrong-target-port").unwrap().injection.seed,
            injected.injection.seed,
            "the next injection uses another seed"
        );
    }
}
