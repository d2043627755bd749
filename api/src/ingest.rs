use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::id::{AlertId, IncidentId};

/// The webhook of Alertmanager, version 4.
///
/// The server repairs or drops invalid parts instead of refusing the delivery, so it does not parse with this type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertmanagerRequest {
    /// Version of the format: `4`.
    pub version: String,
    /// Key of the group of alerts.
    pub group_key: String,
    /// Number of alerts that Alertmanager left out.
    pub truncated_alerts: u64,
    /// `firing` if at least one alert fires, else `resolved`.
    pub status: String,
    /// Name of the receiver.
    pub receiver: String,
    /// Labels by which the alerts are grouped.
    pub group_labels: BTreeMap<String, String>,
    /// Labels that all alerts share.
    pub common_labels: BTreeMap<String, String>,
    /// Annotations that all alerts share.
    pub common_annotations: BTreeMap<String, String>,
    /// URL of the Alertmanager.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The alerts.
    pub alerts: Vec<AlertmanagerAlertItem>,
}

/// An alert in the webhook of Alertmanager.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertmanagerAlertItem {
    /// `firing` or `resolved`.
    pub status: String,
    /// Labels, among them `alertname`.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Start, in RFC 3339.
    pub starts_at: String,
    /// End, in RFC 3339; `0001-01-01T00:00:00Z` while the alert fires.
    pub ends_at: String,
    /// Link to the alert in Prometheus.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// Fingerprint of the labels.
    pub fingerprint: String,
}

/// The alerts and incidents of an ingested delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestResponse {
    /// Ids of the alerts, in the order of the delivery.
    pub alert_ids: Vec<AlertId>,
    /// Ids of their incidents, without duplicates.
    pub incident_ids: Vec<IncidentId>,
}
