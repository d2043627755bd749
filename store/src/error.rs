use std::path::PathBuf;

use crate::record::EntryError;

/// Error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes to this data directory.
    #[error("the data directory {} is in use by another process{}", dir.display(), holder.as_ref().map_or_else(String::new, |pid| format!(" (pid {pid})")))]
    InUse {
        dir: PathBuf,
        /// Process id of the other process, if it wrote one.
        holder: Option<String>,
    },
    /// The file has another schema version than this program.
    #[error("{} has schema version {found}; this program supports version {known}", file.display())]
    UnsupportedSchema { file: PathBuf, found: u64, known: u64 },
    /// The linked SQLite can corrupt its files.
    #[error(
        "SQLite {found} can corrupt a file that two connections use; 3.51.3 or newer is needed"
    )]
    OldSqlite { found: String },
    #[error("there is no record at {}", file.display())]
    NoRecord { file: PathBuf },
    #[error("the store was opened read-only")]
    ReadOnly,
    #[error("cannot {operation} {}", path.display())]
    File {
        /// Verb phrase that completes "cannot … PATH".
        operation: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot {operation}")]
    Database {
        /// Verb phrase that completes "cannot …".
        operation: &'static str,
        source: rusqlite::Error,
    },
    /// An earlier write failed. The state on disk is unknown, so the store accepts no more requests.
    #[error("the store stopped after a failed write: {message}")]
    Stopped { message: String },
    #[error(transparent)]
    UnreadableEntry(#[from] EntryError),
    /// A stored value is not one that this program writes.
    #[error("{location} is damaged: {message}")]
    Damaged {
        /// `record 7, column at`, `table plans, key pln_…`.
        location: String,
        message: String,
    },
    #[error("`{cursor}` is not a cursor: use the cursor of the previous page")]
    InvalidCursor { cursor: String },
}

impl StoreError {
    /// Returns how to fix it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse { .. } => {
                "stop the other process, use another --data-dir, or use a command that goes through its API"
            }
            Self::UnsupportedSchema { .. } => {
                "use the version of the program that wrote the file, or another --data-dir"
            }
            Self::OldSqlite { .. } => "build with the bundled SQLite",
            Self::NoRecord { .. } => {
                "check --data-dir; the first `serve` or `demo` with it creates the record"
            }
            Self::ReadOnly => "write through the process that has locked the data directory",
            Self::File { .. } => "check that the directory exists, is writable and has free space",
            Self::Database { .. } | Self::Stopped { .. } => {
                "check free space and the disk, then restart: everything that was acknowledged is kept; `admin verify` checks it"
            }
            Self::UnreadableEntry(_) | Self::Damaged { .. } => {
                "run `admin verify`; restore a backup if it reports a damaged record"
            }
            Self::InvalidCursor { .. } => "list again from the first page",
        }
    }

    /// Returns whether the same call may succeed later without a fix.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }
}
