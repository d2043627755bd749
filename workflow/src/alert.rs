//! Alerts as reported by a monitoring system. All text in them is untrusted.

use std::collections::BTreeMap;

use cluster::{Digest, digest_of_parts};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::AlertId;

/// State of an alert.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// The condition of the alert is true.
    Firing,
    /// The condition was true and no longer is.
    Resolved,
}

impl AlertStatus {
    /// Returns the value used in Alertmanager's webhook and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert of one delivery. Labels and annotations are untrusted: data, never instructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Id of the episode, derived from the episode key.
    pub id: AlertId,
    /// Type of the sender: `alertmanager`.
    pub source: String,
    /// Fingerprint given by the sender. Displayed, but never used as a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// First 16 hex digits of SHA-256 over the sorted labels. See [`fingerprint`].
    pub fingerprint: String,
    /// Whether the alert fires or is resolved.
    pub status: AlertStatus,
    /// The label `alertname`.
    pub name: String,
    /// The label `severity`, empty if there is none.
    #[serde(default)]
    pub severity: String,
    /// The object that the labels name.
    pub subject: AlertSubject,
    /// All labels, sanitized.
    pub labels: BTreeMap<String, String>,
    /// All annotations, sanitized.
    pub annotations: BTreeMap<String, String>,
    /// Start time given by the sender, clamped to the last year and the next hour. Never used for deadlines.
    pub starts_at: Timestamp,
    /// Start time as sent. Part of the key that identifies repeated deliveries.
    pub starts_at_sent: String,
    /// End time given by the sender, clamped like `starts_at`. Absent while the alert fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// URL of the alert at the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// When the delivery was received.
    pub received_at: Timestamp,
    /// Problems found in the alert and how each was repaired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<Defect>,
}

/// The object that an alert's labels name. Untrusted: it is looked up in the cluster before any action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertSubject {
    /// The label `cluster`, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The label `namespace`, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name and value of the label that identifies the subject (design D2): `deployment=checkout`, `pod=checkout-7d9f-x`.
    /// Default: `alertname` and the name of the alert.
    pub label: (String, String),
}

/// A problem in an alert that was repaired, or a part that was dropped so that the rest could be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Defect {
    /// Stable code: `invalid_utf8`, `too_long`.
    pub code: String,
    /// Location: `labels.pod`.
    pub path: String,
    /// How it was repaired: `dropped`, `escaped`, `cut`, `clamped`.
    pub repair: String,
}

/// The content of one delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The parsed alerts, each with its own defects.
    pub alerts: Vec<Alert>,
    /// Defects of the delivery as a whole and of alerts that were dropped.
    pub defects: Vec<Defect>,
    /// Number of alerts that the sender or the size limit left out.
    pub truncated: u64,
    /// Group key given by the sender. Display only.
    pub group_key: String,
    /// Digest of the raw request body.
    pub body_digest: Digest,
}

/// Returns the first 16 hex digits of SHA-256 over the sorted labels.
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let parts: Vec<&str> =
        labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    digest_of_parts(&parts).short(16)
}

impl Alert {
    /// Returns the key that identifies repeated deliveries of the same state of this alert.
    pub fn delivery_key(&self) -> Digest {
        digest_of_parts(&[
            &self.source,
            &self.fingerprint,
            &self.starts_at_sent,
            self.status.as_str(),
        ])
    }
}
