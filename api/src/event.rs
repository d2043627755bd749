use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::run::RunItem;

/// One record without its hash chain. Its kind is the name of the server-sent event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventItem {
    /// Sequence number in the record.
    pub seq: u64,
    /// Kind of the entry.
    pub kind: String,
    /// Type of the event, for kinds that have several: `opened`, `stepStarted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Stream of the event: the id of an incident, plan, run or experiment.
    pub stream: String,
    /// Time of the event.
    pub at: Timestamp,
    /// Content of the event; omitted if it is erased or larger than 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// The data of a server-sent event of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RunEventItem {
    /// An event of the run.
    Event(EventItem),
    /// The present state of the run: the first event of the stream, named `snapshot`.
    Snapshot(RunItem),
}
