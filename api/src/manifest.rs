use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::Diagnostic;

/// The result of the validation of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidateManifestResponse {
    /// Whether the manifest has no errors.
    pub is_valid: bool,
    /// Findings in the order of the text, each with code, path, line, column and hint.
    pub diagnostics: Vec<Diagnostic>,
}
