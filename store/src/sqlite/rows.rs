use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::reader;
use super::schema::{COLUMNS, db_error};
use crate::error::StoreError;
use crate::projection::{Row, Rows, Table};

/// Maximum number of rows kept in the cache between commits.
const MAX_ROWS: usize = 4_096;

/// Write-back cache of recently used rows. Each row is decoded once and written once per commit, however often it changes.
#[derive(Default)]
pub(crate) struct WriteCache {
    rows: HashMap<(Table, String), CachedRow>,
    /// Keys of rows that differ from the file.
    changed: Vec<(Table, String)>,
}

struct CachedRow {
    row: Row,
    /// Whether the row differs from the file. Its key is then in `changed`.
    is_dirty: bool,
}

/// The rows of a data file, accessed through the cache.
pub(crate) struct CachedRows<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) cache: &'a mut WriteCache,
}

impl Rows for CachedRows<'_> {
    fn get(&mut self, table: Table, id: &str) -> Result<Option<&mut Row>, StoreError> {
        let key = (table, id.to_string());
        if !self.cache.rows.contains_key(&key) {
            let Some(row) = reader::row(self.connection, table, id)? else { return Ok(None) };
            self.cache.rows.insert(key.clone(), CachedRow { row, is_dirty: false });
        }
        let cached =
            self.cache.rows.get_mut(&key).expect("the row was cached, or was inserted just above");
        // The caller may change the row. Writing back an unchanged row is harmless.
        if !cached.is_dirty {
            cached.is_dirty = true;
            self.cache.changed.push(key);
        }
        Ok(Some(&mut cached.row))
    }

    fn put(&mut self, row: Row) -> Result<(), StoreError> {
        let key = (row.table, row.id.clone());
        self.cache.changed.push(key.clone());
        self.cache.rows.insert(key, CachedRow { row, is_dirty: true });
        Ok(())
    }
}

impl WriteCache {
    /// Writes every changed row within the open transaction of `connection`.
    pub(crate) fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for key in self.changed.drain(..) {
            let cached = self.rows.get_mut(&key).expect("every changed row is in the cache");
            cached.is_dirty = false;
            write(connection, &cached.row)?;
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
    let Row { table, id, status, incident, plan, run, experiment, at, first_seq, last_seq, body } =
        row;
    let sql = format!(
        "INSERT INTO {table} ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET status = ?2, incident = ?3, plan = ?4, run = ?5,
             experiment = ?6, at = ?7, first_seq = ?8, last_seq = ?9, body = ?10"
    );
    let (at, first_seq, last_seq) = (at.to_string(), *first_seq as i64, *last_seq as i64);
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.execute(params![
                id,
                status,
                incident,
                plan,
                run,
                experiment,
                at,
                first_seq,
                last_seq,
                body.encode()
            ])
        })
        .map(drop)
        .map_err(db_error("write a projected row"))
}
