//! The record in SQLite: one writer thread with group commit, and a pool of read-only connections.
//!
//! WAL with `synchronous=FULL`: acknowledged writes are on disk. A failed write stops the store, because the state on
//! disk is unknown after a failed fsync.

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

use crate::error::StoreError;
use crate::port::{AppendError, ListPage, PageRequest, Store};
use crate::projection::{Row, Table};
use crate::record::Record;
use crate::salts::Salts;
use crate::seal::prepare;

pub(crate) use directory::DATA_FILE;
use reader::ReaderPool;
pub(crate) use reader::{StoredRow, payload_text, stored_row};
pub(crate) use rows::{CachedRows, WriteCache};
pub(crate) use schema::{COLUMNS, create_projections, db_error, open_read_only};
use writer::{WriteRequest, Writer};

/// Interval at which a read-only store polls for records written by another process.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The record in a data directory.
#[derive(Debug)]
pub struct Sqlite {
    dir: PathBuf,
    readers: Arc<ReaderPool>,
    /// The error that stopped the store. Empty until a write fails.
    stopped: Arc<OnceLock<String>>,
    writer: Option<WriterHandle>,
}

/// The writer thread and the lock on the data directory. Absent in a read-only store.
#[derive(Debug)]
struct WriterHandle {
    /// Absent only while the store is being dropped.
    requests: Option<mpsc::Sender<WriteRequest>>,
    thread: Option<JoinHandle<()>>,
    head_rx: watch::Receiver<u64>,
    /// Held until the thread ends.
    lock: File,
}

impl Sqlite {
    /// Opens the record in `dir` for reading and writing. Creates it if it does not exist. No other process can open it
    /// for writing until this value is dropped.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has locked the directory; [`StoreError::UnsupportedSchema`] if another
    /// version of the program wrote it.
    pub fn open(dir: impl Into<PathBuf>, salts: Salts) -> Result<Self, StoreError> {
        let dir = dir.into();
        schema::check_library()?;
        let lock = directory::lock(&dir)?;
        let connection = schema::open(&dir.join(DATA_FILE))?;
        let head = reader::head(&connection)?;
        let stopped = Arc::new(OnceLock::new());
        let (head_tx, head_rx) = watch::channel(head.seq);
        let (requests, received) = mpsc::channel();
        let writer = Writer::new(connection, head, salts, head_tx, Arc::clone(&stopped));
        let thread =
            std::thread::Builder::new().name("record".into()).spawn(move || writer.run(&received));
        let thread = thread.map_err(|source| StoreError::File {
            operation: "start a thread for",
            path: dir.clone(),
            source,
        })?;
        let readers = Arc::new(ReaderPool::new(dir.join(DATA_FILE)));
        let writer = WriterHandle { requests: Some(requests), thread: Some(thread), head_rx, lock };
        Ok(Self { dir, readers, stopped, writer: Some(writer) })
    }

    /// Opens the record in `dir` read-only. Another process may write to it at the same time.
    ///
    /// # Errors
    /// [`StoreError::NoRecord`] if there is no record; [`StoreError::UnsupportedSchema`] as for [`open`](Self::open).
    pub fn open_read_only(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        schema::check_library()?;
        let readers = Arc::new(ReaderPool::new(dir.join(DATA_FILE)));
        readers.with(|_| Ok(()))?;
        Ok(Self { dir, readers, stopped: Arc::default(), writer: None })
    }

    /// Returns the data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a consistent copy of the record to `file`. Reads and writes continue meanwhile.
    ///
    /// # Errors
    /// If `file` already exists or cannot be written.
    pub async fn back_up(&self, file: PathBuf) -> Result<(), StoreError> {
        self.query(move |connection| reader::back_up(connection, &file)).await
    }

    /// Runs `query` on a pooled connection in a blocking task.
    async fn query<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.check_running()?;
        let readers = Arc::clone(&self.readers);
        let result = tokio::task::spawn_blocking(move || readers.with(query)).await;
        result.unwrap_or_else(|error| {
            Err(StoreError::Stopped { message: format!("a query panicked: {error}") })
        })
    }

    fn check_running(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(message) => Err(StoreError::Stopped { message: message.clone() }),
            None => Ok(()),
        }
    }

    /// Sends a request to the writer thread and waits for the result.
    async fn send<T, E: From<StoreError>>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, E>>) -> WriteRequest,
    ) -> Result<T, E> {
        self.check_running()?;
        let (reply, result) = oneshot::channel();
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        let ended = || StoreError::Stopped { message: "the writer thread has ended".into() };
        let requests = writer.requests.as_ref().ok_or_else(ended)?;
        let sent = requests.send(request(reply)).is_ok();
        if sent && let Ok(result) = result.await {
            return result;
        }
        self.check_running()?;
        Err(ended().into())
    }
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Drop for WriterHandle {
    /// Waits until the writer has processed all pending requests, then releases the lock.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the record panicked");
        }
        // Closing the file is not enough: a child process between fork and exec still has a copy of the descriptor.
        if let Err(error) = self.lock.unlock() {
            tracing::error!(%error, "cannot release the lock on the data directory");
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn claim(&self, at: Timestamp, program: &str) -> Result<u64, StoreError> {
        let program = program.to_string();
        self.send(|reply| WriteRequest::Claim { at, program, reply }).await
    }

    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendError> {
        // Runs on the caller's thread, because the single writer thread is the bottleneck.
        let prepared = prepare(drafts)?;
        let blobs = blobs.into_iter().map(|bytes| (Digest::of(&bytes), bytes)).collect();
        let expect = expect.to_vec();
        self.send(|reply| WriteRequest::Append { prepared, blobs, expect, epoch, reply }).await
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
        if let Some(writer) = &self.writer {
            let mut head_rx = writer.head_rx.clone();
            // The sender is dropped only if the store stopped; `read` returns that error.
            let _ = head_rx.wait_for(|seq| *seq > after).await;
            return self.read(after, limit).await;
        }
        loop {
            let records = self.read(after, limit).await?;
            if !records.is_empty() {
                return Ok(records);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn put_snapshot(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let (name, bytes) = (name.to_string(), bytes.to_vec());
        self.send(|reply| WriteRequest::Snapshot { name, seq, bytes, reply }).await
    }

    async fn snapshot(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let name = name.to_string();
        self.query(move |connection| reader::snapshot(connection, &name)).await
    }

    async fn row(&self, table: Table, id: &str) -> Result<Option<Row>, StoreError> {
        let id = id.to_string();
        self.query(move |connection| reader::row(connection, table, &id)).await
    }

    async fn rows(&self, table: Table, page: &PageRequest) -> Result<ListPage<Row>, StoreError> {
        let page = page.clone();
        self.query(move |connection| reader::rows(connection, table, &page)).await
    }
}
