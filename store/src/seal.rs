//! Turns drafts into chained records. Shared by every implementation of the port; free of IO.

use jiff::Timestamp;
use serde_json::Value;
use workflow::{Digest, Draft, Entry, canonical_json};

use crate::finite::check_finite;
use crate::port::AppendError;
use crate::record::{ChainedColumns, Record, digest_of_columns, payload_digest};
use crate::salts::Salts;

/// Maximum size of a payload stored in its column. Larger payloads are stored as blobs.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// Maximum length of the name of a stream.
const MAX_STREAM_BYTES: usize = 1024;

/// A draft in canonical form, together with the values decoded from that form.
pub(crate) struct PreparedDraft {
    pub(crate) stream: String,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    /// Canonical bytes of the payload.
    pub(crate) text: String,
    /// The payload, decoded from `text`.
    pub(crate) payload: Value,
    /// The entry, decoded from `text`. Folds receive this value, both live and in a replay.
    pub(crate) entry: Entry,
}

/// The last record of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainHead {
    pub(crate) seq: u64,
    pub(crate) digest: Digest,
    pub(crate) epoch: u64,
}

impl Default for ChainHead {
    fn default() -> Self {
        Self { seq: 0, digest: Digest::ZERO, epoch: 0 }
    }
}

/// Converts drafts to canonical form. Fails at the first draft that has none.
pub(crate) fn prepare(drafts: Vec<Draft>) -> Result<Vec<PreparedDraft>, AppendError> {
    drafts.into_iter().enumerate().map(|(index, draft)| prepare_one(index, draft)).collect()
}

fn prepare_one(index: usize, draft: Draft) -> Result<PreparedDraft, AppendError> {
    let (kind, payload) = draft.entry.to_parts();
    let invalid = |message: String| AppendError::Invalid { index, kind: kind.clone(), message };
    if matches!(draft.entry, Entry::EpochClaimed { .. }) {
        return Err(invalid("use `claim` to claim an epoch".into()));
    }
    if draft.stream.is_empty() || draft.stream.len() > MAX_STREAM_BYTES {
        return Err(invalid(format!(
            "the name of a stream must have 1 to {MAX_STREAM_BYTES} bytes"
        )));
    }
    check_finite(&draft.entry).map_err(|error| invalid(error.to_string()))?;
    canonical(draft.stream, draft.at, kind.clone(), &payload).map_err(invalid)
}

/// Builds the entry that claims an epoch. `append` refuses this kind.
pub(crate) fn claim(at: Timestamp, epoch: u64, program: &str) -> PreparedDraft {
    let entry = Entry::EpochClaimed { epoch, program: program.into() };
    let (kind, payload) = entry.to_parts();
    canonical(entry.stream(), at, kind, &payload)
        .expect("an epoch is below 2^53, and the other fields are text")
}

fn canonical(
    stream: String,
    at: Timestamp,
    kind: String,
    payload: &Value,
) -> Result<PreparedDraft, String> {
    let text = canonical_json(payload).map_err(|error| error.to_string())?;
    let payload: Value = serde_json::from_str(&text)
        .map_err(|error| format!("its canonical form cannot be parsed: {error}"))?;
    let entry = Entry::from_parts(&kind, payload.clone())
        .map_err(|error| format!("its canonical form cannot be decoded: {error}"))?;
    Ok(PreparedDraft { stream, at, kind, text, payload, entry })
}

/// Checks that `epoch` is the current one.
pub(crate) fn check_epoch(head: &ChainHead, epoch: u64) -> Result<(), AppendError> {
    if epoch == 0 || epoch != head.epoch {
        Err(AppendError::StaleEpoch { ours: epoch, current: head.epoch })
    } else {
        Ok(())
    }
}

impl ChainHead {
    /// Chains a draft as the next record and advances the head. `version` is its position in its stream.
    pub(crate) fn seal(
        &mut self,
        prepared: PreparedDraft,
        version: u64,
        salts: &Salts,
    ) -> ChainedRecord {
        let PreparedDraft { stream, at, kind, text, payload, entry } = prepared;
        if let Entry::EpochClaimed { epoch, .. } = &entry {
            self.epoch = *epoch;
        }
        let seq = self.seq + 1;
        let salt = salts.for_record(seq);
        let payload_digest = payload_digest(&salt, &text);
        let written_at = at.to_string();
        let digest = digest_of_columns(&ChainedColumns {
            seq,
            stream: &stream,
            version,
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
        ChainedRecord { record, text, entry }
    }
}

/// A record ready to be written.
pub(crate) struct ChainedRecord {
    pub(crate) record: Record,
    /// Canonical bytes of the payload.
    pub(crate) text: String,
    /// The entry, decoded from `text`.
    pub(crate) entry: Entry,
}

/// Returns the text stored in the payload column for a payload that is stored as a blob.
pub(crate) fn blob_ref(digest: &Digest) -> String {
    format!("{{\"blob\":\"{digest}\"}}")
}

/// Returns the blob that a payload column refers to, if it is a reference.
///
/// No payload of an entry equals such a reference: every struct has other fields, and the whole text is compared.
pub(crate) fn parse_blob_ref(text: &str) -> Option<Digest> {
    text.strip_prefix("{\"blob\":\"")?.strip_suffix("\"}")?.parse().ok()
}
