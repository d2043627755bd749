use std::collections::HashMap;
use std::sync::{Arc, OnceLock, mpsc};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::{oneshot, watch};
use workflow::Digest;

use super::reader;
use super::rows::{Overlay, RowsOn};
use super::schema::on;
use crate::port::{AppendRefused, StoreError};
use crate::projection::project;
use crate::record::Record;
use crate::salts::Salts;
use crate::seal::{Head, MAX_PAYLOAD_BYTES, Prepared, Sealed, check_epoch, claim, claim_check};

/// Requests that are committed together, at most.
const MAX_GROUP: usize = 512;

/// Versions of streams that are kept at hand, at most.
const MAX_VERSIONS: usize = 65_536;

/// What the writer is asked.
pub(super) enum Request {
    Claim {
        at: Timestamp,
        program: String,
        reply: Reply<u64, StoreError>,
    },
    Append {
        prepared: Vec<Prepared>,
        blobs: Vec<(Digest, Vec<u8>)>,
        expect: Vec<(String, u64)>,
        epoch: u64,
        reply: Reply<Vec<Record>, AppendRefused>,
    },
    Snapshot {
        name: String,
        seq: u64,
        bytes: Vec<u8>,
        reply: Reply<(), StoreError>,
    },
}

type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// An answer that waits for the commit.
enum Answer {
    Claimed(Reply<u64, StoreError>, u64),
    Appended(Reply<Vec<Record>, AppendRefused>, Result<Vec<Record>, AppendRefused>),
    Kept(Reply<(), StoreError>),
}

impl Answer {
    fn send(self) {
        // Whoever asked may have gone away; what was written stays written.
        match self {
            Self::Claimed(reply, epoch) => drop(reply.send(Ok(epoch))),
            Self::Appended(reply, answer) => drop(reply.send(answer)),
            Self::Kept(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn fail(self, because: &str) {
        let error = StoreError::Stopped { because: because.into() };
        match self {
            Self::Claimed(reply, _) => drop(reply.send(Err(error))),
            Self::Appended(reply, _) => drop(reply.send(Err(AppendRefused::Failed(error)))),
            Self::Kept(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// The one thread that writes.
pub(super) struct Writer {
    connection: Connection,
    head: Head,
    versions: HashMap<String, u64>,
    overlay: Overlay,
    salts: Salts,
    reached: watch::Sender<u64>,
    stopped: Arc<OnceLock<String>>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        head: Head,
        salts: Salts,
        reached: watch::Sender<u64>,
        stopped: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            connection,
            head,
            versions: HashMap::new(),
            overlay: Overlay::default(),
            salts,
            reached,
            stopped,
        }
    }

    /// Answers requests until nobody can ask any more, or a write has failed.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let group = std::iter::once(first).chain(requests.try_iter()).take(MAX_GROUP);
            let mut answers = Vec::new();
            match self.commit(group, &mut answers) {
                Ok(()) => {
                    self.reached.send_if_modified(|seq| {
                        std::mem::replace(seq, self.head.seq) != self.head.seq
                    });
                    answers.into_iter().for_each(Answer::send);
                }
                Err(error) => {
                    let because = chain(&error);
                    tracing::error!(
                        because,
                        "a write to the record failed; nothing more is accepted"
                    );
                    // First the flag, then the answers: who is refused finds the store stopped.
                    self.stopped.get_or_init(|| because.clone());
                    answers.into_iter().for_each(|answer| answer.fail(&because));
                    return;
                }
            }
            if self.versions.len() > MAX_VERSIONS {
                self.versions.clear();
            }
        }
    }

    /// Writes a group of requests in one transaction. Answers are due once this returns.
    ///
    /// A request that is refused is refused before anything of it is written, so that no savepoint is needed: what
    /// fails after that is a failed write, and stops the store.
    fn commit(
        &mut self,
        group: impl Iterator<Item = Request>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), StoreError> {
        let begun =
            self.connection.execute_batch("BEGIN IMMEDIATE").map_err(on("begin a transaction"));
        let mut failure = begun.err();
        for request in group {
            let (answer, failed) = self.perform(request, failure.is_some());
            answers.push(answer);
            failure = failure.or(failed);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.overlay.flush(&self.connection)?;
        self.connection.execute_batch("COMMIT").map_err(on("commit"))
    }

    /// Writes what one request asks, unless the group has failed already.
    fn perform(&mut self, request: Request, has_failed: bool) -> (Answer, Option<StoreError>) {
        match request {
            Request::Claim { at, program, reply } => {
                let epoch = self.head.epoch + 1;
                let failed =
                    if has_failed { None } else { self.write(claim(at, epoch, &program)).err() };
                (Answer::Claimed(reply, epoch), failed)
            }
            Request::Append { prepared, blobs, expect, epoch, reply } => {
                if has_failed {
                    return (Answer::Appended(reply, Ok(Vec::new())), None);
                }
                match self.append(prepared, &blobs, &expect, epoch) {
                    Ok(records) => (Answer::Appended(reply, Ok(records)), None),
                    Err(AppendRefused::Failed(error)) => {
                        (Answer::Appended(reply, Ok(Vec::new())), Some(error))
                    }
                    Err(refused) => (Answer::Appended(reply, Err(refused)), None),
                }
            }
            Request::Snapshot { name, seq, bytes, reply } => {
                let failed = if has_failed { None } else { self.keep(&name, seq, &bytes).err() };
                (Answer::Kept(reply), failed)
            }
        }
    }

    fn append(
        &mut self,
        prepared: Vec<Prepared>,
        blobs: &[(Digest, Vec<u8>)],
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendRefused> {
        check_epoch(&self.head, epoch)?;
        for (stream, expected) in expect {
            let found = self.version(stream)?;
            if found != *expected {
                return Err(AppendRefused::Moved {
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

    fn write(&mut self, prepared: Prepared) -> Result<Record, StoreError> {
        let version = self.version(&prepared.stream)? + 1;
        self.versions.insert(prepared.stream.clone(), version);
        let Sealed { record, text, entry } = self.head.seal(prepared, version, &self.salts);
        let column = if text.len() > MAX_PAYLOAD_BYTES {
            let digest = Digest::of(text.as_bytes());
            self.put_blob(&digest, text.as_bytes())?;
            claim_check(&digest)
        } else {
            text
        };
        let Record {
            seq,
            stream,
            version,
            tenant,
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
                "INSERT INTO records (seq, stream, version, tenant, kind, at, epoch, payload, salt, payload_digest, previous, digest)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    *seq as i64,
                    stream,
                    *version as i64,
                    tenant,
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
            .map_err(on("write a record"))?;
        project(
            &entry,
            &record,
            &mut RowsOn { connection: &self.connection, overlay: &mut self.overlay },
        )?;
        Ok(record)
    }

    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute(params![digest.to_string(), bytes]))
            .map(drop)
            .map_err(on("write a blob"))
    }

    fn keep(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO snapshots (name, seq, digest, bytes) VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut statement| statement.execute(params![name, seq as i64, Digest::of(bytes).to_string(), bytes]))
            .map(drop)
            .map_err(on("write a snapshot"))
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
