//! Diagnostics of the validator: code, position, and how to fix the problem.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Severity of a diagnostic.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is valid.
    Warning,
    /// The document is invalid.
    Error,
}

/// One problem in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Stable code: `CHI0123`.
    pub code: String,
    /// Severity: only errors make the document invalid.
    pub severity: Severity,
    /// What is wrong, in lower case, without a trailing period.
    pub message: String,
    /// Path of the value: `spec.steps[2].arguments.replicas`.
    pub path: String,
    /// Line in the text, from 1; 0 if the document is not a text.
    pub line: usize,
    /// Column in the line in characters, from 1; 0 if the document is not a text.
    pub column: usize,
    /// How to fix it; empty if there is no hint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}
