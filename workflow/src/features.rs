//! Features: what the learner sees of a candidate, under a schema that the record names.

use cluster::{Digest, digest_of_parts};
use serde::{Deserialize, Serialize};

/// The ordered names of the features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureSchema {
    /// Grows when a feature is added or changes its meaning.
    pub version: u32,
    /// The names, in the order of the values.
    pub names: Vec<String>,
}

impl FeatureSchema {
    /// Digest over version and names: features under another digest are refused.
    pub fn digest(&self) -> Digest {
        let version = self.version.to_string();
        let mut parts: Vec<&str> = vec![&version];
        parts.extend(self.names.iter().map(String::as_str));
        digest_of_parts(&parts)
    }
}

/// The features of one candidate: finite numbers, most of them in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Digest of the schema that they follow.
    pub schema: Digest,
    /// Arm of the candidate: what it is across incidents, `template/restore-key` or `reversal/service-selector`.
    pub arm: String,
    /// The values, one a name of the schema.
    pub values: Vec<f64>,
    /// Of each step: its id, its action, and the bucket of circumstances under which its prior is kept.
    pub steps: Vec<StepFeatures>,
}

/// What the learner sees of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepFeatures {
    /// Id of the step.
    pub step: String,
    /// Its action.
    pub action: String,
    /// Circumstances that pool with one another: the alert's name.
    pub bucket: String,
}
