use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The actor of a request and the reason for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReasonRequest {
    /// Reason for the request, at most 4,096 characters.
    pub reason: String,
    /// Who makes the request, at most 128 characters. Default: `api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}
