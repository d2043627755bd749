use std::cmp::Ordering;
use std::collections::BTreeMap;

use rusqlite::{Connection, Rows};
use workflow::Digest;

use super::report::{IntegrityError, IntegrityReport};
use crate::error::StoreError;
use crate::projection::Table;
use crate::sqlite::{COLUMNS, StoredRow, db_error, stored_row};

/// Compares one projection with its rebuilt copy, row by row in order of key.
pub(super) fn table(
    live: &Connection,
    rebuilt: &Connection,
    table: Table,
    report: &mut IntegrityReport,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {table} ORDER BY id");
    let mut live = live.prepare(&sql).map_err(db_error("read a projection"))?;
    let mut rebuilt = rebuilt.prepare(&sql).map_err(db_error("read a projection"))?;
    let mut live = live.query([]).map_err(db_error("read a projection"))?;
    let mut rebuilt = rebuilt.query([]).map_err(db_error("read a projection"))?;
    let (mut left, mut right) = (next_row(&mut live)?, next_row(&mut rebuilt)?);
    let mut add = |key: &str, message: String| {
        report.add(IntegrityError::Row { table: table.name().into(), key: key.into(), message })
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
            (Ordering::Less, Some((columns, ..)), _) => {
                add(&columns[0], "a replay creates no such row".into())
            }
            (Ordering::Greater, _, Some((columns, ..))) => {
                add(&columns[0], "it is missing; a replay creates it".into())
            }
            (Ordering::Equal, Some(a), Some(b)) => {
                count += 1;
                let differing = differing(a, b);
                if !differing.is_empty() {
                    add(
                        &a.0[0],
                        format!(
                            "column {} differs from the result of a replay",
                            differing.join(", ")
                        ),
                    );
                }
            }
            (Ordering::Less | Ordering::Greater | Ordering::Equal, ..) => {
                unreachable!("the order determines which rows exist")
            }
        }
        if order != Ordering::Greater {
            left = next_row(&mut live)?;
        }
        if order != Ordering::Less {
            right = next_row(&mut rebuilt)?;
        }
    }
    report.rows.insert(table.name().into(), count);
    Ok(())
}

fn next_row(rows: &mut Rows<'_>) -> Result<Option<StoredRow>, StoreError> {
    let row = rows.next().map_err(db_error("read a projection"))?;
    row.map(stored_row).transpose().map_err(db_error("read a projected row"))
}

/// Returns the names of the columns in which two rows with the same key differ.
fn differing(a: &StoredRow, b: &StoredRow) -> Vec<&'static str> {
    let mut names: Vec<&str> = COLUMNS
        .split(", ")
        .zip(a.0.iter().zip(&b.0))
        .filter(|(_, (a, b))| a != b)
        .map(|(name, _)| name)
        .collect();
    names.extend((a.1 != b.1).then_some("first_seq"));
    names.extend((a.2 != b.2).then_some("last_seq"));
    names.extend((a.3 != b.3).then_some("body"));
    names
}

/// Checks the digest of every blob.
pub(super) fn blobs(
    connection: &Connection,
    report: &mut IntegrityReport,
) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare("SELECT digest, bytes FROM blobs ORDER BY digest")
        .map_err(db_error("read the blobs"))?;
    let mut rows = statement.query([]).map_err(db_error("read the blobs"))?;
    while let Some(row) = rows.next().map_err(db_error("read the blobs"))? {
        let (digest, bytes): (String, Vec<u8>) = row
            .get(0)
            .and_then(|digest| Ok((digest, row.get(1)?)))
            .map_err(db_error("read a blob"))?;
        report.blobs += 1;
        if Digest::of(&bytes).to_string() != digest {
            report.add(IntegrityError::Blob {
                digest,
                message: "its bytes have another digest".into(),
            });
        }
    }
    Ok(())
}

/// Reads the snapshots and checks their digests.
pub(super) fn snapshots(
    connection: &Connection,
    report: &mut IntegrityReport,
) -> Result<BTreeMap<String, (u64, Vec<u8>)>, StoreError> {
    let mut statement = connection
        .prepare("SELECT name, seq, digest, bytes FROM snapshots ORDER BY name")
        .map_err(db_error("read the snapshots"))?;
    let mut rows = statement.query([]).map_err(db_error("read the snapshots"))?;
    let mut snapshots = BTreeMap::new();
    while let Some(row) = rows.next().map_err(db_error("read the snapshots"))? {
        let columns: rusqlite::Result<(String, i64, String, Vec<u8>)> =
            row.get(0).and_then(|name| Ok((name, row.get(1)?, row.get(2)?, row.get(3)?)));
        let (name, seq, digest, bytes) = columns.map_err(db_error("read a snapshot"))?;
        let seq = seq as u64;
        if Digest::of(&bytes).to_string() == digest {
            snapshots.insert(name, (seq, bytes));
        } else {
            report.add(IntegrityError::Snapshot {
                name,
                seq,
                message: "its bytes have another digest".into(),
            });
        }
    }
    Ok(snapshots)
}
