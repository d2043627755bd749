use std::collections::HashMap;

use rusqlite::Connection;
use workflow::{Digest, Entry, canonical_json};

use super::report::{Flaw, Report};
use crate::port::StoreError;
use crate::record::{Columns, Record, digest_of_columns, payload_digest};
use crate::sqlite::{on, payload_text};

/// The chain as far as it was walked.
pub(super) struct Chain {
    seq: u64,
    digest: String,
    epoch: u64,
    versions: HashMap<String, u64>,
}

impl Default for Chain {
    fn default() -> Self {
        Self { seq: 0, digest: Digest::ZERO.to_string(), epoch: 0, versions: HashMap::new() }
    }
}

/// The columns of a record, as text where text is stored.
struct Raw {
    stream: String,
    version: u64,
    tenant: String,
    kind: String,
    at: String,
    epoch: u64,
    payload: Option<String>,
    salt: Option<[u8; 16]>,
    payload_digest: String,
    previous: String,
    digest: String,
}

impl Chain {
    /// Walks every record in order; `next` gets each one, as long as none before it was found to be wrong or erased.
    pub(super) fn walk(
        &mut self,
        connection: &Connection,
        report: &mut Report,
        mut next: impl FnMut(&Record, &Entry, &mut Report) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = connection
            .prepare(
                "SELECT seq, stream, version, tenant, kind, at, epoch, payload, salt, payload_digest, previous, digest
                 FROM records ORDER BY seq",
            )
            .map_err(on("read the record"))?;
        let mut rows = statement.query([]).map_err(on("read the record"))?;
        let mut is_whole = true;
        while let Some(row) = rows.next().map_err(on("read the record"))? {
            let seq = row.get::<_, i64>(0).map_err(on("read the record"))? as u64;
            if seq != self.seq + 1 {
                let missing = self.seq + 1;
                report.add(Flaw::Record {
                    seq: missing,
                    why: format!("it is missing: record {seq} follows record {}", self.seq),
                });
                is_whole = false;
            }
            match raw(row)
                .map_err(|error| error.to_string())
                .and_then(|raw| self.check(connection, seq, raw))
            {
                Ok(Checked::Whole(record, entry)) if is_whole => next(&record, &entry, report)?,
                Ok(Checked::Whole(..)) => {}
                Ok(Checked::Erased) => {
                    report.erased += 1;
                    is_whole = false;
                }
                Err(why) => {
                    report.add(Flaw::Record { seq, why });
                    is_whole = false;
                }
            }
            self.seq = seq;
            // As stored, right or wrong: one changed byte is one flaw, not one in every record after it.
            self.digest = row.get(11).unwrap_or_default();
            report.records = seq;
        }
        report.epoch = self.epoch;
        report.head = self.digest.parse().unwrap_or(Digest::ZERO);
        Ok(())
    }

    fn check(&mut self, connection: &Connection, seq: u64, raw: Raw) -> Result<Checked, String> {
        let Raw {
            stream,
            version,
            tenant,
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
            return Err("column previous is not the digest of the record before".into());
        }
        let columns = Columns {
            seq,
            stream: &stream,
            version,
            tenant: &tenant,
            kind: &kind,
            at: &at,
            epoch,
            payload_digest: &salted,
            previous: &previous,
        };
        if digest != digest_of_columns(&columns).to_string() {
            return Err("column digest is not that of its columns: one of them was changed".into());
        }
        if version != expected {
            return Err(format!(
                "it is version {version} of stream `{stream}`, where {expected} was due"
            ));
        }
        let claims = kind == "EpochClaimed";
        if epoch != last_epoch + u64::from(claims) {
            return Err(format!("it was written in epoch {epoch} after epoch {last_epoch}"));
        }
        let (column, salt) = match (payload, salt) {
            (Some(payload), Some(salt)) => (payload, salt),
            (None, None) => return Ok(Checked::Erased),
            (Some(_), None) => return Err("it has a payload and no salt".into()),
            (None, Some(_)) => return Err("it has a salt and no payload".into()),
        };
        let text = payload_text(connection, seq, column).map_err(|error| error.to_string())?;
        if salted != payload_digest(&salt, &text).to_string() {
            return Err(
                "column payload_digest is not that of payload and salt: one of them was changed"
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
            tenant,
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
        Ok(Checked::Whole(Box::new(record), Box::new(entry)))
    }
}

enum Checked {
    Whole(Box<Record>, Box<Entry>),
    Erased,
}

fn raw(row: &rusqlite::Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        stream: row.get(1)?,
        version: row.get::<_, i64>(2)? as u64,
        tenant: row.get(3)?,
        kind: row.get(4)?,
        at: row.get(5)?,
        epoch: row.get::<_, i64>(6)? as u64,
        payload: row.get(7)?,
        salt: row.get(8)?,
        payload_digest: row.get(9)?,
        previous: row.get(10)?,
        digest: row.get(11)?,
    })
}
