use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use workflow::Digest;

use super::schema::{COLUMNS, db_error, open_read_only};
use crate::error::StoreError;
use crate::port::{ListPage, PageRequest};
use crate::projection::{Row, RowBody, Table};
use crate::record::Record;
use crate::seal::{ChainHead, parse_blob_ref};

/// Maximum number of idle connections kept open for the next query.
const MAX_IDLE_CONNECTIONS: usize = 4;

/// A pool of read-only connections.
#[derive(Debug)]
pub(super) struct ReaderPool {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl ReaderPool {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::default() }
    }

    /// Runs `query` on a connection that no other caller uses at the same time.
    pub(super) fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_read_only(&self.file)?,
        };
        let result = query(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_CONNECTIONS {
            idle.push(connection);
        }
        result
    }
}

const RECORD: &str = "SELECT seq, stream, version, kind, at, epoch, payload, salt, payload_digest, previous, digest FROM records";

/// The columns of a record as stored.
struct StoredRecord {
    seq: u64,
    stream: String,
    version: u64,
    kind: String,
    at: String,
    epoch: u64,
    payload: Option<String>,
    salt: Option<[u8; 16]>,
    digests: [String; 3],
}

fn read_record(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredRecord> {
    Ok(StoredRecord {
        seq: row.get::<_, i64>(0)? as u64,
        stream: row.get(1)?,
        version: row.get::<_, i64>(2)? as u64,
        kind: row.get(3)?,
        at: row.get(4)?,
        epoch: row.get::<_, i64>(5)? as u64,
        payload: row.get(6)?,
        salt: row.get(7)?,
        digests: [row.get(8)?, row.get(9)?, row.get(10)?],
    })
}

impl StoredRecord {
    fn record(self, connection: &Connection) -> Result<Record, StoreError> {
        let Self {
            seq,
            stream,
            version,
            kind,
            at,
            epoch,
            payload,
            salt,
            digests: [payload_digest, previous, digest],
        } = self;
        let payload = match payload {
            None => None,
            Some(column) => {
                let text = payload_text(connection, seq, column)?;
                Some(serde_json::from_str(&text).map_err(|error| damaged(seq, "payload", &error))?)
            }
        };
        Ok(Record {
            seq,
            stream,
            version,
            kind,
            at: parsed(seq, "at", &at)?,
            epoch,
            payload,
            salt,
            payload_digest: parsed(seq, "payload_digest", &payload_digest)?,
            previous: parsed(seq, "previous", &previous)?,
            digest: parsed(seq, "digest", &digest)?,
        })
    }
}

/// Returns the canonical bytes of a payload: the column itself, or the blob that the column refers to.
pub(crate) fn payload_text(
    connection: &Connection,
    seq: u64,
    column: String,
) -> Result<String, StoreError> {
    let Some(digest) = parse_blob_ref(&column) else { return Ok(column) };
    let bytes = blob(connection, &digest)?
        .ok_or_else(|| damaged(seq, "payload", &format!("its blob {digest} is missing")))?;
    String::from_utf8(bytes).map_err(|error| damaged(seq, "payload", &error))
}

fn parsed<T: FromStr>(seq: u64, column: &str, text: &str) -> Result<T, StoreError>
where
    T::Err: Display,
{
    text.parse().map_err(|error| damaged(seq, column, &error))
}

fn damaged(seq: u64, column: &str, message: &dyn Display) -> StoreError {
    StoreError::Damaged {
        location: format!("record {seq}, column {column}"),
        message: message.to_string(),
    }
}

fn select(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Record>, StoreError> {
    let read = db_error("read the record");
    let mut statement = match connection.prepare_cached(sql) {
        Ok(statement) => statement,
        Err(error) => return Err(read(error)),
    };
    let rows: rusqlite::Result<Vec<StoredRecord>> =
        statement.query_map(values, read_record).and_then(Iterator::collect);
    rows.map_err(read)?.into_iter().map(|stored| stored.record(connection)).collect()
}

pub(super) fn records(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let (after, limit) =
        (i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
    select(
        connection,
        &format!("{RECORD} WHERE seq > ?1 ORDER BY seq LIMIT ?2"),
        params![after, limit],
    )
}

pub(super) fn stream(connection: &Connection, id: &str) -> Result<Vec<Record>, StoreError> {
    select(connection, &format!("{RECORD} WHERE stream = ?1 ORDER BY version"), params![id])
}

pub(super) fn version(connection: &Connection, stream: &str) -> Result<u64, StoreError> {
    let version = connection
        .prepare_cached("SELECT coalesce(max(version), 0) FROM records WHERE stream = ?1")
        .and_then(|mut statement| statement.query_row([stream], |row| row.get::<_, i64>(0)));
    version.map(|version| version as u64).map_err(db_error("read the version of a stream"))
}

pub(super) fn head(connection: &Connection) -> Result<ChainHead, StoreError> {
    let last = connection
        .prepare_cached("SELECT seq, epoch, digest FROM records ORDER BY seq DESC LIMIT 1")
        .and_then(|mut statement| {
            statement
                .query_row([], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
                })
                .optional()
        })
        .map_err(db_error("read the last record"))?;
    let Some((seq, epoch, digest)) = last else { return Ok(ChainHead::default()) };
    Ok(ChainHead {
        seq: seq as u64,
        digest: parsed(seq as u64, "digest", &digest)?,
        epoch: epoch as u64,
    })
}

pub(super) fn blob(
    connection: &Connection,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, StoreError> {
    connection
        .prepare_cached("SELECT bytes FROM blobs WHERE digest = ?1")
        .and_then(|mut statement| {
            statement.query_row([digest.to_string()], |row| row.get(0)).optional()
        })
        .map_err(db_error("read a blob"))
}

pub(super) fn snapshot(
    connection: &Connection,
    name: &str,
) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    connection
        .prepare_cached("SELECT seq, bytes FROM snapshots WHERE name = ?1")
        .and_then(|mut statement| {
            statement
                .query_row([name], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))
                .optional()
        })
        .map_err(db_error("read a snapshot"))
}

/// The columns of a projected row as stored, in the order of [`COLUMNS`].
pub(crate) type StoredRow = ([String; 7], i64, i64, String);

pub(crate) fn stored_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredRow> {
    let texts =
        [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
    Ok((texts, row.get(7)?, row.get(8)?, row.get(9)?))
}

fn decode_row(table: Table, stored: StoredRow) -> Result<Row, StoreError> {
    let ([id, status, incident, plan, run, experiment, at], first_seq, last_seq, body) = stored;
    let damaged = |message: String| StoreError::Damaged {
        location: format!("table {table}, key {id}"),
        message,
    };
    let at = at.parse().map_err(|error: jiff::Error| damaged(error.to_string()))?;
    let body = RowBody::decode(table, &body).map_err(|error| damaged(error.to_string()))?;
    Ok(Row {
        table,
        status,
        incident,
        plan,
        run,
        experiment,
        at,
        first_seq: first_seq as u64,
        last_seq: last_seq as u64,
        body,
        id,
    })
}

pub(super) fn row(
    connection: &Connection,
    table: Table,
    id: &str,
) -> Result<Option<Row>, StoreError> {
    let stored = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM {table} WHERE id = ?1"))
        .and_then(|mut statement| statement.query_row([id], stored_row).optional())
        .map_err(db_error("read a projected row"))?;
    stored.map(|stored| decode_row(table, stored)).transpose()
}

pub(super) fn rows(
    connection: &Connection,
    table: Table,
    page: &PageRequest,
) -> Result<ListPage<Row>, StoreError> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    for (column, filter) in [
        ("status", &page.status),
        ("incident", &page.incident),
        ("plan", &page.plan),
        ("run", &page.run),
        ("experiment", &page.experiment),
    ] {
        if let Some(value) = filter {
            values.push(Sql::Text(value.clone()));
            conditions.push(format!("{column} = ?{}", values.len()));
        }
    }
    if let Some((seq, id)) = page.position()? {
        values.extend([Sql::Integer(i64::try_from(seq).unwrap_or(i64::MAX)), Sql::Text(id)]);
        conditions.push(format!("(first_seq, id) < (?{}, ?{})", values.len() - 1, values.len()));
    }
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", conditions.join(" AND "))
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM {table} {filter} ORDER BY first_seq DESC, id DESC LIMIT {}",
        page.limit() + 1
    );
    let found: rusqlite::Result<Vec<StoredRow>> =
        connection.prepare_cached(&sql).and_then(|mut statement| {
            statement.query_map(params_from_iter(values), stored_row).and_then(Iterator::collect)
        });
    let found = found.map_err(db_error("list projected rows"))?;
    let rows: Result<Vec<Row>, StoreError> =
        found.into_iter().map(|stored| decode_row(table, stored)).collect();
    Ok(ListPage::cut(rows?, page.limit()))
}

pub(super) fn back_up(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    connection
        .execute("VACUUM INTO ?1", [file.to_string_lossy()])
        .map(drop)
        .map_err(db_error("write a backup"))
}
