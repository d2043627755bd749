//! What a validator says of a document: code, place, and how to mend it.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look; the document is usable.
    Warning,
    /// The document is refused.
    Error,
}

/// One finding about a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Stable code: `CHI0123`.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// What failed, in lower case and without a full stop.
    pub message: String,
    /// Where: `spec.steps[2].arguments.replicas`.
    pub path: String,
    /// Line in the text, from 1; 0 where there is no text.
    pub line: usize,
    /// Column in the line, from 1, in characters; 0 where there is no text.
    pub column: usize,
    /// How to mend it; empty if nothing better can be said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}
