use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::id::{AlertId, IncidentId};
use workflow::{AlertSubject, Defect};

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    /// The alert fires.
    Firing,
    /// The alert has ended.
    Resolved,
    /// The alert was resolved before a firing notification was received.
    NeverFired,
}

/// An alert in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertItem {
    /// Id of the alert episode.
    pub id: AlertId,
    /// Name of the alerting rule.
    pub name: String,
    /// Severity as sent; empty if none was sent.
    pub severity: String,
    /// Whether the alert fires.
    pub status: AlertState,
    /// Namespace of the subject.
    pub namespace: Option<String>,
    /// Label and value that identify the subject, for example `deployment=checkout`.
    pub subject: String,
    /// Its incident; absent for an alert that never fired.
    pub incident: Option<IncidentId>,
    /// Number of this episode among those of its label set, from 1.
    pub episode: u64,
    /// Number of deliveries, repeats included.
    pub deliveries: u64,
    /// Number of invalid parts that were repaired or dropped.
    pub defects: usize,
    /// Start according to the monitoring system.
    pub starts_at: Timestamp,
    /// Time of the first delivery.
    pub received_at: Timestamp,
    /// End of the episode; absent while the alert fires.
    pub resolved_at: Option<Timestamp>,
}

/// An alert with its labels, annotations and defects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertResponse {
    /// Id of the alert episode.
    pub id: AlertId,
    /// Monitoring system that sent the alert, for example `alertmanager`.
    pub source: String,
    /// Id of the alert in the monitoring system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Digest of the labels.
    pub fingerprint: String,
    /// Whether the alert fires.
    pub status: AlertState,
    /// Name of the alerting rule.
    pub name: String,
    /// Severity as sent; empty if none was sent.
    pub severity: String,
    /// What the alert is about.
    pub subject: AlertSubject,
    /// Labels of the alert. Their text is untrusted.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the alert. Their text is untrusted.
    pub annotations: BTreeMap<String, String>,
    /// Start, corrected if the monitoring system sent an impossible time.
    pub starts_at: Timestamp,
    /// Start as sent.
    pub starts_at_sent: String,
    /// End as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Link to the alert in the monitoring system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Time of the first delivery.
    pub received_at: Timestamp,
    /// Invalid parts that were repaired or dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<Defect>,
    /// Its incident; absent for an alert that never fired.
    pub incident: Option<IncidentId>,
    /// Number of this episode among those of its label set, from 1.
    pub episode: u64,
    /// Number of deliveries, repeats included.
    pub deliveries: u64,
    /// End of the episode; absent while the alert fires.
    pub resolved_at: Option<Timestamp>,
}
