use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use workflow::Digest;

/// Result of [`verify`](super::verify()).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrityReport {
    /// Number of records.
    pub records: u64,
    /// Digest of the last record. A copy kept elsewhere shows later that no earlier record was changed.
    pub head: Digest,
    /// The current epoch.
    pub epoch: u64,
    /// Number of records with an erased payload.
    pub erased: u64,
    pub blobs: u64,
    /// Whether the record was replayed and compared with the projections. Requires an intact chain without erased payloads.
    pub is_replayed: bool,
    /// Number of compared rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Names of the folds that equal their snapshots.
    pub folds: Vec<String>,
    /// Names of the snapshots for which no fold was given.
    pub unchecked: Vec<String>,
    /// The first errors, at most [`Self::MAX_ERRORS`].
    pub errors: Vec<IntegrityError>,
    /// Number of further errors.
    pub more_errors: u64,
}

impl Default for IntegrityReport {
    fn default() -> Self {
        Self {
            records: 0,
            head: Digest::ZERO,
            epoch: 0,
            erased: 0,
            blobs: 0,
            is_replayed: false,
            rows: BTreeMap::new(),
            folds: Vec::new(),
            unchecked: Vec::new(),
            errors: Vec::new(),
            more_errors: 0,
        }
    }
}

impl IntegrityReport {
    /// Maximum number of listed errors.
    pub const MAX_ERRORS: usize = 20;

    /// Returns whether no error was found.
    pub fn is_intact(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn add(&mut self, error: IntegrityError) {
        if self.errors.len() < Self::MAX_ERRORS {
            self.errors.push(error);
        } else {
            self.more_errors += 1;
        }
    }
}

/// One inconsistency in a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "where")]
pub enum IntegrityError {
    /// A record was changed or is missing.
    Record { seq: u64, message: String },
    /// A projected row differs from the result of a replay.
    Row { table: String, key: String, message: String },
    /// The bytes of a blob do not match its digest.
    Blob { digest: String, message: String },
    /// A snapshot differs from the result of a replay.
    Snapshot {
        name: String,
        /// The record after which the snapshot was taken, or at which the fold failed.
        seq: u64,
        message: String,
    },
}

impl fmt::Display for IntegrityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { seq, message } => write!(f, "record {seq}: {message}"),
            Self::Row { table, key, message } => write!(f, "table {table}, key {key}: {message}"),
            Self::Blob { digest, message } => write!(f, "blob {digest}: {message}"),
            Self::Snapshot { name, seq, message } => {
                write!(f, "snapshot {name} at record {seq}: {message}")
            }
        }
    }
}
