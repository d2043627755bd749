//! What lets a simulated world outlive the process: every change that was asked of it, and every fault that struck it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Mode, Object, ObjectRef, Page, ReadFailure,
    Reply, Request, WatchEvent,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use simulator::api::Call;
use simulator::{Oracle, SimulatedCluster, World};

use crate::datasets;

/// One thing that was done to the world.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// When, in the world.
    pub(crate) at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub(crate) deed: Deed,
}

/// What can be done to a world.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Deed {
    /// A change was asked for.
    #[serde(rename_all = "camelCase")]
    Request {
        /// Key of the intended effect; empty where a person asked.
        effect_key: String,
        /// What.
        request: Box<Request>,
    },
    /// Somebody asked for a change through the Kubernetes API.
    Call {
        /// What.
        call: Box<Call>,
    },
    /// Something broke.
    Strike {
        /// What.
        strike: Strike,
    },
}

/// A fault that struck a running world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Strike {
    /// Its family.
    pub(crate) family: String,
    /// What draws the workload at fault.
    pub(crate) seed: u64,
}

impl Strike {
    /// Lets it happen from now on.
    ///
    /// # Errors
    /// Where there is no such family, or no workload of this world can have the fault.
    pub(crate) fn befall(&self, world: &mut World) -> Result<Oracle> {
        Ok(world.strike(&datasets::scenario(&self.family)?, self.seed)?)
    }
}

impl Line {
    /// Does again what was done.
    ///
    /// # Errors
    /// Where a fault can no longer be had, for the program knows it no more.
    pub(crate) fn replay(&self, world: &mut World) -> Result<()> {
        match &self.deed {
            Deed::Request { request, .. } => {
                world.replay(self.at, request);
            }
            Deed::Call { call } => {
                world.advance_fully(self.at);
                world.call(call);
            }
            Deed::Strike { strike } => {
                world.advance_fully(self.at);
                strike.befall(world)?;
            }
        }
        Ok(())
    }
}

/// Everything that was done to a world, in order, each on disk before it is done.
pub(crate) struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

impl Journal {
    pub(crate) const FILE: &str = "world.jsonl";

    /// Opens the journal in `dir`, and gives what stands in it. A last line that was cut off by a crash was never
    /// applied, and is taken away.
    ///
    /// # Errors
    /// Where the file cannot be opened or a whole line cannot be read.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<Line>)> {
        let path = dir.join(Self::FILE);
        let open = || {
            let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            File::open(dir)?.sync_all()?;
            let bytes = std::fs::read(&path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole < bytes.len() {
                tracing::warn!(path = %path.display(), "the last line was cut off and is taken away");
                file.set_len(whole as u64)?;
                file.sync_all()?;
            }
            Ok::<_, std::io::Error>((file, bytes[..whole].to_vec()))
        };
        let (file, bytes) = open().with_context(|| format!("cannot open {}", path.display()))?;
        let mut lines: Vec<Line> = Vec::new();
        for (i, line) in
            bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate()
        {
            let line: Line = serde_json::from_slice(line)
                .with_context(|| format!("{}, line {}", path.display(), i + 1))?;
            if lines.last().is_some_and(|last| last.at > line.at) {
                bail!(
                    "{}, line {}: its time is before that of the line above",
                    path.display(),
                    i + 1
                );
            }
            lines.push(line);
        }
        Ok((Self { file: Mutex::new(file), path }, lines))
    }

    /// Puts a line on disk.
    pub(crate) fn note(&self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = file.metadata()?.len();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line would hide the next one.
            file.set_len(before)?;
        }
        written
    }
}

/// A simulated cluster that notes each change before it makes it.
#[derive(Clone)]
pub(crate) struct JournaledCluster {
    inner: SimulatedCluster,
    journal: Arc<Journal>,
}

impl JournaledCluster {
    /// Puts a journal before `inner`.
    pub(crate) fn new(inner: SimulatedCluster, journal: Arc<Journal>) -> Self {
        Self { inner, journal }
    }
}

#[async_trait]
impl Cluster for JournaledCluster {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        self.inner.get(object, consistency).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        self.inner.list(query).await
    }

    async fn changes(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.inner.changes(kind, namespace, resource_version).await
    }

    async fn send(&self, request: &Request) -> Reply {
        match request.mode {
            Mode::DryRun => self.inner.send(request).await,
            Mode::Apply => {
                let (this, request) = (self.clone(), request.clone());
                // Waiting for the disk is no work for a thread that serves others.
                let sent = tokio::task::spawn_blocking(move || {
                    let deed = Deed::Request {
                        effect_key: request.agent.effect_key.clone(),
                        request: Box::new(request.clone()),
                    };
                    let sent =
                        this.inner.send_after(&request, |at| this.journal.note(&Line { at, deed }));
                    sent.unwrap_or_else(|error| {
                        tracing::error!(path = %this.journal.path.display(), %error, "a change cannot be noted, so it is not made");
                        Reply::Refused { code: 507, reason: "InsufficientStorage".into(), message: format!("the journal cannot be written: {error}") }
                    })
                });
                sent.await.unwrap_or_else(|error| Reply::Unknown {
                    message: format!("the request did not end: {error}"),
                })
            }
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.inner.logs(query).await
    }

    async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.inner.may(verb, kind, namespace).await
    }
}
