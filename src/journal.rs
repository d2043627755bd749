//! What lets a simulated world outlive the process: where it began, and every change that was asked of it since.

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
use simulator::{AlertMode, Naming, SimulatedCluster, World, scenario};

use crate::datasets;

/// Where a world begins: the same origin and the same requests give the same world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Origin {
    /// Name of the world's file.
    pub(crate) world: String,
    /// What draws names, the workload at fault, and every chance.
    pub(crate) seed: u64,
    /// The fault family in its future; absent where nothing breaks.
    pub(crate) fault: Option<String>,
    /// When its time begins.
    pub(crate) start: Timestamp,
}

impl Origin {
    const FILE: &str = "world.json";

    /// What stands in `dir`, if anything does.
    ///
    /// # Errors
    /// Where the file cannot be read or is not one of ours.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(Self::FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} does not say where a world begins", path.display()))
    }

    /// Keeps it in `dir`, whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn keep(&self, dir: &Path) -> Result<()> {
        let (path, draft) = (dir.join(Self::FILE), dir.join("world.json.new"));
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(
                serde_json::to_string_pretty(self).expect("an origin is plain data").as_bytes(),
            )?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(dir)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// The world as it is when its time begins.
    ///
    /// # Errors
    /// Where there is no such world or fault.
    pub(crate) fn begin(&self, mode: AlertMode) -> Result<World> {
        let file = datasets::world(&self.world)?;
        let mut world = match &self.fault {
            Some(fault) => {
                scenario::prepare(&datasets::scenario(fault)?, &file, self.seed, self.start)?.world
            }
            None => World::named(&file, self.seed, self.start, Naming::Drawn)?,
        };
        world.set_alert_mode(mode);
        Ok(world)
    }
}

/// One change that was asked for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// When, in the world.
    pub(crate) at: Timestamp,
    /// Key of the intended effect; empty where a person asked.
    pub(crate) effect_key: String,
    /// What.
    pub(crate) request: Request,
}

/// Every change that was asked for, in order, each on disk before it is applied.
pub(crate) struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

impl Journal {
    const FILE: &str = "world.jsonl";

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
    fn note(&self, at: Timestamp, request: &Request) -> std::io::Result<()> {
        let line =
            Line { at, effect_key: request.agent.effect_key.clone(), request: request.clone() };
        let mut text = serde_json::to_string(&line)?;
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
    pub(crate) fn new(inner: SimulatedCluster, journal: Journal) -> Self {
        Self { inner, journal: Arc::new(journal) }
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
                    let sent =
                        this.inner.send_after(&request, |at| this.journal.note(at, &request));
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

#[cfg(test)]
mod tests {
    use cluster::{Agent, Patch, Preconditions, Verb};
    use jiff::SignedDuration;

    use super::*;

    fn origin() -> Origin {
        Origin {
            world: "shop".into(),
            seed: 7,
            fault: Some("scaled-to-zero".into()),
            start: crate::cli::START.parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_world_rebuilt_from_its_journal_is_the_same_world() {
        let dir = tempfile::tempdir().unwrap();
        origin().keep(dir.path()).unwrap();
        let (journal, lines) = Journal::open(dir.path()).unwrap();
        assert!(lines.is_empty());
        let mut world = origin().begin(AlertMode::Internal).unwrap();
        world.advance_fully(origin().start + SignedDuration::from_mins(12));
        let world = Arc::new(Mutex::new(world));
        let cluster =
            JournaledCluster::new(SimulatedCluster::new(world.clone(), "simulated"), journal);
        let target = cluster
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
        assert!(matches!(cluster.send(&scale(Mode::DryRun)).await, Reply::Accepted(_)));
        assert!(matches!(cluster.send(&scale(Mode::Apply)).await, Reply::Accepted(_)));
        let end = origin().start + SignedDuration::from_mins(20);
        world.lock().unwrap().advance_fully(end);

        let path = dir.path().join(Journal::FILE);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"at\":");
        std::fs::write(&path, torn).unwrap();
        let (_, lines) = Journal::open(dir.path()).unwrap();
        assert_eq!(
            lines.iter().map(|line| line.effect_key.as_str()).collect::<Vec<_>>(),
            ["key-1"]
        );
        let mut again =
            Origin::load(dir.path()).unwrap().unwrap().begin(AlertMode::Internal).unwrap();
        for line in &lines {
            again.replay(line.at, &line.request);
        }
        again.advance_fully(end);
        assert_eq!(again.digest(), world.lock().unwrap().digest());
        assert_eq!(again.effects().get("key-1"), Some(&1));
    }
}
