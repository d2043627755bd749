//! The journal of a persistent simulation: every requested change and every injected fault.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use cluster::Request;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use simulator::World;
use simulator::api::ApiCall;

use crate::injection_request::InjectionRequest;

/// One mutation of the world, with its time.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JournalEntry {
    /// Simulated time.
    pub(crate) at: Timestamp,
    #[serde(flatten)]
    pub(crate) mutation: WorldMutation,
}

/// A mutation of the world.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum WorldMutation {
    /// A change requested through the cluster port.
    Request { request: Box<Request> },
    /// A change requested through the Kubernetes API.
    Call { call: Box<ApiCall> },
    /// An injected fault.
    InjectFault { injection: InjectionRequest },
}

impl JournalEntry {
    /// Applies the mutation to `world`.
    ///
    /// # Errors
    /// If a fault cannot be injected, because this version does not have it.
    pub(crate) fn replay(&self, world: &mut World) -> Result<()> {
        match &self.mutation {
            WorldMutation::Request { request } => {
                world.replay(self.at, request);
            }
            WorldMutation::Call { call } => {
                world.replay_call(self.at, call);
            }
            WorldMutation::InjectFault { injection } => {
                world.advance_fully(self.at);
                injection.apply(world)?;
            }
        }
        Ok(())
    }
}

/// All mutations of a world in order. Each is written to disk before it is applied.
pub(crate) struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

impl Journal {
    pub(crate) const FILE: &str = "world.jsonl";

    /// Opens the journal in `dir`, readable only by its owner, and returns its entries. A last line truncated by a
    /// crash was never applied and is removed.
    ///
    /// # Errors
    /// If the file cannot be opened or a complete line cannot be parsed.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<JournalEntry>)> {
        let path = dir.join(Self::FILE);
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            let file = options.open(&path)?;
            // The file contains Secrets that were created through the Kubernetes API.
            file.set_permissions(Permissions::from_mode(0o600))?;
            File::open(dir)?.sync_all()?;
            let bytes = std::fs::read(&path)?;
            let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if complete < bytes.len() {
                tracing::warn!(path = %path.display(), "the truncated last line is removed");
                file.set_len(complete as u64)?;
                file.sync_all()?;
            }
            Ok::<_, std::io::Error>((file, bytes[..complete].to_vec()))
        };
        let (file, bytes) = open().with_context(|| format!("cannot open {}", path.display()))?;
        let mut entries: Vec<JournalEntry> = Vec::new();
        for (i, line) in
            bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate()
        {
            let line: JournalEntry = serde_json::from_slice(line)
                .with_context(|| format!("{}, line {}", path.display(), i + 1))?;
            if entries.last().is_some_and(|last| last.at > line.at) {
                bail!(
                    "{}, line {}: the time is before that of the previous line",
                    path.display(),
                    i + 1
                );
            }
            entries.push(line);
        }
        Ok((Self { file: Mutex::new(file), path }, entries))
    }

    /// Returns the path of the journal.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an entry to disk.
    pub(crate) fn append(&self, entry: &JournalEntry) -> std::io::Result<()> {
        let mut text = serde_json::to_string(entry)?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = file.metadata()?.len();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // An incomplete line would corrupt the next one.
            file.set_len(before)?;
        }
        written
    }
}
