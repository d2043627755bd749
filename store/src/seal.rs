//! From a draft to a record: what every implementation of the port does alike, without IO.

use jiff::Timestamp;
use serde_json::Value;
use workflow::{Digest, Draft, Entry, canonical_json};

use crate::finite::check_finite;
use crate::port::AppendRefused;
use crate::record::{Columns, Record, digest_of_columns, payload_digest};
use crate::salts::Salts;

/// The most bytes that a payload has in its own column; larger ones stand among the blobs.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// Whose records these are, until there is more than one tenant.
const TENANT: &str = "default";

/// The longest name of a stream, in bytes.
const MAX_STREAM_BYTES: usize = 1024;

/// A draft in canonical form, and what a reader of those bytes gets.
pub(crate) struct Prepared {
    pub(crate) stream: String,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    /// Canonical bytes of the payload.
    pub(crate) text: String,
    /// The payload, decoded from `text`.
    pub(crate) payload: Value,
    /// The entry, decoded from `text`: what folds are fed, live as in replay.
    pub(crate) entry: Entry,
}

/// The end of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) digest: Digest,
    pub(crate) epoch: u64,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, digest: Digest::ZERO, epoch: 0 }
    }
}

/// Brings drafts into canonical form, or says which one has none.
pub(crate) fn prepare(drafts: Vec<Draft>) -> Result<Vec<Prepared>, AppendRefused> {
    drafts.into_iter().enumerate().map(|(index, draft)| prepare_one(index, draft)).collect()
}

fn prepare_one(index: usize, draft: Draft) -> Result<Prepared, AppendRefused> {
    let (kind, payload) = draft.entry.to_parts();
    let invalid = |why: String| AppendRefused::Invalid { index, kind: kind.clone(), why };
    if matches!(draft.entry, Entry::EpochClaimed { .. }) {
        return Err(invalid("an epoch is claimed with `claim`".into()));
    }
    if draft.stream.is_empty() || draft.stream.len() > MAX_STREAM_BYTES {
        return Err(invalid(format!("the name of a stream has 1 to {MAX_STREAM_BYTES} bytes")));
    }
    check_finite(&draft.entry).map_err(|error| invalid(error.to_string()))?;
    canonical(draft.stream, draft.at, kind.clone(), &payload).map_err(invalid)
}

/// The claim of an epoch, which no caller of `append` may make.
pub(crate) fn claim(at: Timestamp, epoch: u64, program: &str) -> Prepared {
    let entry = Entry::EpochClaimed { epoch, program: program.into() };
    let (kind, payload) = entry.to_parts();
    canonical(entry.stream(), at, kind, &payload)
        .expect("an epoch is far below 2^53, and the rest is text")
}

fn canonical(
    stream: String,
    at: Timestamp,
    kind: String,
    payload: &Value,
) -> Result<Prepared, String> {
    let text = canonical_json(payload).map_err(|error| error.to_string())?;
    let payload: Value = serde_json::from_str(&text)
        .map_err(|error| format!("its canonical bytes cannot be read: {error}"))?;
    let entry = Entry::from_parts(&kind, payload.clone())
        .map_err(|error| format!("it does not read back: {error}"))?;
    Ok(Prepared { stream, at, kind, text, payload, entry })
}

/// Checks that `epoch` holds the record.
pub(crate) fn check_epoch(head: &Head, epoch: u64) -> Result<(), AppendRefused> {
    if epoch == 0 || epoch != head.epoch {
        Err(AppendRefused::StaleEpoch { ours: epoch, current: head.epoch })
    } else {
        Ok(())
    }
}

impl Head {
    /// Seals what was prepared as the next record, and moves on to it. `version` is its place in its stream.
    pub(crate) fn seal(&mut self, prepared: Prepared, version: u64, salts: &Salts) -> Sealed {
        let Prepared { stream, at, kind, text, payload, entry } = prepared;
        if let Entry::EpochClaimed { epoch, .. } = &entry {
            self.epoch = *epoch;
        }
        let seq = self.seq + 1;
        let salt = salts.draw(seq);
        let payload_digest = payload_digest(&salt, &text);
        let written_at = at.to_string();
        let digest = digest_of_columns(&Columns {
            seq,
            stream: &stream,
            version,
            tenant: TENANT,
            kind: &kind,
            at: &written_at,
            epoch: self.epoch,
            payload_digest: &payload_digest.to_string(),
            previous: &self.digest.to_string(),
        });
        let record = Record {
            seq,
            stream,
            version,
            tenant: TENANT.into(),
            kind,
            at,
            epoch: self.epoch,
            payload: Some(payload),
            salt: Some(salt),
            payload_digest,
            previous: self.digest,
            digest,
        };
        self.seq = seq;
        self.digest = digest;
        Sealed { record, text, entry }
    }
}

/// A record that is about to be written.
pub(crate) struct Sealed {
    pub(crate) record: Record,
    /// Canonical bytes of the payload.
    pub(crate) text: String,
    /// The entry, decoded from `text`.
    pub(crate) entry: Entry,
}

/// What stands in the payload column for a payload that is a blob.
pub(crate) fn claim_check(digest: &Digest) -> String {
    format!("{{\"blob\":\"{digest}\"}}")
}

/// The blob that a payload column stands for, if it stands for one.
///
/// No entry's payload has this shape: structs have other fields, and this text is compared whole.
pub(crate) fn claimed(text: &str) -> Option<Digest> {
    text.strip_prefix("{\"blob\":\"")?.strip_suffix("\"}")?.parse().ok()
}
