use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::guardrail::{Autonomy, GuardrailSpec};
use workflow::manifest::ManifestMetadata;

/// An activation of guardrails in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailItem {
    /// Name of the guardrails.
    pub name: String,
    /// Digest of the content; plans refer to it.
    pub version: String,
    /// Whether these guardrails are in effect.
    pub active: bool,
    /// What Chiron does without an approval.
    pub autonomy: Autonomy,
    /// Description of the guardrails.
    pub description: String,
}

/// Guardrails with their version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailResponse {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `RemediationGuardrail`.
    pub kind: String,
    /// Name and description.
    pub metadata: ManifestMetadata,
    /// The limits.
    pub spec: GuardrailSpec,
    /// Digest of the content; plans refer to it.
    pub version: String,
    /// Whether these guardrails are in effect.
    pub active: bool,
}
