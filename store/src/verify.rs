//! Verifies a data directory: the chain, and that projections and snapshots equal the result of a replay.

mod chain;
mod compare;
mod report;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::projection::{Table, project};
use crate::record::Record;
use crate::sqlite::{
    CachedRows, DATA_FILE, WriteCache, create_projections, db_error, open_read_only,
};

pub use report::{IntegrityError, IntegrityReport};

use chain::ChainVerifier;

/// Number of records between flushes of the rebuilt rows.
const FLUSH_INTERVAL: u64 = 512;

/// A state folded from the record outside the store, such as the states of runs or of the learner.
///
/// Its owner stores it with [`Store::put_snapshot`](crate::Store::put_snapshot) under `name`; [`verify`] folds it
/// again and compares the bytes.
pub trait VerifiedFold {
    /// Returns the name of the snapshot.
    fn name(&self) -> &str;

    /// Folds one record. Called in order of `seq`.
    ///
    /// # Errors
    /// A message, if the record cannot be folded.
    fn apply(&mut self, record: &Record) -> Result<(), String>;

    /// Serializes the state deterministically.
    fn bytes(&self) -> Vec<u8>;
}

/// Verifies the record in `dir`, which may be in use at the same time: gaps, digests, epochs and versions of the chain,
/// and blobs. Then replays the record into a temporary file and compares it with the projections row by row, and `folds`
/// with their snapshots byte by byte.
///
/// The report lists what is wrong. If the chain is broken, nothing is replayed after the break.
///
/// # Errors
/// If the files cannot be read.
pub fn verify(
    dir: &Path,
    folds: &mut [Box<dyn VerifiedFold>],
) -> Result<IntegrityReport, StoreError> {
    let connection = open_read_only(&dir.join(DATA_FILE))?;
    // One transaction, so that all checks see the same snapshot while another process writes.
    connection.execute_batch("BEGIN").map_err(db_error("begin a transaction"))?;
    let mut report = IntegrityReport::default();
    let mut replay = Replay::new(&connection, folds, &mut report)?;
    let mut chain = ChainVerifier::default();
    chain.walk(&connection, &mut report, |record, entry, report| {
        replay.apply(record, entry, report)
    })?;
    replay.finish(&connection, &mut report)?;
    compare::blobs(&connection, &mut report)?;
    Ok(report)
}

/// A replay of the record.
struct Replay<'a> {
    /// The rebuilt projections. SQLite creates the file in its temporary folder and removes it.
    rebuilt: Connection,
    cache: WriteCache,
    folds: &'a mut [Box<dyn VerifiedFold>],
    /// Stored snapshots by name.
    snapshots: BTreeMap<String, (u64, Vec<u8>)>,
    /// Names of folds that failed.
    failed: Vec<String>,
    last: u64,
}

impl<'a> Replay<'a> {
    fn new(
        connection: &Connection,
        folds: &'a mut [Box<dyn VerifiedFold>],
        report: &mut IntegrityReport,
    ) -> Result<Self, StoreError> {
        let rebuilt = Connection::open("").map_err(db_error("create a temporary file"))?;
        rebuilt
            .execute_batch("PRAGMA synchronous = OFF; BEGIN")
            .and_then(|()| create_projections(&rebuilt))
            .map_err(db_error("create the tables of a temporary file"))?;
        let snapshots = compare::snapshots(connection, report)?;
        let mut replay = Self {
            rebuilt,
            cache: WriteCache::default(),
            folds,
            snapshots,
            failed: Vec::new(),
            last: 0,
        };
        replay.compare_folds(0, report);
        Ok(replay)
    }

    fn apply(
        &mut self,
        record: &Record,
        entry: &workflow::Entry,
        report: &mut IntegrityReport,
    ) -> Result<(), StoreError> {
        self.last = record.seq;
        let mut rows = CachedRows { connection: &self.rebuilt, cache: &mut self.cache };
        project(entry, record, &mut rows)?;
        if record.seq.is_multiple_of(FLUSH_INTERVAL) {
            self.cache.flush(&self.rebuilt)?;
        }
        for fold in self.folds.iter_mut() {
            let name = fold.name();
            if self.failed.iter().any(|failed| failed == name) {
                continue;
            }
            if let Err(message) = fold.apply(record) {
                report.add(IntegrityError::Snapshot {
                    name: fold.name().into(),
                    seq: record.seq,
                    message,
                });
                self.failed.push(fold.name().into());
            }
        }
        self.compare_folds(record.seq, report);
        Ok(())
    }

    /// Compares the folds that have a snapshot taken after record `seq`.
    fn compare_folds(&mut self, seq: u64, report: &mut IntegrityReport) {
        for fold in self.folds.iter() {
            let name = fold.name();
            match self.snapshots.get(name) {
                Some((at, _)) if *at != seq => {}
                Some(_) if self.failed.iter().any(|failed| failed == name) => {}
                Some((_, live)) if *live == fold.bytes() => report.folds.push(name.into()),
                Some(_) => {
                    let message = "the replayed state differs from the snapshot".into();
                    report.add(IntegrityError::Snapshot { name: name.into(), seq, message });
                }
                None => {}
            }
        }
    }

    fn finish(
        mut self,
        connection: &Connection,
        report: &mut IntegrityReport,
    ) -> Result<(), StoreError> {
        for (name, (seq, _)) in &self.snapshots {
            if *seq > report.records {
                let message = format!("it was taken after the last record, {}", report.records);
                report.add(IntegrityError::Snapshot { name: name.clone(), seq: *seq, message });
            } else if !self.folds.iter().any(|fold| fold.name() == name) {
                report.unchecked.push(name.clone());
            }
        }
        report.is_replayed = self.last == report.records;
        if !report.is_replayed {
            return Ok(());
        }
        self.cache.flush(&self.rebuilt)?;
        for table in Table::ALL {
            compare::table(connection, &self.rebuilt, table, report)?;
        }
        Ok(())
    }
}
