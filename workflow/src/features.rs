//! Features of candidates for the learner, with a versioned schema.

use cluster::{Digest, digest_of_parts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The ordered names of the features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureSchema {
    /// Increased when a feature is added or its meaning changes.
    pub version: u32,
    /// Names in the order of the values.
    pub names: Vec<String>,
}

impl FeatureSchema {
    /// Returns the digest over version and names. Features with another digest are refused.
    pub fn digest(&self) -> Digest {
        let version = self.version.to_string();
        let mut parts: Vec<&str> = vec![&version];
        parts.extend(self.names.iter().map(String::as_str));
        digest_of_parts(&parts)
    }
}

/// The features of one candidate: finite numbers, most of them in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Digest of the schema.
    pub schema: Digest,
    /// Arm of the candidate. Identifies the same kind of candidate across incidents: `template/restore-key`,
    /// `reversal/service-selector`.
    pub arm: String,
    /// Values in the order of the schema.
    pub values: Vec<f64>,
    /// Features of each step.
    pub steps: Vec<StepFeatures>,
}

/// Features of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepFeatures {
    /// Id of the step.
    pub step: String,
    /// Name of the action.
    pub action: String,
    /// Key under which step statistics are pooled: the name of the alert.
    pub bucket: String,
}
