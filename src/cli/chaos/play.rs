//! One ten-step run: its ground, its alert, and the server that plans and runs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::process::Process;
use super::witness::{Seen, Witness};
use crate::cli::client::{Client, Output};
use crate::data_dir::DataDir;

/// Name of the alert that the ten-step template answers.
const ALERT: &str = "ChaosKeysLost";
/// How long a run may take, interruptions included.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often the record is looked at.
const GLANCE: Duration = Duration::from_millis(1);
/// The template, as it is written into the folder that the server reads templates from.
const TEMPLATE: &str = include_str!("../../../datasets/chaos/restore-ten-keys.yaml");

/// Hundreds of runs an hour are the point here.
const GUARDRAILS: &str = include_str!("../../../datasets/chaos/guardrails.yaml");

/// `chiron serve` over a kubeconfig, with a folder of its own that outlives its processes.
pub(crate) struct Server {
    folder: PathBuf,
    kubeconfig: PathBuf,
    process: Option<Process>,
}

impl Server {
    /// Starts it with an empty record, and has every incident planned by the first candidate: what is tested is the
    /// run, and no learner's choice.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(crate) async fn start(folder: &Path, kubeconfig: &Path) -> Result<Self> {
        let templates = folder.join("templates");
        std::fs::create_dir_all(&templates)?;
        std::fs::write(templates.join("restore-ten-keys.yaml"), TEMPLATE)?;
        std::fs::write(folder.join("guardrails.yaml"), GUARDRAILS)?;
        let mut server =
            Self { folder: folder.into(), kubeconfig: kubeconfig.into(), process: None };
        server.restart()?;
        let variant = |name: &str| json!({"name": name, "share": 0.5, "treatment": {"kind": "policy", "policy": "first"}});
        let made = server
            .post(
                "/experiments",
                &json!({"name": "first-candidate", "variants": [variant("a"), variant("b")], "alerts": [ALERT]}),
            )
            .await?;
        let id = made["id"].as_str().context("an experiment has an id")?;
        server.post(&format!("/experiments/{id}/start"), &json!({"reason": "chaos"})).await?;
        Ok(server)
    }

    /// Where its record is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it again over what it left.
    ///
    /// # Errors
    /// Where it cannot be started.
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

    /// SIGKILL.
    ///
    /// # Errors
    /// Where it had ended by itself.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.take().context("the server was killed twice")?.kill()
    }

    /// Fires the alert about the workload in `namespace`.
    ///
    /// # Errors
    /// Where the server does not take it.
    pub(crate) async fn fire(&self, namespace: &str) -> Result<()> {
        let labels = json!({"alertname": ALERT, "namespace": namespace, "deployment": super::ground::WORKLOAD, "severity": "critical"});
        let alert = json!({"status": "firing", "labels": labels, "annotations": {}, "startsAt": jiff::Timestamp::now(),
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": ""});
        let body = json!({"version": "4", "groupKey": namespace, "truncatedAlerts": 0, "status": "firing", "receiver": "chiron",
            "groupLabels": {}, "commonLabels": labels, "commonAnnotations": {}, "externalURL": "", "alerts": [alert]});
        self.post("/ingest/alertmanager", &body).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let process = self.process.as_ref().context("the server is not running")?;
        let address = process
            .greeting
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .with_context(|| {
                format!("the server did not say where it serves: {}", process.greeting)
            })?
            .trim_end_matches(',');
        let token = std::fs::read_to_string(self.data().join(DataDir::TOKEN))?;
        Client::at(address, &token, Output::Json)?.post(path, body).await
    }

    /// A witness of the run in `namespace`, from here on.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub(crate) async fn witness(&self, namespace: &str) -> Result<Witness> {
        let data = self.data();
        Witness::new(&data, namespace, Witness::head(&data).await?)
    }

    /// The keys of all changes that its record announced.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub(crate) async fn announced(&self) -> Result<BTreeSet<String>> {
        Witness::announced(&self.data()).await
    }
}

/// Looks until `is_enough`, or until patience ends.
///
/// # Errors
/// Where the record cannot be read.
pub(crate) async fn watch(
    witness: &mut Witness,
    is_enough: impl Fn(&Seen) -> bool,
) -> Result<Seen> {
    let began = Instant::now();
    loop {
        let seen = witness.look().await?;
        if is_enough(seen) || began.elapsed() > PATIENCE {
            return Ok(seen.clone());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Whether the run ended.
pub(crate) fn is_ended(seen: &Seen) -> bool {
    seen.status.is_some()
}
