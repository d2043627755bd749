use std::collections::HashMap;

use rusqlite::Connection;
use workflow::{Digest, Entry, canonical_json};

use super::report::{IntegrityError, IntegrityReport};
use crate::error::StoreError;
use crate::record::{ChainedColumns, Record, digest_of_columns, payload_digest};
use crate::sqlite::{db_error, payload_text};

/// State of the chain after the records checked so far.
pub(super) struct ChainVerifier {
    seq: u64,
    digest: String,
    epoch: u64,
    versions: HashMap<String, u64>,
}

impl Default for ChainVerifier {
    fn default() -> Self {
        Self { seq: 0, digest: Digest::ZERO.to_string(), epoch: 0, versions: HashMap::new() }
    }
}

/// The columns of a record as stored.
struct RawRecord {
    stream: String,
    version: u64,
    kind: String,
    at: String,
    epoch: u64,
    payload: Option<String>,
    salt: Option<[u8; 16]>,
    payload_digest: String,
    previous: String,
    digest: String,
}

impl ChainVerifier {
    /// Checks every record in order. Calls `next` with each record until the first one that is damaged or erased.
    pub(super) fn walk(
        &mut self,
        connection: &Connection,
        report: &mut IntegrityReport,
        mut next: impl FnMut(&Record, &Entry, &mut IntegrityReport) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = connection
            .prepare(
                "SELECT seq, stream, version, kind, at, epoch, payload, salt, payload_digest, previous, digest
                 FROM records ORDER BY seq",
            )
            .map_err(db_error("read the record"))?;
        let mut rows = statement.query([]).map_err(db_error("read the record"))?;
        let mut is_whole = true;
        while let Some(row) = rows.next().map_err(db_error("read the record"))? {
            let seq = row.get::<_, i64>(0).map_err(db_error("read the record"))? as u64;
            if seq != self.seq + 1 {
                let missing = self.seq + 1;
                report.add(IntegrityError::Record {
                    seq: missing,
                    message: format!("it is missing: record {seq} follows record {}", self.seq),
                });
                is_whole = false;
            }
            match read_raw(row)
                .map_err(|error| error.to_string())
                .and_then(|raw| self.check(connection, seq, raw))
            {
                Ok(CheckedRecord::Whole(record, entry)) if is_whole => {
                    next(&record, &entry, report)?
                }
                Ok(CheckedRecord::Whole(..)) => {}
                Ok(CheckedRecord::Erased) => {
                    report.erased += 1;
                    is_whole = false;
                }
                Err(message) => {
                    report.add(IntegrityError::Record { seq, message });
                    is_whole = false;
                }
            }
            self.seq = seq;
            // The digest as stored, even if it is wrong: one changed byte is one error, not one in every later record.
            self.digest = row.get(10).unwrap_or_default();
            report.records = seq;
        }
        report.epoch = self.epoch;
        report.head = self.digest.parse().unwrap_or(Digest::ZERO);
        Ok(())
    }

    fn check(
        &mut self,
        connection: &Connection,
        seq: u64,
        raw: RawRecord,
    ) -> Result<CheckedRecord, String> {
        let RawRecord {
            stream,
            version,
            kind,
            at,
            epoch,
            payload,
            salt,
            payload_digest: salted,
            previous,
            digest,
        } = raw;
        let expected = self.versions.get(&stream).copied().unwrap_or(0) + 1;
        self.versions.insert(stream.clone(), version);
        let last_epoch = std::mem::replace(&mut self.epoch, epoch);
        if previous != self.digest {
            return Err("column previous is not the digest of the previous record".into());
        }
        let columns = ChainedColumns {
            seq,
            stream: &stream,
            version,
            kind: &kind,
            at: &at,
            epoch,
            payload_digest: &salted,
            previous: &previous,
        };
        if digest != digest_of_columns(&columns).to_string() {
            return Err(
                "column digest does not match the other columns: one of them was changed".into()
            );
        }
        if version != expected {
            return Err(format!(
                "it has version {version} of stream `{stream}`, expected {expected}"
            ));
        }
        let claims = kind == "EpochClaimed";
        if epoch != last_epoch + u64::from(claims) {
            return Err(format!("it was written in epoch {epoch} after epoch {last_epoch}"));
        }
        let (column, salt) = match (payload, salt) {
            (Some(payload), Some(salt)) => (payload, salt),
            (None, None) => return Ok(CheckedRecord::Erased),
            (Some(_), None) => return Err("it has a payload but no salt".into()),
            (None, Some(_)) => return Err("it has a salt but no payload".into()),
        };
        let text = payload_text(connection, seq, column).map_err(|error| error.to_string())?;
        if salted != payload_digest(&salt, &text).to_string() {
            return Err(
                "column payload_digest does not match payload and salt: one of them was changed"
                    .into(),
            );
        }
        let payload = serde_json::from_str(&text)
            .map_err(|error| format!("its payload is not JSON: {error}"))?;
        if canonical_json(&payload).map_err(|error| error.to_string())? != text {
            return Err("its payload is not canonical JSON".into());
        }
        let parsed = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
        let record = Record {
            seq,
            version,
            at: at.parse().map_err(|error: jiff::Error| error.to_string())?,
            epoch,
            payload: Some(payload),
            salt: Some(salt),
            payload_digest: parsed(&salted)?,
            previous: parsed(&previous)?,
            digest: parsed(&digest)?,
            stream,
            kind,
        };
        let entry = record.entry().map_err(|error| error.to_string())?;
        if let Entry::EpochClaimed { epoch: claimed, .. } = &entry
            && *claimed != epoch
        {
            return Err(format!("it claims epoch {claimed} in epoch {epoch}"));
        }
        Ok(CheckedRecord::Whole(Box::new(record), Box::new(entry)))
    }
}

enum CheckedRecord {
    Whole(Box<Record>, Box<Entry>),
    Erased,
}

fn read_raw(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawRecord> {
    Ok(RawRecord {
        stream: row.get(1)?,
        version: row.get::<_, i64>(2)? as u64,
        kind: row.get(3)?,
        at: row.get(4)?,
        epoch: row.get::<_, i64>(5)? as u64,
        payload: row.get(6)?,
        salt: row.get(7)?,
        payload_digest: row.get(8)?,
        previous: row.get(9)?,
        digest: row.get(10)?,
    })
}
