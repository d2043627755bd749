//! The record in SQLite: one writer thread that commits in groups, and connections that only read beside it.
//!
//! WAL with `synchronous=FULL`: what was answered is on disk. A write that fails stops the store, for after a failed
//! fsync nobody can tell what the disk holds.

mod directory;
mod reader;
mod rows;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};
use workflow::{Digest, Draft};

use crate::port::{AppendRefused, Listing, Page, Store, StoreError};
use crate::projection::{Row, Table};
use crate::record::Record;
use crate::salts::Salts;
use crate::seal::prepare;

pub(crate) use directory::DATA_FILE;
use reader::Readers;
pub(crate) use reader::{StoredRow, payload_text, stored_row};
pub(crate) use rows::{Overlay, RowsOn};
pub(crate) use schema::{COLUMNS, create_projections, on, open_read_only};
use writer::{Request, Writer};

/// How often a reader beside another process's writer looks for new records.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The record in a data directory.
#[derive(Debug)]
pub struct Sqlite {
    dir: PathBuf,
    readers: Arc<Readers>,
    /// Why the store stopped, once a write failed.
    stopped: Arc<OnceLock<String>>,
    writing: Option<Writing>,
}

/// What only the holder of the data directory has.
#[derive(Debug)]
struct Writing {
    /// Absent only while the store is being dropped.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    reached: watch::Receiver<u64>,
    /// Held as long as the thread writes.
    lock: File,
}

impl Sqlite {
    /// Opens the record in `dir` for writing and reading, and makes it where there is none. No other process can open
    /// it for writing until this value is dropped.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process holds the directory; [`StoreError::Newer`] if a newer version of the
    /// program wrote it.
    pub fn open(dir: impl Into<PathBuf>, salts: Salts) -> Result<Self, StoreError> {
        let dir = dir.into();
        schema::check_library()?;
        let lock = directory::lock(&dir)?;
        let connection = schema::open(&dir.join(DATA_FILE))?;
        let head = reader::head(&connection)?;
        let stopped = Arc::new(OnceLock::new());
        let (announce, reached) = watch::channel(head.seq);
        let (requests, received) = mpsc::channel();
        let writer = Writer::new(connection, head, salts, announce, Arc::clone(&stopped));
        let thread =
            std::thread::Builder::new().name("record".into()).spawn(move || writer.run(&received));
        let thread = thread.map_err(|source| StoreError::File {
            doing: "start a thread for",
            path: dir.clone(),
            source,
        })?;
        let readers = Arc::new(Readers::new(dir.join(DATA_FILE)));
        let writing = Writing { requests: Some(requests), thread: Some(thread), reached, lock };
        Ok(Self { dir, readers, stopped, writing: Some(writing) })
    }

    /// Opens the record in `dir` for reading only, beside whoever writes it.
    ///
    /// # Errors
    /// [`StoreError::Absent`] if there is no record; [`StoreError::Newer`] as with [`open`](Self::open).
    pub fn open_read_only(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        schema::check_library()?;
        let readers = Arc::new(Readers::new(dir.join(DATA_FILE)));
        readers.with(|_| Ok(()))?;
        Ok(Self { dir, readers, stopped: Arc::default(), writing: None })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a consistent copy of the whole record to `file`, which must not exist yet, while everything goes on.
    ///
    /// # Errors
    /// If `file` exists or cannot be written.
    pub async fn back_up(&self, file: PathBuf) -> Result<(), StoreError> {
        self.query(move |connection| reader::back_up(connection, &file)).await
    }

    /// Runs `query` on a connection of its own, off the caller's thread.
    async fn query<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.check_running()?;
        let readers = Arc::clone(&self.readers);
        let answer = tokio::task::spawn_blocking(move || readers.with(query)).await;
        answer.unwrap_or_else(|error| {
            Err(StoreError::Stopped { because: format!("a query did not end: {error}") })
        })
    }

    fn check_running(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(because) => Err(StoreError::Stopped { because: because.clone() }),
            None => Ok(()),
        }
    }

    /// Hands a request to the writer and waits for its answer.
    async fn ask<T, E: From<StoreError>>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Request,
    ) -> Result<T, E> {
        self.check_running()?;
        let (reply, answer) = oneshot::channel();
        let writing = self.writing.as_ref().ok_or(StoreError::ReadOnly)?;
        let gone = || StoreError::Stopped { because: "the writer is gone".into() };
        let requests = writing.requests.as_ref().ok_or_else(gone)?;
        let sent = requests.send(request(reply)).is_ok();
        if sent && let Ok(answer) = answer.await {
            return answer;
        }
        self.check_running()?;
        Err(gone().into())
    }
}

impl From<StoreError> for AppendRefused {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Drop for Writing {
    /// Lets the writer finish what it was asked before the lock is released.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the record had panicked");
        }
        // Not by closing it alone: a process that is being started holds a copy of it until it runs its program.
        if let Err(error) = self.lock.unlock() {
            tracing::error!(%error, "the lock on the data directory could not be released");
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn claim(&self, at: Timestamp, program: &str) -> Result<u64, StoreError> {
        let program = program.to_string();
        self.ask(|reply| Request::Claim { at, program, reply }).await
    }

    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendRefused> {
        // On the caller's thread: the writer is the one thing that cannot be had twice.
        let prepared = prepare(drafts)?;
        let blobs = blobs.into_iter().map(|bytes| (Digest::of(&bytes), bytes)).collect();
        let expect = expect.to_vec();
        self.ask(|reply| Request::Append { prepared, blobs, expect, epoch, reply }).await
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let digest = *digest;
        self.query(move |connection| reader::blob(connection, &digest)).await
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.query(move |connection| reader::records(connection, after, limit)).await
    }

    async fn stream(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        let id = id.to_string();
        self.query(move |connection| reader::stream(connection, &id)).await
    }

    async fn version(&self, stream: &str) -> Result<u64, StoreError> {
        let stream = stream.to_string();
        self.query(move |connection| reader::version(connection, &stream)).await
    }

    async fn head(&self) -> Result<u64, StoreError> {
        self.query(|connection| Ok(reader::head(connection)?.seq)).await
    }

    async fn follow(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        if let Some(writing) = &self.writing {
            let mut reached = writing.reached.clone();
            // The writer ends by itself only when the store stopped, and `read` says so.
            let _ = reached.wait_for(|seq| *seq > after).await;
            return self.read(after, limit).await;
        }
        loop {
            let records = self.read(after, limit).await?;
            if !records.is_empty() {
                return Ok(records);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn put_snapshot(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let (name, bytes) = (name.to_string(), bytes.to_vec());
        self.ask(|reply| Request::Snapshot { name, seq, bytes, reply }).await
    }

    async fn snapshot(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let name = name.to_string();
        self.query(move |connection| reader::snapshot(connection, &name)).await
    }

    async fn row(&self, table: Table, id: &str) -> Result<Option<Row>, StoreError> {
        let id = id.to_string();
        self.query(move |connection| reader::row(connection, table, &id)).await
    }

    async fn rows(&self, table: Table, page: &Page) -> Result<Listing<Row>, StoreError> {
        let page = page.clone();
        self.query(move |connection| reader::rows(connection, table, &page)).await
    }
}
