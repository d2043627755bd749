use std::collections::HashMap;
use std::sync::{Arc, OnceLock, mpsc};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::{oneshot, watch};
use workflow::Digest;

use super::reader;
use super::rows::{CachedRows, WriteCache};
use super::schema::db_error;
use crate::error::StoreError;
use crate::port::AppendError;
use crate::projection::project;
use crate::record::Record;
use crate::salts::Salts;
use crate::seal::{
    ChainHead, ChainedRecord, MAX_PAYLOAD_BYTES, PreparedDraft, blob_ref, check_epoch, claim,
};

/// Maximum number of requests in one commit.
const MAX_GROUP: usize = 512;

/// Maximum number of cached stream versions.
const MAX_VERSIONS: usize = 65_536;

/// A request to the writer thread.
pub(super) enum WriteRequest {
    Claim {
        at: Timestamp,
        program: String,
        reply: ReplySender<u64, StoreError>,
    },
    Append {
        prepared: Vec<PreparedDraft>,
        blobs: Vec<(Digest, Vec<u8>)>,
        expect: Vec<(String, u64)>,
        epoch: u64,
        reply: ReplySender<Vec<Record>, AppendError>,
    },
    Snapshot {
        name: String,
        seq: u64,
        bytes: Vec<u8>,
        reply: ReplySender<(), StoreError>,
    },
}

type ReplySender<T, E> = oneshot::Sender<Result<T, E>>;

/// A result to be sent once the transaction is committed.
enum PendingReply {
    Claimed(ReplySender<u64, StoreError>, u64),
    Appended(ReplySender<Vec<Record>, AppendError>, Result<Vec<Record>, AppendError>),
    SnapshotStored(ReplySender<(), StoreError>),
}

impl PendingReply {
    fn send(self) {
        // The caller may have dropped the receiver. The write stays committed.
        match self {
            Self::Claimed(reply, epoch) => drop(reply.send(Ok(epoch))),
            Self::Appended(reply, result) => drop(reply.send(result)),
            Self::SnapshotStored(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn fail(self, message: &str) {
        let error = StoreError::Stopped { message: message.into() };
        match self {
            Self::Claimed(reply, _) => drop(reply.send(Err(error))),
            Self::Appended(reply, _) => drop(reply.send(Err(AppendError::Failed(error)))),
            Self::SnapshotStored(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// State of the writer thread.
pub(super) struct Writer {
    connection: Connection,
    head: ChainHead,
    versions: HashMap<String, u64>,
    overlay: WriteCache,
    salts: Salts,
    head_tx: watch::Sender<u64>,
    stopped: Arc<OnceLock<String>>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        head: ChainHead,
        salts: Salts,
        head_tx: watch::Sender<u64>,
        stopped: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            connection,
            head,
            versions: HashMap::new(),
            overlay: WriteCache::default(),
            salts,
            head_tx,
            stopped,
        }
    }

    /// Processes requests until every sender is dropped or a write fails.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<WriteRequest>) {
        while let Ok(first) = requests.recv() {
            let group = std::iter::once(first).chain(requests.try_iter()).take(MAX_GROUP);
            let mut replies = Vec::new();
            match self.commit(group, &mut replies) {
                Ok(()) => {
                    self.head_tx.send_if_modified(|seq| {
                        std::mem::replace(seq, self.head.seq) != self.head.seq
                    });
                    replies.into_iter().for_each(PendingReply::send);
                }
                Err(error) => {
                    let message = workflow::text::error_chain(&error);
                    tracing::error!(
                        message,
                        "a write to the record failed; the store accepts no more requests"
                    );
                    // Set the flag before sending results, so that a caller whose request failed finds the store stopped.
                    self.stopped.get_or_init(|| message.clone());
                    replies.into_iter().for_each(|reply| reply.fail(&message));
                    return;
                }
            }
            if self.versions.len() > MAX_VERSIONS {
                self.versions.clear();
            }
        }
    }

    /// Writes a group of requests in one transaction. The results may be sent once this returns.
    ///
    /// No savepoint is needed: a request is refused before any part of it is written, and a later failure is a failed
    /// write, which stops the store.
    fn commit(
        &mut self,
        group: impl Iterator<Item = WriteRequest>,
        replies: &mut Vec<PendingReply>,
    ) -> Result<(), StoreError> {
        let begun = self
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(db_error("begin a transaction"));
        let mut failure = begun.err();
        for request in group {
            let (reply, failed) = self.perform(request, failure.is_some());
            replies.push(reply);
            failure = failure.or(failed);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.overlay.flush(&self.connection)?;
        self.connection.execute_batch("COMMIT").map_err(db_error("commit"))
    }

    /// Performs one request, unless the group has already failed.
    fn perform(
        &mut self,
        request: WriteRequest,
        has_failed: bool,
    ) -> (PendingReply, Option<StoreError>) {
        match request {
            WriteRequest::Claim { at, program, reply } => {
                let epoch = self.head.epoch + 1;
                let failed =
                    if has_failed { None } else { self.write(claim(at, epoch, &program)).err() };
                (PendingReply::Claimed(reply, epoch), failed)
            }
            WriteRequest::Append { prepared, blobs, expect, epoch, reply } => {
                if has_failed {
                    return (PendingReply::Appended(reply, Ok(Vec::new())), None);
                }
                match self.append(prepared, &blobs, &expect, epoch) {
                    Ok(records) => (PendingReply::Appended(reply, Ok(records)), None),
                    Err(AppendError::Failed(error)) => {
                        (PendingReply::Appended(reply, Ok(Vec::new())), Some(error))
                    }
                    Err(refused) => (PendingReply::Appended(reply, Err(refused)), None),
                }
            }
            WriteRequest::Snapshot { name, seq, bytes, reply } => {
                let failed =
                    if has_failed { None } else { self.put_snapshot(&name, seq, &bytes).err() };
                (PendingReply::SnapshotStored(reply), failed)
            }
        }
    }

    fn append(
        &mut self,
        prepared: Vec<PreparedDraft>,
        blobs: &[(Digest, Vec<u8>)],
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendError> {
        check_epoch(&self.head, epoch)?;
        for (stream, expected) in expect {
            let found = self.version(stream)?;
            if found != *expected {
                return Err(AppendError::VersionConflict {
                    stream: stream.clone(),
                    expected: *expected,
                    found,
                });
            }
        }
        for (digest, bytes) in blobs {
            self.put_blob(digest, bytes)?;
        }
        Ok(prepared.into_iter().map(|prepared| self.write(prepared)).collect::<Result<_, _>>()?)
    }

    fn version(&mut self, stream: &str) -> Result<u64, StoreError> {
        if let Some(version) = self.versions.get(stream) {
            return Ok(*version);
        }
        let version = reader::version(&self.connection, stream)?;
        self.versions.insert(stream.into(), version);
        Ok(version)
    }

    fn write(&mut self, prepared: PreparedDraft) -> Result<Record, StoreError> {
        let version = self.version(&prepared.stream)? + 1;
        self.versions.insert(prepared.stream.clone(), version);
        let ChainedRecord { record, text, entry } = self.head.seal(prepared, version, &self.salts);
        let column = if text.len() > MAX_PAYLOAD_BYTES {
            let digest = Digest::of(text.as_bytes());
            self.put_blob(&digest, text.as_bytes())?;
            blob_ref(&digest)
        } else {
            text
        };
        let Record {
            seq,
            stream,
            version,
            kind,
            at,
            epoch,
            payload: _,
            salt,
            payload_digest,
            previous,
            digest,
        } = &record;
        self.connection
            .prepare_cached(
                "INSERT INTO records (seq, stream, version, kind, at, epoch, payload, salt, payload_digest, previous, digest)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    *seq as i64,
                    stream,
                    *version as i64,
                    kind,
                    at.to_string(),
                    *epoch as i64,
                    column,
                    salt,
                    payload_digest.to_string(),
                    previous.to_string(),
                    digest.to_string(),
                ])
            })
            .map_err(db_error("write a record"))?;
        project(
            &entry,
            &record,
            &mut CachedRows { connection: &self.connection, cache: &mut self.overlay },
        )?;
        Ok(record)
    }

    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute(params![digest.to_string(), bytes]))
            .map(drop)
            .map_err(db_error("write a blob"))
    }

    fn put_snapshot(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO snapshots (name, seq, digest, bytes) VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut statement| statement.execute(params![name, seq as i64, Digest::of(bytes).to_string(), bytes]))
            .map(drop)
            .map_err(db_error("write a snapshot"))
    }
}
