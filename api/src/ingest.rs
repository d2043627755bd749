use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::alertmanager::Webhook;
use workflow::id::{AlertId, IncidentId};

/// The webhook of Alertmanager, version 4.
///
/// The server repairs or drops invalid parts instead of refusing the delivery, so it does not parse with this type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertmanagerRequest(pub Webhook);

/// The alerts and incidents of an ingested delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestResponse {
    /// Ids of the alerts, in the order of the delivery.
    pub alert_ids: Vec<AlertId>,
    /// Ids of their incidents, without duplicates.
    pub incident_ids: Vec<IncidentId>,
}
