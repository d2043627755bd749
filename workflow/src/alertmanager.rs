//! The webhook of Prometheus' Alertmanager, version 4.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One delivery of Alertmanager, as it sends it and as [`parse`] reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// `4`.
    pub version: String,
    /// Key of the group.
    pub group_key: String,
    /// How many alerts were cut.
    pub truncated_alerts: u64,
    /// `firing` or `resolved`.
    pub status: String,
    /// The receiver.
    pub receiver: String,
    /// Labels that the group has in common by configuration.
    pub group_labels: BTreeMap<String, String>,
    /// Labels that all its alerts have in common.
    pub common_labels: BTreeMap<String, String>,
    /// Annotations that all its alerts have in common.
    pub common_annotations: BTreeMap<String, String>,
    /// Where Alertmanager itself is.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The alerts.
    pub alerts: Vec<WebhookAlert>,
}

/// One alert of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookAlert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339.
    pub starts_at: String,
    /// RFC 3339; the zero time while it fires.
    pub ends_at: String,
    /// Where the sender shows it.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// The sender's fingerprint.
    pub fingerprint: String,
}
