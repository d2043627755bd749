//! The contract tests of the `Cluster` port against three implementations: the simulated cluster in process, the simulated
//! cluster behind its HTTP API, and a real API server.
//!
//! Each implementation runs all contract tests and prints their number, which `tests/kubernetes/run` compares.

mod kubernetes;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster::contract::{CONTRACT_TESTS, ContractTest, Fixture};
use cluster::{Cluster, KubeCluster, KubeLimits, KubeSource, SecretKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::http::{self, ClockSource, ServerOptions};
use simulator::{SimulatedCluster, World, WorldFile};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;

/// A cluster without nodes, in which no pod runs: the contract tests write the status of pods themselves.
const WORLD: &str = "
apiVersion: chiron.dev/v1alpha1
kind: World
metadata: {name: contract}
spec:
  objects:
  - {apiVersion: v1, kind: Namespace, metadata: {name: default}}
";

/// Longer than any contract test takes on a real cluster.
const TEST_TIMEOUT: Duration = Duration::from_secs(240);

/// Runs all contract tests, each with a new fixture and up to `concurrency` at a time. Panics with all failures.
async fn check<F: Fixture + 'static>(name: &str, concurrency: usize, fixture: impl Fn() -> F) {
    let (mut passed, mut failed) = (0, Vec::new());
    for chunk in CONTRACT_TESTS.chunks(concurrency) {
        let running: Vec<_> =
            chunk.iter().map(|(name, test)| (name, *test, start(*test, fixture()))).collect();
        for (test_name, test, task) in running {
            let mut error = wait(task).await;
            // Under load, a real server may compact the version from which a test watches. Clients then list again, so the
            // test is repeated.
            let is_compacted =
                error.as_ref().is_some_and(|error| error.contains("is too old: list again"));
            if name == "kubernetes" && is_compacted {
                error = wait(start(test, fixture())).await;
            }
            match error {
                None => passed += 1,
                Some(error) => failed.push(format!("{test_name}: {error}")),
            }
        }
    }
    assert!(
        failed.is_empty(),
        "contract {name}: {} of {} tests failed\n{}",
        failed.len(),
        CONTRACT_TESTS.len(),
        failed.join("\n")
    );
    // Written directly, because the test harness captures `println!` of a passed test.
    let mut out = std::io::stdout().lock();
    writeln!(out, "contract {name}: {passed} tests").unwrap();
}

type TestTask = JoinHandle<Result<(), Elapsed>>;

fn start<F: Fixture + 'static>(test: ContractTest, mut fixture: F) -> TestTask {
    tokio::spawn(async move { tokio::time::timeout(TEST_TIMEOUT, test(&mut fixture)).await })
}

/// Waits for a contract test. Returns the message of its failure.
async fn wait(task: TestTask) -> Option<String> {
    match task.await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("timeout after {TEST_TIMEOUT:?}")),
        Err(error) => Some(panic_message(error)),
    }
}

fn panic_message(error: tokio::task::JoinError) -> String {
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
struct InProcessFixture {
    world: Arc<Mutex<World>>,
    cluster: SimulatedCluster,
}

#[async_trait]
impl Fixture for InProcessFixture {
    fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::new(self.cluster.clone())
    }

    fn admin(&self) -> Arc<dyn Cluster> {
        self.cluster()
    }

    async fn as_service_account(&self, namespace: &str, name: &str) -> Arc<dyn Cluster> {
        Arc::new(self.cluster.as_service_account(namespace, name))
    }

    async fn wait(&mut self, seconds: u32) {
        advance(&self.world, seconds);
    }
}

fn advance(world: &Mutex<World>, seconds: u32) {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    let until = world.now() + SignedDuration::from_secs(i64::from(seconds));
    world.advance_fully(until);
}

/// A cluster that is reached through a kubeconfig.
#[derive(Clone)]
struct KubeFixture {
    kubeconfig: PathBuf,
    cluster: Arc<KubeCluster>,
    /// The simulated world behind the API, whose time `wait` advances; `None` on a real cluster.
    world: Option<Arc<Mutex<World>>>,
}

impl KubeFixture {
    async fn new(kubeconfig: PathBuf, world: Option<Arc<Mutex<World>>>) -> Self {
        let source = KubeSource::File { path: kubeconfig.clone(), context: None };
        let cluster = KubeCluster::connect("test", &source, key(), limits()).await;
        let cluster = cluster.unwrap_or_else(|error| panic!("{error}: {}", error.hint()));
        Self { kubeconfig, cluster: Arc::new(cluster), world }
    }
}

/// The watch timeout is longer than the default, because a server under load may pause between two watch events.
fn limits() -> KubeLimits {
    KubeLimits { watch_idle_timeout: Duration::from_secs(3), ..KubeLimits::default() }
}

fn key() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

#[async_trait]
impl Fixture for KubeFixture {
    fn cluster(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    fn admin(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    /// The administrator impersonates the account.
    async fn as_service_account(&self, namespace: &str, name: &str) -> Arc<dyn Cluster> {
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
        // `connect` would fail for an account without permissions.
        Arc::new(KubeCluster::open("test", &source, key(), KubeLimits::default()).await.unwrap())
    }

    async fn wait(&mut self, seconds: u32) {
        match &self.world {
            Some(world) => advance(world, seconds),
            None => tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await,
        }
    }
}

#[tokio::test]
async fn simulated_cluster_in_process_passes_contract() {
    let fixture = || {
        let world = world();
        InProcessFixture { cluster: SimulatedCluster::new(world.clone(), "test"), world }
    };
    check("simulator", 1, fixture).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_cluster_over_http_passes_contract() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let world = world();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServerOptions {
        name: "test".into(),
        clock: ClockSource::External { changed: Arc::new(|| {}) },
        delay: Duration::ZERO,
        change_hook: None,
    };
    let server = http::serve(world.clone(), listener, options).unwrap();
    std::fs::write(&kubeconfig, &server.kubeconfig).unwrap();
    let fixture = KubeFixture::new(kubeconfig, Some(world)).await;
    check("http", 16, || fixture.clone()).await;
}
