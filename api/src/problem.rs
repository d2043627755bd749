use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::Diagnostic;

/// Problem details of a failed request (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemResponse {
    /// URI of the problem type; derived from `code`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Reason phrase of the status.
    pub title: String,
    /// HTTP status code.
    pub status: u16,
    /// What failed.
    pub detail: String,
    /// Stable error code, for example `duplicate_key`.
    pub code: String,
    /// How to fix it.
    pub hint: String,
    /// Findings of the validator, if a document was rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Diagnostic>,
}
