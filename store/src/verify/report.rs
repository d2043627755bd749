use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use workflow::Digest;

/// What [`verify`](super::verify()) found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many records there are.
    pub records: u64,
    /// Digest of the last one: whoever keeps it elsewhere can tell later that nothing before it was changed.
    pub head: Digest,
    /// The epoch that holds the record.
    pub epoch: u64,
    /// Records whose payload was erased.
    pub erased: u64,
    /// How many blobs there are.
    pub blobs: u64,
    /// Whether the record was replayed and the projections compared: only where the chain is whole and nothing erased.
    pub is_replayed: bool,
    /// Rows compared, by table.
    pub rows: BTreeMap<String, u64>,
    /// Folds that equal their snapshots.
    pub folds: Vec<String>,
    /// Snapshots that nobody gave a fold for.
    pub unchecked: Vec<String>,
    /// What is wrong, first things first, at most [`Report::MAX_FLAWS`].
    pub flaws: Vec<Flaw>,
    /// How many more flaws there are.
    pub more_flaws: u64,
}

impl Default for Report {
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
            flaws: Vec::new(),
            more_flaws: 0,
        }
    }
}

impl Report {
    /// The most flaws that are named one by one.
    pub const MAX_FLAWS: usize = 20;

    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.flaws.is_empty()
    }

    pub(super) fn add(&mut self, flaw: Flaw) {
        if self.flaws.len() < Self::MAX_FLAWS {
            self.flaws.push(flaw);
        } else {
            self.more_flaws += 1;
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "where")]
pub enum Flaw {
    /// A record is not what was written, or is missing.
    Record {
        /// Which.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A row of a projection is not what the record gives.
    Row {
        /// The projection.
        table: String,
        /// Key of the row.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A blob's bytes are not those of its digest.
    Blob {
        /// Its digest.
        digest: String,
        /// What is wrong with it.
        why: String,
    },
    /// A snapshot is not what the record gives.
    Snapshot {
        /// Name of the fold.
        name: String,
        /// The record after which it was taken, or at which the fold could not go on.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { seq, why } => write!(f, "record {seq}: {why}"),
            Self::Row { table, key, why } => write!(f, "table {table}, key {key}: {why}"),
            Self::Blob { digest, why } => write!(f, "blob {digest}: {why}"),
            Self::Snapshot { name, seq, why } => {
                write!(f, "snapshot {name} at record {seq}: {why}")
            }
        }
    }
}
