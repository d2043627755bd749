use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::directory::make_private;
use crate::error::StoreError;
use crate::projection::Table;

/// Version of the tables below and of the entries in them. Every change of either needs a new version; a new entry does not.
const SCHEMA_VERSION: u64 = 3;

/// Older versions of SQLite can corrupt a WAL database that two connections use.
const MIN_SQLITE_VERSION: i32 = 3_051_003;

/// The tables that are not derived from the record.
const RECORD_TABLES: &str = "
CREATE TABLE schema (version INTEGER NOT NULL) STRICT;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    payload TEXT,
    salt BLOB,
    payload_digest TEXT NOT NULL,
    previous TEXT NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (stream, version)
) STRICT;
CREATE TABLE blobs (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE snapshots (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
";

/// Columns of every projection, in the order used by all statements.
pub(crate) const COLUMNS: &str =
    "id, status, incident, plan, run, experiment, at, first_seq, last_seq, body";

/// Checks that the linked SQLite is recent enough not to corrupt its files.
pub(super) fn check_library() -> Result<(), StoreError> {
    if rusqlite::version_number() >= MIN_SQLITE_VERSION {
        Ok(())
    } else {
        Err(StoreError::OldSqlite { found: rusqlite::version().into() })
    }
}

/// Opens the data file for writing. Creates the tables if they do not exist.
pub(super) fn open(file: &Path) -> Result<Connection, StoreError> {
    make_private(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(file, flags).map_err(db_error("open the data file"))?;
    let set = connection.execute_batch(
        // With the default of 1,000 pages, about one commit in a hundred would wait for the fsync of a checkpoint.
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
         PRAGMA cache_size = -16000; PRAGMA busy_timeout = 5000;",
    );
    set.map_err(db_error("set up the data file"))?;
    connection.set_prepared_statement_cache_capacity(128);
    if version(&connection)?.is_none() {
        let created = connection.transaction().and_then(|transaction| {
            transaction.execute_batch(RECORD_TABLES)?;
            transaction
                .execute("INSERT INTO schema (version) VALUES (?1)", [SCHEMA_VERSION as i64])?;
            create_projections(&transaction)?;
            transaction.commit()
        });
        created.map_err(db_error("create the tables"))?;
    }
    check_version(&connection, file)?;
    Ok(connection)
}

/// Opens the data file read-only.
pub(crate) fn open_read_only(file: &Path) -> Result<Connection, StoreError> {
    if !file.exists() {
        return Err(StoreError::NoRecord { file: file.into() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(file, flags).map_err(db_error("open the data file"))?;
    connection
        .execute_batch("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -4000;")
        .map_err(db_error("set up the data file"))?;
    connection.set_prepared_statement_cache_capacity(64);
    if version(&connection)?.is_none() {
        return Err(StoreError::NoRecord { file: file.into() });
    }
    check_version(&connection, file)?;
    Ok(connection)
}

/// Creates the tables of all projections.
pub(crate) fn create_projections(connection: &Connection) -> rusqlite::Result<()> {
    for table in Table::ALL {
        connection.execute_batch(&format!(
            "CREATE TABLE {table} (
                id TEXT PRIMARY KEY,
                status TEXT NOT NULL,
                incident TEXT NOT NULL,
                plan TEXT NOT NULL,
                run TEXT NOT NULL,
                experiment TEXT NOT NULL,
                at TEXT NOT NULL,
                first_seq INTEGER NOT NULL,
                last_seq INTEGER NOT NULL,
                body TEXT NOT NULL
            ) STRICT;
            CREATE INDEX {table}_by_seq ON {table} (first_seq, id);
            CREATE INDEX {table}_by_incident ON {table} (incident, first_seq, id);"
        ))?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let exists: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema')",
            [],
            |row| row.get(0),
        )
        .map_err(db_error("read the data file"))?;
    if !exists {
        return Ok(None);
    }
    let version: Option<i64> = connection
        .query_row("SELECT version FROM schema", [], |row| row.get(0))
        .optional()
        .map_err(db_error("read the schema version"))?;
    Ok(version.map(|version| version as u64))
}

fn check_version(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    match version(connection)? {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(found) => {
            Err(StoreError::UnsupportedSchema { file: file.into(), found, known: SCHEMA_VERSION })
        }
        None => Err(StoreError::Damaged {
            location: "table schema".into(),
            message: "it contains no version".into(),
        }),
    }
}

/// Returns a function that wraps a database error. `operation` completes the message "cannot …".
pub(crate) fn db_error(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| StoreError::Database { operation, source }
}
