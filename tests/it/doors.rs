//! One contract, three doors: the promises of the port, kept by the simulated cluster in process, by the same cluster
//! behind its HTTP API, and by a real API server. Each door runs every promise and tells how many it kept.

mod kubernetes;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster::contract::{Fixture, PROMISES, Promise};
use cluster::{Cluster, KubeCluster, KubeLimits, KubeSource, SecretKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::http::{self, Options, Pace};
use simulator::{SimulatedCluster, World, WorldFile};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;

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
    let (mut kept, mut broken) = (0, Vec::new());
    for some in PROMISES.chunks(at_once) {
        let running: Vec<_> =
            some.iter().map(|(promise, keep)| (promise, *keep, start(*keep, door()))).collect();
        for (promise, keep, task) in running {
            let mut why = ended(task).await;
            // A real server may forget a version while everything else runs; whoever watches lists again then.
            let is_forgotten = why.as_ref().is_some_and(|why| why.contains("is gone: list again"));
            if name == "kubernetes" && is_forgotten {
                why = ended(start(keep, door())).await;
            }
            match why {
                None => kept += 1,
                Some(why) => broken.push(format!("{promise}: {why}")),
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
    let mut out = std::io::stdout().lock();
    writeln!(out, "door {name}: {kept} promises").unwrap();
}

type Running = JoinHandle<Result<(), Elapsed>>;

fn start<F: Fixture + 'static>(keep: Promise, mut world: F) -> Running {
    tokio::spawn(async move { tokio::time::timeout(PATIENCE, keep(&mut world)).await })
}

/// Why a promise was not kept.
async fn ended(task: Running) -> Option<String> {
    match task.await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("not within {PATIENCE:?}")),
        Err(error) => Some(said(error)),
    }
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

/// The simulated cluster in process.
struct InProcess {
    world: Arc<Mutex<World>>,
    cluster: SimulatedCluster,
}

#[async_trait]
impl Fixture for InProcess {
    fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::new(self.cluster.clone())
    }

    fn admin(&self) -> Arc<dyn Cluster> {
        self.cluster()
    }

    async fn account(&self, namespace: &str, name: &str) -> Arc<dyn Cluster> {
        Arc::new(self.cluster.as_account(namespace, name))
    }

    async fn settle(&mut self, seconds: u32) {
        advance(&self.world, seconds);
    }
}

fn advance(world: &Mutex<World>, seconds: u32) {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    let until = world.now() + SignedDuration::from_secs(i64::from(seconds));
    world.advance_fully(until);
}

/// A cluster that the adapter reaches by a kubeconfig.
#[derive(Clone)]
struct Reached {
    kubeconfig: PathBuf,
    cluster: Arc<KubeCluster>,
    /// The world behind it, whose time a promise moves itself; absent where time goes on by itself.
    world: Option<Arc<Mutex<World>>>,
}

impl Reached {
    async fn new(kubeconfig: PathBuf, world: Option<Arc<Mutex<World>>>) -> Self {
        let source = KubeSource::File { path: kubeconfig.clone(), context: None };
        let cluster = KubeCluster::connect("test", &source, key(), limits()).await;
        let cluster = cluster.unwrap_or_else(|error| panic!("{error}: {}", error.hint()));
        Self { kubeconfig, cluster: Arc::new(cluster), world }
    }
}

/// A server that stores for many promises at once may be silent for a while between two changes that it tells.
fn limits() -> KubeLimits {
    KubeLimits { quiet: Duration::from_secs(3), ..KubeLimits::default() }
}

fn key() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

#[async_trait]
impl Fixture for Reached {
    fn cluster(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    fn admin(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    /// The administrator acts as the account.
    async fn account(&self, namespace: &str, name: &str) -> Arc<dyn Cluster> {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"]["as"] = format!("system:serviceaccount:{namespace}:{name}").into();
            let all = "system:serviceaccounts";
            user["user"]["as-groups"] =
                json!([all, format!("{all}:{namespace}"), "system:authenticated"]);
        }
        let mut file = tempfile::NamedTempFile::new_in(self.kubeconfig.parent().unwrap()).unwrap();
        file.write_all(config.to_string().as_bytes()).unwrap();
        let source = KubeSource::File { path: file.path().into(), context: None };
        // Not `connect`, which refuses who may do nothing.
        Arc::new(KubeCluster::open("test", &source, key(), KubeLimits::default()).await.unwrap())
    }

    async fn settle(&mut self, seconds: u32) {
        match &self.world {
            Some(world) => advance(world, seconds),
            None => tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await,
        }
    }
}

#[tokio::test]
async fn the_simulated_cluster_keeps_every_promise_in_process() {
    let door = || {
        let world = world();
        InProcess { cluster: SimulatedCluster::new(world.clone(), "test"), world }
    };
    check("simulator", 1, door).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_cluster_keeps_every_promise_through_its_http_api() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let world = world();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options {
        name: "test".into(),
        pace: Pace::Led { changed: Arc::new(|| {}) },
        delay: Duration::ZERO,
        note: None,
    };
    let open = http::serve(world.clone(), listener, options).unwrap();
    std::fs::write(&kubeconfig, &open.kubeconfig).unwrap();
    let reached = Reached::new(kubeconfig, Some(world)).await;
    check("http", 16, || reached.clone()).await;
}

#[test]
fn no_promise_is_listed_twice() {
    let names: BTreeSet<_> = PROMISES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), PROMISES.len());
}
