//! Decisions: which candidate was chosen, among which, with what probability. Complete enough for off-policy evaluation.

use std::collections::BTreeMap;

use cluster::Digest;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::estimates::Estimates;
use crate::features::Features;
use crate::id::{CandidateId, DecisionId, ExperimentId, IncidentId};

/// Candidates that must not be chosen, with the reason.
pub type Mask = BTreeMap<CandidateId, Rejection>;

/// Why a candidate is rejected: what failed, where, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Stable code.
    pub code: ErrorCode,
    /// What failed.
    pub message: String,
    /// Id of the step that failed, if it is a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How to fix it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// One candidate with the data that the decision was based on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoredCandidate {
    /// The candidate.
    pub candidate: CandidateId,
    /// Arm of the candidate.
    pub arm: String,
    /// Source of the candidate. See `Source::as_str`.
    pub source: String,
    /// Name of the workflow.
    pub workflow: String,
    /// Features at the time of the decision. Training uses these and never features computed later.
    pub features: Features,
    /// Estimates and interval widths at the time of the decision.
    pub estimates: Estimates,
    /// Why the candidate was masked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// Probability with which the policy chooses this candidate; 0 if masked. The probabilities of all candidates sum to 1.
    pub propensity: f64,
}

/// How a decision was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DecisionMode {
    /// The policy chose, and the choice is executed.
    Live,
    /// The policy chose, and the choice is only recorded.
    Shadow,
    /// An operator chose. Propensities are those of the policy.
    OperatorOverride,
}

/// One decision (`learning` 2.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Id of the decision.
    pub id: DecisionId,
    /// The incident. It is also the unit of randomization of experiments.
    pub incident: IncidentId,
    /// Fingerprint of the first alert of the incident.
    pub fingerprint: String,
    /// When the decision was made.
    pub at: Timestamp,
    /// Experiment and variant that this incident is exposed to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<(ExperimentId, String)>,
    /// Digest of the feature schema.
    pub schema: Digest,
    /// Every candidate with its propensity.
    pub candidates: Vec<ScoredCandidate>,
    /// The chosen candidate.
    pub chosen: CandidateId,
    /// Propensity of the chosen candidate, in (0, 1].
    pub propensity: f64,
    /// Name of the policy.
    pub policy: String,
    /// Digest of the configuration of the policy.
    pub policy_digest: Digest,
    /// Digest of the learner state that gave the estimates.
    pub model: Digest,
    /// Seed of the random draw, in hex.
    pub seed: String,
    /// The random draw, in [0, 1).
    pub random_draw: f64,
    /// How the decision was made.
    pub mode: DecisionMode,
    /// Ids of the retrieved past executions, in order of rank.
    pub retrieved: Vec<String>,
    /// Number of the attempt for the incident, from 1.
    pub attempt: u32,
}
