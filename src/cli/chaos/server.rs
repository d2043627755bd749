//! The server that plans and executes ten-step runs, and the alert that starts them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::process::Process;
use super::run_observer::{ObservedRun, RunObserver};
use crate::cli::client::{Client, Output};
use crate::data_dir::DataDir;

/// Name of the alert that the ten-step template matches.
const ALERT: &str = "ChaosKeysLost";
/// Maximum duration of a run, including interruptions.
const RUN_TIMEOUT: Duration = Duration::from_secs(90);
/// Interval at which the record is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The template, written to the templates folder of the server.
const TEMPLATE: &str = include_str!("../../../datasets/chaos/restore-ten-keys.yaml");

/// Guardrails that allow hundreds of runs per hour.
const GUARDRAILS: &str = include_str!("../../../datasets/chaos/guardrails.yaml");

/// `chiron serve` with a kubeconfig. Its folder is kept when its process is killed and restarted.
pub(crate) struct ChaosServer {
    folder: PathBuf,
    kubeconfig: PathBuf,
    process: Option<Process>,
}

impl ChaosServer {
    /// Starts the server with an empty record and an experiment that always chooses the first candidate: the test is
    /// about runs, not about the learner's choice.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) async fn start(folder: &Path, kubeconfig: &Path) -> Result<Self> {
        let templates = folder.join("templates");
        std::fs::create_dir_all(&templates)?;
        std::fs::write(templates.join("restore-ten-keys.yaml"), TEMPLATE)?;
        std::fs::write(folder.join("guardrails.yaml"), GUARDRAILS)?;
        let mut server =
            Self { folder: folder.into(), kubeconfig: kubeconfig.into(), process: None };
        server.restart()?;
        let variant = |name: &str| json!({"name": name, "share": 0.5, "treatment": {"kind": "policy", "policy": "first"}});
        let experiment = server
            .post(
                "/experiments",
                &json!({"name": "first-candidate", "variants": [variant("a"), variant("b")], "alerts": [ALERT]}),
            )
            .await?;
        let id = experiment["id"].as_str().context("an experiment has an id")?;
        server.post(&format!("/experiments/{id}/start"), &json!({"reason": "chaos"})).await?;
        Ok(server)
    }

    /// Returns its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Restarts the server with the same data directory.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let text = |path: &Path| path.display().to_string();
        let args = [
            "serve",
            "--kubeconfig",
            &text(&self.kubeconfig),
            "--templates",
            &text(&self.folder.join("templates")),
            "--guardrails",
            &text(&self.folder.join("guardrails.yaml")),
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            &text(&self.data()),
        ]
        .map(String::from);
        self.process = Some(Process::start("serve", &args, &self.folder)?);
        Ok(())
    }

    /// Kills the server with SIGKILL.
    ///
    /// # Errors
    /// If it had already ended.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.take().context("the server was killed twice")?.kill()
    }

    /// Sends the firing alert of the workload in `namespace`.
    ///
    /// # Errors
    /// If the server does not accept it.
    pub(crate) async fn fire(&self, namespace: &str) -> Result<()> {
        let labels = json!({"alertname": ALERT, "namespace": namespace, "deployment": super::cluster::WORKLOAD, "severity": "critical"});
        let alert = json!({"status": "firing", "labels": labels, "annotations": {}, "startsAt": jiff::Timestamp::now(),
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": ""});
        let body = json!({"version": "4", "groupKey": namespace, "truncatedAlerts": 0, "status": "firing", "receiver": "chiron",
            "groupLabels": {}, "commonLabels": labels, "commonAnnotations": {}, "externalURL": "", "alerts": [alert]});
        self.post("/ingest/alertmanager", &body).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let process = self.process.as_ref().context("the server is not running")?;
        let address = process
            .first_line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .with_context(|| {
                format!("the server did not print its address: {}", process.first_line)
            })?
            .trim_end_matches(',');
        let token = std::fs::read_to_string(self.data().join(DataDir::TOKEN))?;
        Client::at(address, &token, Output::Json)?.post(path, body).await
    }

    /// Returns an observer of the next run in `namespace`.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub(crate) async fn observe(&self, namespace: &str) -> Result<RunObserver> {
        let data = self.data();
        RunObserver::new(&data, namespace, RunObserver::head(&data).await?)
    }

    /// Returns the keys of all changes in its record.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub(crate) async fn recorded_keys(&self) -> Result<BTreeSet<String>> {
        RunObserver::recorded_keys(&self.data()).await
    }
}

/// Polls the run until `is_done`, or until [`RUN_TIMEOUT`].
///
/// # Errors
/// If the record cannot be read.
pub(crate) async fn watch(
    observer: &mut RunObserver,
    is_done: impl Fn(&ObservedRun) -> bool,
) -> Result<ObservedRun> {
    let began = Instant::now();
    loop {
        let run = observer.poll().await?;
        if is_done(run) || began.elapsed() > RUN_TIMEOUT {
            return Ok(run.clone());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether the run has ended.
pub(crate) fn is_ended(run: &ObservedRun) -> bool {
    run.status.is_some()
}
