//! An alert, as Chiron keeps it: what a monitoring system said, all of it text that nobody may act on by itself.

use std::collections::BTreeMap;

use cluster::{Digest, digest_of_parts};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::AlertId;

/// Whether an alert holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// The condition holds.
    Firing,
    /// It held, and no longer does.
    Resolved,
}

impl AlertStatus {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert of one delivery. Labels and annotations are tainted: data, never instructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Our id: one an episode. Derives from the episode key.
    pub id: AlertId,
    /// Name of the kind of sender: `alertmanager`.
    pub source: String,
    /// The sender's own fingerprint, shown and never used as a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// First 16 hex digits of SHA-256 over the sorted labels.
    pub fingerprint: String,
    /// Whether it holds.
    pub status: AlertStatus,
    /// The label `alertname`.
    pub name: String,
    /// The label `severity`, empty if there is none.
    #[serde(default)]
    pub severity: String,
    /// Where the labels claim the trouble is.
    pub hints: Hints,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began, as the sender says, brought into the last year and the next hour. Never used for deadlines.
    pub starts_at: Timestamp,
    /// The same as the sender wrote it: what a repeat is known by.
    pub starts_at_sent: String,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Where the sender shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// When we received it.
    pub received_at: Timestamp,
    /// What was wrong with it and how it was mended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<Defect>,
}

/// What an alert's labels claim of its place: tainted strings, looked up in the cluster before anything is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    /// The label `cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The label `namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Label name and value of the subject of design D2: `deployment=checkout`, `pod=checkout-7d9f-x`, else the alert's name.
    pub subject: (String, String),
}

/// Something in an alert that was mended or left out so that the rest could be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defect {
    /// Stable code: `invalid_utf8`, `label_too_long`.
    pub code: String,
    /// Where: `labels.pod`.
    pub place: String,
    /// What was done: `dropped`, `escaped`, `cut`, `clamped`.
    pub mended: String,
}

/// What one delivery held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The alerts that could be read, with their own defects.
    pub alerts: Vec<Alert>,
    /// Defects of the delivery as a whole, and of alerts that could not be kept at all.
    pub defects: Vec<Defect>,
    /// How many alerts the sender left out.
    pub truncated: u64,
    /// The sender's key of the group, shown only.
    pub group_key: String,
    /// Digest of the raw body.
    pub body_digest: Digest,
}

/// First 16 hex digits of SHA-256 over the sorted labels.
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let parts: Vec<&str> =
        labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    digest_of_parts(&parts).short(16)
}

impl Alert {
    /// Key of one delivery of one state of this alert: a repeat only counts.
    pub fn delivery_key(&self, tenant: &str) -> Digest {
        digest_of_parts(&[
            tenant,
            &self.source,
            &self.fingerprint,
            &self.starts_at_sent,
            self.status.as_str(),
        ])
    }
}
