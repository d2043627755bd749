//! The decision: which candidate, out of which, with what probability. Complete enough to be judged later.

use std::collections::BTreeMap;

use cluster::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::estimates::Estimates;
use crate::features::Features;
use crate::id::{CandidateId, DecisionId, ExperimentId, IncidentId};

/// Which candidates may not be chosen, and why.
pub type Mask = BTreeMap<CandidateId, Refusal>;

/// Why a candidate is refused: what failed, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Stable code: `guardrail_denied`, `target_unreachable`, `target_healthy`, `dry_run_refused`.
    pub code: String,
    /// What failed.
    pub message: String,
    /// Id of the step, if it is one step's fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// One candidate as the decision saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// The candidate.
    pub candidate: CandidateId,
    /// Its arm.
    pub arm: String,
    /// Where it came from, in one word.
    pub source: String,
    /// Name of its workflow.
    pub workflow: String,
    /// Features as they were at this time; later ones are never used in its place.
    pub features: Features,
    /// Estimates and widths at this time.
    pub estimates: Estimates,
    /// Why it could not be chosen, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// Probability with which it was chosen; 0 where refused. All sum to 1.
    pub propensity: f64,
}

/// How a decision came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DecisionMode {
    /// The policy's draw, acted on.
    Live,
    /// Recorded and not acted on.
    Shadow,
    /// A person chose; propensities are those that were meant.
    ForcedByHuman,
}

/// One decision record (`learning` 2.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Its id.
    pub id: DecisionId,
    /// The incident: also the unit of an experiment.
    pub incident: IncidentId,
    /// Fingerprint of the incident's first alert.
    pub fingerprint: String,
    /// When.
    pub at: Timestamp,
    /// The experiment and the variant that this incident is exposed to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<(ExperimentId, String)>,
    /// Digest of the feature schema.
    pub schema: Digest,
    /// Every candidate, with its propensity.
    pub options: Vec<Considered>,
    /// The one that was chosen.
    pub chosen: CandidateId,
    /// Its propensity, in (0, 1].
    pub propensity: f64,
    /// Name of the policy.
    pub policy: String,
    /// Digest of the policy's configuration.
    pub policy_digest: Digest,
    /// Digest of the learner state.
    pub model: Digest,
    /// Seed of the draw, in hex.
    pub seed: String,
    /// The draw, in [0, 1).
    pub draw: f64,
    /// How it came to be.
    pub mode: DecisionMode,
    /// Past executions that were retrieved, in order of rank.
    pub retrieved: Vec<String>,
    /// Which attempt on the incident, from 1.
    pub attempt: u32,
}
