use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::run::StopLevel;

/// An active emergency stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyStopItem {
    /// `global`, or the id of a run.
    pub scope: String,
    /// `L1`: finish the current request, verify it, then wait. `L2`: send no new requests.
    pub level: StopLevel,
    /// Who set the stop.
    pub actor: String,
    /// Reason for the stop.
    pub reason: String,
    /// Time at which the stop was set.
    pub at: Timestamp,
}

/// The active emergency stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyStopsResponse {
    /// The active emergency stops.
    pub items: Vec<EmergencyStopItem>,
}

/// A new emergency stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetEmergencyStopRequest {
    /// `global`, or the id of a run.
    pub scope: String,
    /// `L1`: finish the current request, verify it, then wait. `L2`: send no new requests.
    pub level: StopLevel,
    /// Reason for the stop; must not be empty.
    pub reason: String,
    /// Who sets the stop. Default: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// The emergency stop to clear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearEmergencyStopRequest {
    /// `global`, or the id of a run.
    pub scope: String,
    /// Reason for clearing the stop; must not be empty.
    pub reason: String,
    /// Who clears the stop. Default: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}
