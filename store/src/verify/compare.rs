use std::cmp::Ordering;
use std::collections::BTreeMap;

use rusqlite::{Connection, Rows};
use workflow::Digest;

use super::report::{Flaw, Report};
use crate::port::StoreError;
use crate::projection::Table;
use crate::sqlite::{COLUMNS, StoredRow, on, stored_row};

/// Compares one projection in two files, row by row in order of key.
pub(super) fn table(
    live: &Connection,
    anew: &Connection,
    table: Table,
    report: &mut Report,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {table} ORDER BY id");
    let mut live = live.prepare(&sql).map_err(on("read a projection"))?;
    let mut anew = anew.prepare(&sql).map_err(on("read a projection"))?;
    let mut live = live.query([]).map_err(on("read a projection"))?;
    let mut anew = anew.query([]).map_err(on("read a projection"))?;
    let (mut left, mut right) = (next(&mut live)?, next(&mut anew)?);
    let mut add = |key: &str, why: String| {
        report.add(Flaw::Row { table: table.name().into(), key: key.into(), why })
    };
    let mut count = 0;
    loop {
        let order = match (&left, &right) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, ..)), Some((b, ..))) => a[0].as_bytes().cmp(b[0].as_bytes()),
        };
        match (order, &left, &right) {
            (Ordering::Less, Some((words, ..)), _) => {
                add(&words[0], "the record gives no such row".into())
            }
            (Ordering::Greater, _, Some((words, ..))) => {
                add(&words[0], "it is missing, and the record gives it".into())
            }
            (Ordering::Equal, Some(a), Some(b)) => {
                count += 1;
                let differing = differing(a, b);
                if !differing.is_empty() {
                    add(
                        &a.0[0],
                        format!("column {} is not what the record gives", differing.join(", ")),
                    );
                }
            }
            (Ordering::Less | Ordering::Greater | Ordering::Equal, ..) => {
                unreachable!("the order says which rows there are")
            }
        }
        if order != Ordering::Greater {
            left = next(&mut live)?;
        }
        if order != Ordering::Less {
            right = next(&mut anew)?;
        }
    }
    report.rows.insert(table.name().into(), count);
    Ok(())
}

fn next(rows: &mut Rows<'_>) -> Result<Option<StoredRow>, StoreError> {
    let row = rows.next().map_err(on("read a projection"))?;
    row.map(stored_row).transpose().map_err(on("read a row of a projection"))
}

/// Names of the columns in which two rows of the same key differ.
fn differing(a: &StoredRow, b: &StoredRow) -> Vec<&'static str> {
    let mut names: Vec<&str> = COLUMNS
        .split(", ")
        .zip(a.0.iter().zip(&b.0))
        .filter(|(_, (a, b))| a != b)
        .map(|(name, _)| name)
        .collect();
    names.extend((a.1 != b.1).then_some("first_seq"));
    names.extend((a.2 != b.2).then_some("last_seq"));
    names.extend((a.3 != b.3).then_some("doc"));
    names
}

/// Checks that every blob is what its digest says.
pub(super) fn blobs(connection: &Connection, report: &mut Report) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare("SELECT digest, bytes FROM blobs ORDER BY digest")
        .map_err(on("read the blobs"))?;
    let mut rows = statement.query([]).map_err(on("read the blobs"))?;
    while let Some(row) = rows.next().map_err(on("read the blobs"))? {
        let (digest, bytes): (String, Vec<u8>) =
            row.get(0).and_then(|digest| Ok((digest, row.get(1)?))).map_err(on("read a blob"))?;
        report.blobs += 1;
        if Digest::of(&bytes).to_string() != digest {
            report.add(Flaw::Blob { digest, why: "its bytes have another digest".into() });
        }
    }
    Ok(())
}

/// Reads the snapshots, and checks that each is what was kept.
pub(super) fn snapshots(
    connection: &Connection,
    report: &mut Report,
) -> Result<BTreeMap<String, (u64, Vec<u8>)>, StoreError> {
    let mut statement = connection
        .prepare("SELECT name, seq, digest, bytes FROM snapshots ORDER BY name")
        .map_err(on("read the snapshots"))?;
    let mut rows = statement.query([]).map_err(on("read the snapshots"))?;
    let mut snapshots = BTreeMap::new();
    while let Some(row) = rows.next().map_err(on("read the snapshots"))? {
        let columns: rusqlite::Result<(String, i64, String, Vec<u8>)> =
            row.get(0).and_then(|name| Ok((name, row.get(1)?, row.get(2)?, row.get(3)?)));
        let (name, seq, digest, bytes) = columns.map_err(on("read a snapshot"))?;
        let seq = seq as u64;
        if Digest::of(&bytes).to_string() == digest {
            snapshots.insert(name, (seq, bytes));
        } else {
            report.add(Flaw::Snapshot { name, seq, why: "its bytes have another digest".into() });
        }
    }
    Ok(snapshots)
}
