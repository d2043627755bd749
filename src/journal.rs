//! What lets a simulated world outlive the process: every change that was asked of it, and every fault that struck it.

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
use simulator::api::Call;

use crate::striker::Strike;

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
    Request {
        /// What, and whose it is.
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

impl Line {
    /// Does again what was done.
    ///
    /// # Errors
    /// Where a fault can no longer be had, for the program knows it no more.
    pub(crate) fn replay(&self, world: &mut World) -> Result<()> {
        match &self.deed {
            Deed::Request { request } => {
                world.replay(self.at, request);
            }
            Deed::Call { call } => {
                world.replay_call(self.at, call);
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

    /// Opens the journal in `dir`, its owner's alone, and gives what stands in it. A last line that was cut off by a
    /// crash was never applied, and is taken away.
    ///
    /// # Errors
    /// Where the file cannot be opened or a whole line cannot be read.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<Line>)> {
        let path = dir.join(Self::FILE);
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            let file = options.open(&path)?;
            // Secrets that somebody made through the world's door stand in it.
            file.set_permissions(Permissions::from_mode(0o600))?;
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

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
