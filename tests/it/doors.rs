//! One contract, three doors: the promises of the port, kept by the simulated cluster in process, by the same cluster
//! behind its HTTP API, and by a real API server. Each door runs every promise and tells how many it kept.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster::contract::{Fixture, PROMISES};
use cluster::{Cluster, KubeCluster, KubeLimits, KubeSource, SecretKey};
use jiff::{SignedDuration, Timestamp};
use simulator::http::{self, Options, Pace};
use simulator::{SimulatedCluster, World, WorldFile};
use tokio::net::TcpListener;

/// No nodes, so that nothing runs: a promise writes the status of pods itself.
const WORLD: &str = "
apiVersion: chiron.dev/v1alpha1
kind: World
metadata: {name: contract}
spec:
  objects:
  - {apiVersion: v1, kind: Namespace, metadata: {name: default}}
";

/// Longer than any promise waits on a real cluster.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs every promise, each in a world that `door` makes for it, so many at once, and tells of all that are broken.
async fn check<F: Fixture + 'static>(name: &str, at_once: usize, door: impl Fn() -> F) {
    let mut broken = Vec::new();
    for some in PROMISES.chunks(at_once) {
        let mut running = Vec::new();
        for (promise, keep) in some {
            let mut world = door();
            let kept = async move { tokio::time::timeout(PATIENCE, keep(&mut world)).await };
            running.push((promise, tokio::spawn(kept)));
        }
        for (promise, task) in running {
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => broken.push(format!("{promise}: not within {PATIENCE:?}")),
                Err(error) => broken.push(format!("{promise}: {}", said(error))),
            }
        }
    }
    assert!(
        broken.is_empty(),
        "door {name}: {} of {} promises are broken\n{}",
        broken.len(),
        PROMISES.len(),
        broken.join("\n")
    );
    // Past the test's own output, which nobody sees when it passes.
    writeln!(std::io::stdout(), "door {name}: {} promises", PROMISES.len()).unwrap();
}

/// The sentence with which a promise broke.
fn said(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
    text.unwrap_or_default().chars().take(600).collect()
}

fn world() -> Arc<Mutex<World>> {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Arc::new(Mutex::new(World::new(&WorldFile::parse(WORLD).unwrap(), 1, start).unwrap()))
}

/// A simulated cluster, whose time a promise moves itself.
struct Simulated {
    world: Arc<Mutex<World>>,
    cluster: Arc<dyn Cluster>,
}

#[async_trait]
impl Fixture for Simulated {
    fn cluster(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    fn admin(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    async fn settle(&mut self, seconds: u32) {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let until = world.now() + SignedDuration::from_secs(i64::from(seconds));
        world.advance_fully(until);
    }
}

#[tokio::test]
async fn the_simulated_cluster_keeps_every_promise_in_process() {
    let door = || {
        let world = world();
        let cluster = Arc::new(SimulatedCluster::new(world.clone(), "sim"));
        Simulated { world, cluster }
    };
    check("simulator", 1, door).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_cluster_keeps_every_promise_through_its_http_api() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let world = world();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options {
        name: "sim".into(),
        kubeconfig: Some(path.clone()),
        pace: Pace::Led { changed: Arc::new(|| {}) },
        delay: Duration::ZERO,
        note: None,
    };
    let _open = http::serve(world.clone(), listener, options).unwrap();
    let source = KubeSource::File { path, context: None };
    let secrets = SecretKey::from_bytes([7; 32]);
    let cluster = KubeCluster::connect("sim", &source, secrets, KubeLimits::default()).await;
    let cluster: Arc<dyn Cluster> = Arc::new(cluster.unwrap_or_else(|e| panic!("{e}: {}", e.hint())));
    check("http", 16, || Simulated { world: world.clone(), cluster: cluster.clone() }).await;
}

#[test]
fn no_promise_is_listed_twice() {
    let names: BTreeSet<_> = PROMISES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), PROMISES.len());
}

/// What needs a real API server, whose kubeconfig the environment names.
mod kubernetes {
    use super::*;

    struct Real(Arc<dyn Cluster>);

    #[async_trait]
    impl Fixture for Real {
        fn cluster(&self) -> Arc<dyn Cluster> {
            self.0.clone()
        }

        fn admin(&self) -> Arc<dyn Cluster> {
            self.0.clone()
        }

        async fn settle(&mut self, seconds: u32) {
            tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
        }
    }

    async fn connect() -> KubeCluster {
        let path = std::env::var_os("CHIRON_TEST_KUBECONFIG")
            .expect("CHIRON_TEST_KUBECONFIG names a kubeconfig; tests/kubernetes/run sets it");
        let source = KubeSource::File { path: path.into(), context: None };
        let secrets = SecretKey::from_bytes([7; 32]);
        let cluster = KubeCluster::connect("test", &source, secrets, KubeLimits::default()).await;
        cluster.unwrap_or_else(|error| panic!("{error}: {}", error.hint()))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs: kubernetes"]
    async fn a_real_api_server_keeps_every_promise() {
        let cluster: Arc<dyn Cluster> = Arc::new(connect().await);
        check("kubernetes", 32, || Real(cluster.clone())).await;
    }
}
