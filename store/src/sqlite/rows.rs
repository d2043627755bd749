use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::reader;
use super::schema::{COLUMNS, on};
use crate::port::StoreError;
use crate::projection::{Row, Rows, Table};

/// Rows kept at hand between commits, at most.
const MAX_ROWS: usize = 4_096;

/// Rows that are being changed, or were of late: decoded once, and written once a commit however often they change.
#[derive(Default)]
pub(crate) struct Overlay {
    rows: HashMap<(Table, String), (Row, Written)>,
    /// Keys of rows that differ from the file.
    changed: Vec<(Table, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Written {
    Yes,
    No,
}

/// The rows in a data file, seen through an overlay.
pub(crate) struct RowsOn<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) overlay: &'a mut Overlay,
}

impl Rows for RowsOn<'_> {
    fn get(&mut self, table: Table, id: &str) -> Result<Option<&mut Row>, StoreError> {
        let key = (table, id.to_string());
        if !self.overlay.rows.contains_key(&key) {
            let Some(row) = reader::row(self.connection, table, id)? else { return Ok(None) };
            self.overlay.rows.insert(key.clone(), (row, Written::Yes));
        }
        let (row, written) =
            self.overlay.rows.get_mut(&key).expect("it was there, or was just put there");
        // Whoever gets a row may change it; one that is written again unchanged does no harm.
        if *written == Written::Yes {
            *written = Written::No;
            self.overlay.changed.push(key);
        }
        Ok(Some(row))
    }

    fn put(&mut self, row: Row) -> Result<(), StoreError> {
        let key = (row.table, row.id.clone());
        self.overlay.changed.push(key.clone());
        self.overlay.rows.insert(key, (row, Written::No));
        Ok(())
    }
}

impl Overlay {
    /// Writes every row that was changed, within the transaction that is open on `connection`.
    pub(crate) fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for key in self.changed.drain(..) {
            let (row, written) =
                self.rows.get_mut(&key).expect("what was changed is in the overlay");
            *written = Written::Yes;
            write(connection, row)?;
            if !key.0.is_folded() {
                self.rows.remove(&key);
            }
        }
        if self.rows.len() > MAX_ROWS {
            self.rows.clear();
        }
        Ok(())
    }
}

fn write(connection: &Connection, row: &Row) -> Result<(), StoreError> {
    let Row { table, id, tenant, status, incident, plan, run, at, first_seq, last_seq, doc } = row;
    let sql = format!(
        "INSERT INTO {table} ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET tenant = ?2, status = ?3, incident = ?4, plan = ?5, run = ?6, at = ?7,
             first_seq = ?8, last_seq = ?9, doc = ?10"
    );
    let (at, first_seq, last_seq) = (at.to_string(), *first_seq as i64, *last_seq as i64);
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.execute(params![
                id,
                tenant,
                status,
                incident,
                plan,
                run,
                at,
                first_seq,
                last_seq,
                doc.encode()
            ])
        })
        .map(drop)
        .map_err(on("write a row of a projection"))
}
