use std::path::PathBuf;

use async_trait::async_trait;
use jiff::Timestamp;
use workflow::{Digest, Draft};

use crate::projection::{Row, Table};
use crate::record::{Record, Unreadable};

/// The record, and what is folded from it.
///
/// Written by one writer at a time: the one that holds the current epoch. Read by anyone.
#[async_trait]
pub trait Store: Send + Sync {
    /// Claims the record for a new writer and returns its epoch: the last one + 1, durable. Nothing of an older epoch
    /// is accepted from here on.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be made durable.
    async fn claim(&self, at: Timestamp, program: &str) -> Result<u64, StoreError>;

    /// Appends `drafts` in order, with `blobs` and everything that projections make of it: all, durable, or nothing.
    ///
    /// `expect` names streams and the versions that they must still have before this append. The records come back
    /// with the payload decoded from its canonical bytes: folds are fed that value, live as in replay.
    ///
    /// # Errors
    /// [`AppendRefused`], and then nothing was written.
    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendRefused>;

    /// The bytes of this digest, if they were ever appended.
    async fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` records after `after`, in order.
    async fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Every record of a stream, in order.
    async fn stream(&self, id: &str) -> Result<Vec<Record>, StoreError>;

    /// How many records a stream has: 0 if there is no such stream.
    async fn version(&self, stream: &str) -> Result<u64, StoreError>;

    /// Seq of the last record, 0 if there is none.
    async fn head(&self) -> Result<u64, StoreError>;

    /// At most `limit` records after `after`, in order; waits until there is one.
    async fn follow(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Keeps the state of the fold `name` as it is after record `seq`, in place of its last snapshot.
    async fn put_snapshot(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// The last snapshot of the fold `name`, and the record after which it was taken.
    async fn snapshot(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// One row of a projection.
    async fn row(&self, table: Table, id: &str) -> Result<Option<Row>, StoreError>;

    /// Rows of a projection, newest first.
    async fn rows(&self, table: Table, page: &Page) -> Result<Listing<Row>, StoreError>;
}

/// Which rows of a projection are wanted. Absent filters let everything through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many, 1 to 1,000.
    pub limit: usize,
    /// What [`Listing::next`] said.
    pub after: Option<String>,
    /// Only rows of this status.
    pub status: Option<String>,
    /// Only rows about this incident.
    pub incident: Option<String>,
    /// Only rows about this plan (in `exposures`: about this experiment).
    pub plan: Option<String>,
    /// Only rows about this run.
    pub run: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 100, after: None, status: None, incident: None, plan: None, run: None }
    }
}

impl Page {
    /// The most rows in one page.
    pub const MAX: usize = 1_000;

    /// The limit, brought into its range.
    pub fn limit(&self) -> usize {
        self.limit.clamp(1, Self::MAX)
    }

    /// Every row about an incident, up to the most in one page.
    pub fn of_incident(incident: &str) -> Self {
        Self { limit: Self::MAX, incident: Some(incident.into()), ..Self::default() }
    }

    /// Every row about a plan, up to the most in one page.
    pub fn of_plan(plan: &str) -> Self {
        Self { limit: Self::MAX, plan: Some(plan.into()), ..Self::default() }
    }

    /// Every row about a run, up to the most in one page.
    pub fn of_run(run: &str) -> Self {
        Self { limit: Self::MAX, run: Some(run.into()), ..Self::default() }
    }

    /// Where `after` points: seq of the record that made the row, and the row's id.
    pub(crate) fn position(&self) -> Result<Option<(u64, String)>, StoreError> {
        let Some(cursor) = &self.after else { return Ok(None) };
        let position =
            cursor.split_once('.').and_then(|(seq, id)| Some((seq.parse().ok()?, id.to_string())));
        position
            .map(Some)
            .ok_or_else(|| StoreError::BadCursor { cursor: cursor.chars().take(64).collect() })
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// What to ask for to get the next page, if there is one.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// The same page of something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Listing<U> {
        Listing { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

impl Listing<Row> {
    /// The first `limit` of `rows`, which holds one more where there is a next page.
    pub(crate) fn cut(mut rows: Vec<Row>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| format!("{}.{}", row.first_seq, row.id));
        Self { items: rows, next }
    }
}

/// Why an append was refused. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendRefused {
    /// Another writer claimed the record, or we never did.
    #[error("epoch {ours} does not hold the record: {}", match .current { 0 => "nobody claimed it yet".to_string(), n => format!("epoch {n} does") })]
    StaleEpoch {
        /// The epoch that was given.
        ours: u64,
        /// The one that holds the record, 0 if none ever did.
        current: u64,
    },
    /// A stream moved on since it was read.
    #[error(
        "stream `{stream}` is at version {found}, not {expected}: something else was recorded in it meanwhile"
    )]
    Moved {
        /// The stream.
        stream: String,
        /// The version that was named.
        expected: u64,
        /// The version that it has.
        found: u64,
    },
    /// A draft cannot be recorded.
    #[error("draft {index} of kind `{kind}` cannot be recorded: {why}")]
    Invalid {
        /// Place in the list of drafts, from 0.
        index: usize,
        /// Kind of its entry.
        kind: String,
        /// What is wrong with it.
        why: String,
    },
    /// It could not be made durable. Nothing more is accepted until the program is started again.
    #[error("the record could not be written")]
    Failed(#[source] StoreError),
}

impl AppendRefused {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::StaleEpoch { .. } => {
                "stop this writer: another one is active; a restart claims a new epoch"
            }
            Self::Moved { .. } => "read the stream again and decide anew",
            Self::Invalid { .. } => {
                "this is a defect of whoever made the draft; write big integers as text and leave non-finite numbers out"
            }
            Self::Failed(error) => error.hint(),
        }
    }
}

/// What can fail in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes in this data directory.
    #[error("the data directory {} is in use by another process{}", dir.display(), holder.as_ref().map_or_else(String::new, |pid| format!(" (pid {pid})")))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Process id of the holder, where it left one.
        holder: Option<String>,
    },
    /// The files were written by a newer version.
    #[error("{} has schema version {found}; this program knows versions up to {known}", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u64,
        /// The newest that we know.
        known: u64,
    },
    /// The SQLite that was linked can corrupt its files.
    #[error(
        "SQLite {found} can corrupt a file that two connections use; 3.51.3 or newer is needed"
    )]
    OldSqlite {
        /// The version that was linked.
        found: String,
    },
    /// There is no record here.
    #[error("there is no record at {}", file.display())]
    Absent {
        /// The file that was looked for.
        file: PathBuf,
    },
    /// It was opened for reading only.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// An operation on a file failed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An operation on the database failed.
    #[error("cannot {doing}")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        source: rusqlite::Error,
    },
    /// A write failed earlier: what is on disk is not known, so nothing more is accepted.
    #[error("the store stopped after a failed write: {because}")]
    Stopped {
        /// What failed.
        because: String,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A stored value is not what the program wrote.
    #[error("{place} is damaged: {why}")]
    Damaged {
        /// Where: `record 7, column at`, `table plans, key pln_…`.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A cursor that no listing gave.
    #[error("`{cursor}` is not a cursor: take it from the page before")]
    BadCursor {
        /// What was given.
        cursor: String,
    },
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse { .. } => {
                "stop the other process, name another --data-dir, or use a command that goes through its API"
            }
            Self::Newer { .. } => {
                "use the newer program, or restore a backup made before it was installed"
            }
            Self::OldSqlite { .. } => "build with the bundled SQLite",
            Self::Absent { .. } => {
                "check --data-dir; the first `serve` or `demo` with it creates the record"
            }
            Self::ReadOnly => "only the process that holds the data directory writes",
            Self::File { .. } => "check that the directory exists, is writable and has room",
            Self::Database { .. } | Self::Stopped { .. } => {
                "check free space and the disk, then start again: everything that was acknowledged is kept; `admin verify` checks it"
            }
            Self::Unreadable(_) | Self::Damaged { .. } => {
                "run `admin verify`; restore a backup if it finds the record damaged"
            }
            Self::BadCursor { .. } => "list again from the start",
        }
    }

    /// Whether the same call may succeed later without anything being mended.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }
}
