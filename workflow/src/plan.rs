//! Candidates, and the plan made from the chosen candidate: optimized, verified and frozen under a digest.

mod state;

use cluster::{Difference, Digest, ObjectRef, canonical_json};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::estimates::Estimates;
use crate::features::Features;
use crate::history::Provenance;
use crate::id::{CandidateId, DecisionId, IncidentId, PlanId};
use crate::manifest::Workflow;

pub use state::{PlanState, PlanStatus};

/// Source of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "source")]
pub enum Source {
    /// An execution that succeeded for a similar incident, adapted to this target.
    Retrieval {
        /// Id of the past execution.
        execution: String,
        /// Similarity, in (0, 1].
        similarity: f64,
        /// Rank in the retrieved list, from 1.
        rank: usize,
        /// Provenance of the execution.
        origin: Provenance,
    },
    /// A template whose facts match.
    Template {
        /// Name of the template.
        name: String,
        /// Digest of the template.
        digest: Digest,
    },
    /// Reverts changes made since the last known-good state.
    Reversal {
        /// The reverted changes.
        differences: Vec<Difference>,
    },
    /// A language model.
    Model {
        /// Name of the model.
        name: String,
    },
    /// A correction that an operator gave as feedback.
    Demonstration {
        /// The plan that was corrected.
        corrected: PlanId,
    },
    /// No change; the incident is observed.
    DoNothing,
    /// An operator is notified.
    Escalate,
}

impl Source {
    /// Returns the name of the source, as used in JSON and in experiments.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Retrieval { .. } => "retrieval",
            Self::Template { .. } => "template",
            Self::Reversal { .. } => "reversal",
            Self::Model { .. } => "model",
            Self::Demonstration { .. } => "demonstration",
            Self::DoNothing => "do-nothing",
            Self::Escalate => "escalate",
        }
    }

    /// Returns whether the candidate makes changes to the cluster.
    pub fn has_effects(&self) -> bool {
        match self {
            Self::DoNothing | Self::Escalate => false,
            Self::Retrieval { .. }
            | Self::Template { .. }
            | Self::Reversal { .. }
            | Self::Model { .. }
            | Self::Demonstration { .. } => true,
        }
    }
}

/// A workflow proposed for an incident, before the decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Id of the candidate.
    pub id: CandidateId,
    /// The incident.
    pub incident: IncidentId,
    /// Source of the candidate.
    pub source: Source,
    /// The workflow with all parameters bound. Has no steps for [`Source::DoNothing`].
    pub workflow: Workflow,
    /// All objects that the steps act on, from the inventory of the evidence.
    pub targets: Vec<ObjectRef>,
    /// Features for the learner.
    pub features: Features,
    /// Why it is proposed: one sentence per reason, referring to facts and differences of the evidence.
    pub reasons: Vec<String>,
}

impl Candidate {
    /// Returns the digest of the workflow's content. Candidates with the same digest are duplicates.
    pub fn content_digest(&self) -> Digest {
        Digest::of(
            canonical_json(&self.workflow.spec)
                .expect("a candidate's workflow is plain data")
                .as_bytes(),
        )
    }
}

/// What the optimizer changed and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptimizationReport {
    /// One sentence per change, in the order of the changes.
    pub changes: Vec<String>,
    /// Ids of the steps before optimization, in order.
    pub before: Vec<String>,
    /// Ids of the steps after optimization, in order.
    pub after: Vec<String>,
    /// Ids of the removed redundant steps.
    pub removed: Vec<String>,
    /// Expected duration before optimization, in seconds.
    pub expected_seconds_before: f64,
    /// Expected duration after optimization, in seconds.
    pub expected_seconds_after: f64,
}

/// A frozen plan. Its digest covers the incident, the workflow, the targets and the version of the guardrails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Id of the plan.
    pub id: PlanId,
    /// Digest that approvals, step keys and runs refer to.
    pub digest: Digest,
    /// The incident.
    pub incident: IncidentId,
    /// The optimized workflow with all parameters bound.
    pub workflow: Workflow,
    /// All objects that the steps act on.
    pub targets: Vec<ObjectRef>,
    /// Version of the guardrails under which it was verified.
    pub guardrails_version: String,
    /// The candidate that the plan was made from.
    pub candidate: CandidateId,
    /// Source of the candidate.
    pub source: Source,
    /// The decision that chose the candidate.
    pub decision: DecisionId,
    /// Estimates for the frozen plan; the confidence that is shown to operators is [`Estimates::plan`].
    pub estimates: Estimates,
    /// Features at the time of freezing, used for training.
    pub features: Features,
    /// Explanation in sentences that refer to the evidence.
    pub explanation: Vec<String>,
    /// Changes made by the optimizer.
    pub optimization: OptimizationReport,
    /// Number of the attempt for the incident, from 1.
    pub attempt: u32,
    /// Why an operator must approve the plan before it runs. Absent if no approval is required.
    pub needs_approval: Option<String>,
    /// When the plan was frozen.
    pub created_at: Timestamp,
}

impl Plan {
    /// Computes the digest of a plan with these parts.
    pub fn digest_of(
        incident: &IncidentId,
        workflow: &Workflow,
        targets: &[ObjectRef],
        guardrails_version: &str,
    ) -> Digest {
        let parts = serde_json::json!({
            "incident": incident,
            "workflow": workflow,
            "targets": targets,
            "guardrailsVersion": guardrails_version,
        });
        Digest::of(
            canonical_json(&parts)
                .expect("a verified workflow contains no integer beyond ±(2^53 − 1)")
                .as_bytes(),
        )
    }

    /// Returns whether the digest matches the parts.
    pub fn is_intact(&self) -> bool {
        self.digest
            == Self::digest_of(
                &self.incident,
                &self.workflow,
                &self.targets,
                &self.guardrails_version,
            )
    }
}
