//! The simulated cluster in its own process, and the objects that runs change.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cluster::{
    Agent, Cluster as _, Kind, KubeCluster, KubeLimits, KubeSource, ListQuery, Mode, Object,
    Preconditions, Request, SecretKey, Verb, WriteReply,
};
use serde_json::{Value, json};

use super::process::Process;
use super::report::Applied;

/// Name of the Deployment whose configuration is missing.
pub(crate) const WORKLOAD: &str = "reader";
/// Time for a pod to report its missing configuration.
const UNHEALTHY_TIMEOUT: Duration = Duration::from_secs(60);
/// Response delay of the cluster, in milliseconds.
const DELAY_MS: u32 = 30;

/// A running simulated cluster.
pub(crate) struct ChaosCluster {
    _process: Process,
    kubeconfig: PathBuf,
    admin: KubeCluster,
}

impl ChaosCluster {
    /// Starts the cluster with an empty world.
    ///
    /// # Errors
    /// If it cannot be started or reached.
    pub(crate) async fn start(folder: &Path, seed: u64) -> Result<Self> {
        let kubeconfig = folder.join("kubeconfig");
        let text = |path: &Path| path.display().to_string();
        let args = [
            "simulate",
            "serve",
            "--world",
            "chaos",
            "--seed",
            &seed.to_string(),
            "--port",
            "0",
            "--kubeconfig",
            &text(&kubeconfig),
            "--delay-ms",
            &DELAY_MS.to_string(),
        ]
        .map(String::from);
        let process = Process::start("simulate", &args, folder)?;
        let source = KubeSource::File { path: kubeconfig.clone(), context: None };
        let key = SecretKey::from_bytes([0; 32]);
        let admin = KubeCluster::connect("chaos", &source, key, KubeLimits::default())
            .await
            .context("cannot reach the simulated cluster")?;
        Ok(Self { _process: process, kubeconfig, admin })
    }

    /// Returns the path of its kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Creates a namespace with a Deployment that needs keys of ten ConfigMaps.
    ///
    /// # Errors
    /// If the cluster refuses an object.
    pub(crate) async fn prepare(&self, namespace: &str) -> Result<()> {
        let env: Vec<Value> = (1..=10)
            .map(|n| {
                json!({"name": format!("STEP_{n:02}"), "valueFrom": {"configMapKeyRef": {"name": format!("settings-{n:02}"), "key": format!("step-{n:02}")}}})
            })
            .collect();
        let container = json!({"name": "main", "image": "registry.example/chaos:1", "env": env,
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}});
        let labels = json!({"app": WORKLOAD});
        let mut objects =
            vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})];
        objects.extend((1..=10).map(|n| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("settings-{n:02}"), "namespace": namespace}, "data": {}})
        }));
        objects.push(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": WORKLOAD, "namespace": namespace}, "spec": {
                "replicas": 1, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}}),
        );
        for object in objects {
            let object = Object::from_value(object).expect("the values are objects");
            let request = Request {
                target: object.reference(self.admin.name()),
                verb: Verb::Create(object),
                preconditions: Preconditions::default(),
                mode: Mode::Commit,
                agent: Agent::default(),
            };
            match self.admin.send(&request).await {
                WriteReply::Accepted(_) => {}
                other => bail!("cannot create {}: {other:?}", request.target),
            }
        }
        self.wait_until_unhealthy(namespace).await
    }

    /// Waits until the container reports the missing keys; before that there is nothing to remediate.
    async fn wait_until_unhealthy(&self, namespace: &str) -> Result<()> {
        let pods = Kind::builtin("Pod").expect("a built-in kind");
        let begun = Instant::now();
        while begun.elapsed() < UNHEALTHY_TIMEOUT {
            let page = self.admin.list(&ListQuery::latest(pods.clone(), Some(namespace))).await?;
            let waits = |pod: &Object| {
                let reason = pod.at("/status/containerStatuses/0/state/waiting/reason");
                reason.and_then(Value::as_str) == Some("CreateContainerConfigError")
            };
            if page.items.iter().any(waits) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!(
            "the pod in {namespace} did not report its missing keys within {} s",
            UNHEALTHY_TIMEOUT.as_secs()
        );
    }

    /// Returns how many times each effect key changed the cluster.
    ///
    /// # Errors
    /// If the cluster does not respond.
    pub(crate) async fn applied(&self) -> Result<Applied> {
        simulator::http::fetch_effects(&self.kubeconfig)
            .await
            .context("cannot read the effects of the cluster")
    }
}
