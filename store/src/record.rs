use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use workflow::{Digest, Entry, digest_of_parts};

/// One entry of the append-only log with its position in the chain.
///
/// `digest` covers every column except `payload` and `salt`, and through `previous` every earlier record. A payload can
/// therefore be erased together with its salt: the chain stays intact, and a guess of the erased payload cannot be
/// confirmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Position in the record, from 1, without gaps.
    pub seq: u64,
    pub stream: String,
    /// Position in its stream, from 1, without gaps.
    pub version: u64,
    /// Kind of the entry.
    pub kind: String,
    pub at: Timestamp,
    /// Epoch of the writer.
    pub epoch: u64,
    /// The payload, decoded from its canonical bytes. Absent once it is erased.
    pub payload: Option<Value>,
    /// The salt of `payload_digest`. Absent once the payload is erased.
    #[serde(with = "salt_as_hex")]
    pub salt: Option<[u8; 16]>,
    /// SHA-256 over the salt and the canonical bytes of the payload.
    pub payload_digest: Digest,
    /// Digest of the previous record; [`Digest::ZERO`] for the first.
    pub previous: Digest,
    /// SHA-256 over all columns except payload and salt.
    pub digest: Digest,
}

/// Error of decoding the entry of a record.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("the payload of record {seq} was erased")]
    Erased { seq: u64 },
    /// The kind is unknown, or the payload does not match the kind.
    #[error(
        "record {seq} of kind `{kind}` cannot be read: it is damaged, or was written by a newer version of this program"
    )]
    UnknownEntry { seq: u64, kind: String, source: serde_json::Error },
}

impl Record {
    /// Decodes the entry.
    ///
    /// # Errors
    /// [`EntryError`] if the payload was erased, or this version does not support the kind.
    pub fn entry(&self) -> Result<Entry, EntryError> {
        let payload = self.payload.clone().ok_or(EntryError::Erased { seq: self.seq })?;
        Entry::from_parts(&self.kind, payload).map_err(|source| EntryError::UnknownEntry {
            seq: self.seq,
            kind: self.kind.clone(),
            source,
        })
    }

    /// Computes the digest of the columns of this record.
    pub fn digest_of_columns(&self) -> Digest {
        digest_of_columns(&ChainedColumns {
            seq: self.seq,
            stream: &self.stream,
            version: self.version,
            kind: &self.kind,
            at: &self.at.to_string(),
            epoch: self.epoch,
            payload_digest: &self.payload_digest.to_string(),
            previous: &self.previous.to_string(),
        })
    }
}

/// The columns covered by a record's digest, as written.
pub(crate) struct ChainedColumns<'a> {
    pub(crate) seq: u64,
    pub(crate) stream: &'a str,
    pub(crate) version: u64,
    pub(crate) kind: &'a str,
    pub(crate) at: &'a str,
    pub(crate) epoch: u64,
    pub(crate) payload_digest: &'a str,
    pub(crate) previous: &'a str,
}

/// Returns H(seq, stream, version, kind, at, epoch, payload_digest, previous).
pub(crate) fn digest_of_columns(columns: &ChainedColumns<'_>) -> Digest {
    let ChainedColumns { seq, stream, version, kind, at, epoch, payload_digest, previous } =
        columns;
    let (seq, version, epoch) = (seq.to_string(), version.to_string(), epoch.to_string());
    digest_of_parts(&[&seq, stream, &version, kind, at, &epoch, payload_digest, previous])
}

/// Returns SHA-256 over the salt and the canonical bytes of a payload.
pub(crate) fn payload_digest(salt: &[u8; 16], payload: &str) -> Digest {
    Digest::of_all(&[salt, payload.as_bytes()])
}

mod salt_as_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        salt: &Option<[u8; 16]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match salt {
            Some(salt) => {
                serializer.serialize_some(&format!("{:032x}", u128::from_be_bytes(*salt)))
            }
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 16]>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let bad = || serde::de::Error::custom("a salt is 32 hex digits");
        if text.len() != 32 {
            return Err(bad());
        }
        u128::from_str_radix(&text, 16).map(|bits| Some(bits.to_be_bytes())).map_err(|_| bad())
    }
}
