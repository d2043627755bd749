//! A simulated world that outlives the process: rebuilt from where it began and what was done to it since.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use simulator::http;
use simulator::{AlertMode, SimulatedCluster, World};
use store::Store;
use tokio::net::TcpListener;

use crate::journal::{Deed, Journal, Line};
use crate::journaled_cluster::JournaledCluster;
use crate::origin::Origin;
use crate::striker::Striker;
use crate::wiring;

/// A simulated world, and the journal that each change of it goes through.
pub(crate) struct KeptWorld {
    /// The world.
    pub(crate) world: Arc<Mutex<World>>,
    /// The world behind the ports, its changes noted first.
    pub(crate) cluster: Arc<JournaledCluster>,
    /// The world behind the ports, as it is.
    pub(crate) simulated: Arc<SimulatedCluster>,
    /// When something last broke in it, or first will.
    pub(crate) last_struck: Option<Timestamp>,
    /// What lets something else break.
    pub(crate) striker: Striker,
    journal: Arc<Journal>,
}

impl KeptWorld {
    /// The world that began at `origin`, as it was when the record in `store` was last written.
    ///
    /// # Errors
    /// Where the journal in `dir` cannot be read, or speaks of what is not known here.
    pub(crate) async fn open(
        dir: &Path,
        origin: &Origin,
        mode: AlertMode,
        store: &dyn Store,
    ) -> Result<Self> {
        let (journal, lines) = Journal::open(dir)?;
        let (mut world, mut last_struck) = origin.begin(mode)?;
        let mut strikes = 0;
        for (i, line) in lines.iter().enumerate() {
            line.replay(&mut world)
                .with_context(|| format!("what was done to the world, line {}", i + 1))?;
            match line.deed {
                Deed::Strike { .. } => {
                    strikes += 1;
                    last_struck = Some(line.at);
                }
                Deed::Request { .. } | Deed::Call { .. } => {}
            }
        }
        // The world goes on where the record ends: what it emitted meanwhile is not lost.
        let head = store.head().await?;
        if let Some(last) = store.read(head.saturating_sub(1), 1).await?.first() {
            world.advance_fully(last.at);
        }
        let journal = Arc::new(journal);
        let world = Arc::new(Mutex::new(world));
        let simulated = SimulatedCluster::new(world.clone(), wiring::CLUSTER);
        let cluster = Arc::new(JournaledCluster::new(simulated.clone(), journal.clone()));
        let striker = Striker::new(world.clone(), journal.clone(), origin.seed, strikes);
        Ok(Self { world, cluster, simulated: Arc::new(simulated), last_struck, striker, journal })
    }

    /// Opens a door of the Kubernetes API to the world, and writes `kubeconfig` for whoever goes through it; `changed` is
    /// called after each change. What is asked for is noted first, as every change is.
    ///
    /// # Errors
    /// Where no port can be had, or the file cannot be written.
    pub(crate) async fn open_door(
        &self,
        kubeconfig: &Path,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<http::Handle> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?;
        let journal = self.journal.clone();
        let note: http::Note = Arc::new(move |at, call| {
            journal.note(&Line { at, deed: Deed::Call { call: Box::new(call.clone()) } })
        });
        let options = http::Options {
            name: wiring::CLUSTER.into(),
            pace: http::Pace::Led { changed: Arc::new(changed) },
            delay: Duration::ZERO,
            note: Some(note),
        };
        let handle = http::serve(self.world.clone(), listener, options)?;
        crate::kubeconfig::write(kubeconfig, &handle.kubeconfig)?;
        Ok(handle)
    }

    /// The time in the world.
    pub(crate) fn now(&self) -> Timestamp {
        now(&self.world)
    }
}

/// The time in `world`.
pub(crate) fn now(world: &Mutex<World>) -> Timestamp {
    world.lock().expect("a world is never left half-changed").now()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use cluster::{Agent, Cluster as _, Kind, ListQuery, Mode, Patch, Preconditions};
    use cluster::{Reply, Request, Verb};
    use jiff::SignedDuration;

    use super::*;

    fn origin() -> Origin {
        Origin {
            world: "shop".into(),
            seed: 7,
            fault: Some("scaled-to-zero".into()),
            start: crate::cli::start(),
        }
    }

    async fn open(dir: &Path) -> KeptWorld {
        KeptWorld::open(dir, &origin(), AlertMode::Internal, &*wiring::memory(7)).await.unwrap()
    }

    fn advance(kept: &KeptWorld, minutes: i64) {
        let until = origin().start + SignedDuration::from_mins(minutes);
        kept.world.lock().unwrap().advance_fully(until);
    }

    #[tokio::test]
    async fn a_world_rebuilt_from_its_journal_is_the_same_world() {
        let dir = tempfile::tempdir().unwrap();
        let kept = open(dir.path()).await;
        advance(&kept, 12);
        let target = kept
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
        assert!(matches!(kept.cluster.send(&scale(Mode::DryRun)).await, Reply::Accepted(_)));
        assert!(matches!(kept.cluster.send(&scale(Mode::Apply)).await, Reply::Accepted(_)));
        advance(&kept, 15);
        let struck = kept.striker.strike("wrong-target-port").unwrap();
        assert!(kept.striker.strike("gremlins").is_err(), "and it leaves no line");
        advance(&kept, 20);
        let digest = kept.world.lock().unwrap().digest();

        let path = dir.path().join(Journal::FILE);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what was asked for may hold Secrets");
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"at\":");
        std::fs::write(&path, torn).unwrap();
        let again = open(dir.path()).await;
        assert_eq!((again.last_struck, again.striker.strikes()), (Some(struck.at), 1));
        advance(&again, 20);
        assert_eq!(again.world.lock().unwrap().digest(), digest);
        assert_eq!(again.world.lock().unwrap().effects().get("key-1"), Some(&1));
        let lines = std::fs::read_to_string(path).unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert_ne!(
            again.striker.strike("wrong-target-port").unwrap().strike.seed,
            struck.strike.seed,
            "the next strike draws anew"
        );
    }
}
