//! Candidates before the decision, and the plan after it: optimised, verified, frozen under a digest.

use cluster::{Difference, Digest, ObjectRef, canonical_json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::estimates::{Estimate, Estimates, StepEstimate};
use crate::features::Features;
use crate::history::Provenance;
use crate::id::{CandidateId, DecisionId, IncidentId, PlanId};
use crate::manifest::Workflow;

/// Where a candidate comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "source")]
pub enum Source {
    /// An execution that succeeded for a similar incident, adapted to this target.
    Retrieval {
        /// Id of the past execution.
        execution: String,
        /// How alike, in (0, 1].
        similarity: f64,
        /// Rank in the retrieved list, from 1.
        rank: usize,
        /// Where it was made.
        origin: Provenance,
    },
    /// A template whose facts match.
    Template {
        /// Its name.
        name: String,
        /// Digest of the template.
        digest: Digest,
    },
    /// What changed since it last worked, turned back.
    Reversal {
        /// The changes that it turns back.
        differences: Vec<Difference>,
    },
    /// A language model.
    Model {
        /// Name of the model.
        name: String,
    },
    /// A person's correction, given as feedback.
    Demonstration {
        /// The plan that was corrected.
        corrected: PlanId,
    },
    /// Nothing is done, and the incident is watched.
    DoNothing,
    /// A person is asked.
    Escalate,
}

impl Source {
    /// One word for it.
    pub fn word(&self) -> &'static str {
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

    /// Whether the candidate changes the world.
    pub fn acts(&self) -> bool {
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
    /// Its id.
    pub id: CandidateId,
    /// The incident that it is for.
    pub incident: IncidentId,
    /// Where it comes from.
    pub source: Source,
    /// The workflow with every parameter bound. Without steps for do-nothing.
    pub workflow: Workflow,
    /// Every object that its steps act on, from the inventory of the evidence.
    pub targets: Vec<ObjectRef>,
    /// What the learner sees of it.
    pub features: Features,
    /// Why it is proposed: one sentence each, naming facts and differences of the evidence.
    pub because: Vec<String>,
}

impl Candidate {
    /// Digest of what it would do: candidates that do the same are one.
    pub fn deed(&self) -> Digest {
        Digest::of(
            canonical_json(&self.workflow.spec)
                .expect("a candidate's workflow is plain data")
                .as_bytes(),
        )
    }
}

/// What the optimizer changed, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// One sentence per change, in the order in which they were made.
    pub changes: Vec<String>,
    /// Ids of the steps before, in order.
    pub before: Vec<String>,
    /// Ids of the steps after, in order.
    pub after: Vec<String>,
    /// Ids of the steps that were removed as redundant.
    pub removed: Vec<String>,
    /// Expected seconds before, by the estimates.
    pub expected_seconds_before: f64,
    /// Expected seconds after.
    pub expected_seconds_after: f64,
}

/// A frozen plan. Its digest covers incident, workflow, targets and guardrails' version, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Digest that approval, step keys and run bind to.
    pub digest: Digest,
    /// The incident that it is for.
    pub incident: IncidentId,
    /// The optimised workflow, every parameter bound.
    pub workflow: Workflow,
    /// Every object that it acts on.
    pub targets: Vec<ObjectRef>,
    /// Version of the guardrails under which it was verified.
    pub guardrails_version: String,
    /// The candidate that it was.
    pub candidate: CandidateId,
    /// Where it came from.
    pub source: Source,
    /// The decision that chose it.
    pub decision: DecisionId,
    /// The learner's probability that it resolves the incident, asked of the plan as frozen.
    pub confidence: Estimate,
    /// The same of each step.
    pub steps: Vec<StepEstimate>,
    /// All estimates as asked at freezing, for the record.
    pub estimates: Estimates,
    /// What the learner saw of it, for the lesson.
    pub features: Features,
    /// Why, in sentences that name the evidence.
    pub explanation: Vec<String>,
    /// What the optimizer changed.
    pub account: Account,
    /// Which attempt on the incident, from 1.
    pub attempt: u32,
    /// Whether a person must approve it before it runs, and why.
    pub needs_approval: Option<String>,
    /// When it was frozen.
    pub created_at: Timestamp,
}

impl Plan {
    /// The digest that a plan of these parts has.
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
                .expect("a verified workflow holds no integer beyond ±(2^53 − 1)")
                .as_bytes(),
        )
    }

    /// Whether the digest is that of the parts.
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
