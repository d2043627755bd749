//! Checks a data directory: the chain, and that everything folded from the record is what a replay gives.

mod chain;
mod compare;
mod report;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use crate::port::StoreError;
use crate::projection::{Table, project};
use crate::record::Record;
use crate::sqlite::{DATA_FILE, Overlay, RowsOn, create_projections, on, open_read_only};

pub use report::{Flaw, Report};

use chain::Chain;

/// Records after which the rows of the second file are written.
const FLUSH_EVERY: u64 = 512;

/// A state that is folded from the record outside the store: the states of runs, the learner's.
///
/// Its owner keeps it with [`Store::put_snapshot`](crate::Store::put_snapshot) under `name`; [`verify`] folds it anew
/// and compares bit for bit.
pub trait Fold {
    /// Name of its snapshot.
    fn name(&self) -> &str;

    /// Folds one record, in order of seq.
    ///
    /// # Errors
    /// In a sentence, where the record cannot be folded.
    fn apply(&mut self, record: &Record) -> Result<(), String>;

    /// The state as bytes: the same state gives the same bytes.
    fn bytes(&self) -> Vec<u8>;
}

/// Checks the record in `dir`, which may be in use meanwhile: gaps, digests, epochs and versions of the chain, blobs;
/// then replays it into a second file and compares that with the projections row by row, and `folds` with their
/// snapshots bit for bit.
///
/// What is found to be wrong stands in the report; where the chain is broken, nothing is replayed.
///
/// # Errors
/// If the files cannot be read at all.
pub fn verify(dir: &Path, folds: &mut [Box<dyn Fold>]) -> Result<Report, StoreError> {
    let connection = open_read_only(&dir.join(DATA_FILE))?;
    // One transaction: everything below sees the same moment, whatever is written meanwhile.
    connection.execute_batch("BEGIN").map_err(on("begin a transaction"))?;
    let mut report = Report::default();
    let mut replay = Replay::new(&connection, folds, &mut report)?;
    let mut chain = Chain::default();
    chain.walk(&connection, &mut report, |record, entry, report| {
        replay.apply(record, entry, report)
    })?;
    replay.finish(&connection, &mut report)?;
    compare::blobs(&connection, &mut report)?;
    Ok(report)
}

/// What is folded anew.
struct Replay<'a> {
    /// The second file: SQLite makes it in its temporary folder and removes it.
    second: Connection,
    overlay: Overlay,
    folds: &'a mut [Box<dyn Fold>],
    /// Live snapshots by name.
    snapshots: BTreeMap<String, (u64, Vec<u8>)>,
    /// Names of folds that could not go on.
    failed: Vec<String>,
    last: u64,
}

impl<'a> Replay<'a> {
    fn new(
        connection: &Connection,
        folds: &'a mut [Box<dyn Fold>],
        report: &mut Report,
    ) -> Result<Self, StoreError> {
        let second = Connection::open("").map_err(on("make a second file"))?;
        second
            .execute_batch("PRAGMA synchronous = OFF; BEGIN")
            .and_then(|()| create_projections(&second))
            .map_err(on("make the tables of a second file"))?;
        let snapshots = compare::snapshots(connection, report)?;
        let mut replay = Self {
            second,
            overlay: Overlay::default(),
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
        report: &mut Report,
    ) -> Result<(), StoreError> {
        self.last = record.seq;
        let mut rows = RowsOn { connection: &self.second, overlay: &mut self.overlay };
        project(entry, record, &mut rows)?;
        if record.seq.is_multiple_of(FLUSH_EVERY) {
            self.overlay.flush(&self.second)?;
        }
        for fold in self.folds.iter_mut() {
            let name = fold.name();
            if self.failed.iter().any(|failed| failed == name) {
                continue;
            }
            if let Err(why) = fold.apply(record) {
                report.add(Flaw::Snapshot { name: fold.name().into(), seq: record.seq, why });
                self.failed.push(fold.name().into());
            }
        }
        self.compare_folds(record.seq, report);
        Ok(())
    }

    /// Compares the folds whose snapshot was taken after record `seq`.
    fn compare_folds(&mut self, seq: u64, report: &mut Report) {
        for fold in self.folds.iter() {
            let name = fold.name();
            match self.snapshots.get(name) {
                Some((at, _)) if *at != seq => {}
                Some(_) if self.failed.iter().any(|failed| failed == name) => {}
                Some((_, live)) if *live == fold.bytes() => report.folds.push(name.into()),
                Some(_) => {
                    let why = "the state folded anew differs from the live one".into();
                    report.add(Flaw::Snapshot { name: name.into(), seq, why });
                }
                None => {}
            }
        }
    }

    fn finish(mut self, connection: &Connection, report: &mut Report) -> Result<(), StoreError> {
        for (name, (seq, _)) in &self.snapshots {
            if *seq > report.records {
                let why = format!("it was taken after the last record, {}", report.records);
                report.add(Flaw::Snapshot { name: name.clone(), seq: *seq, why });
            } else if !self.folds.iter().any(|fold| fold.name() == name) {
                report.unchecked.push(name.clone());
            }
        }
        report.is_replayed = self.last == report.records;
        if !report.is_replayed {
            return Ok(());
        }
        self.overlay.flush(&self.second)?;
        for table in Table::ALL {
            compare::table(connection, &self.second, table, report)?;
        }
        Ok(())
    }
}
