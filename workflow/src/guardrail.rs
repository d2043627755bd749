//! Guardrails: typed limits and CEL rules for what Chiron may do. Protected namespaces are denied by default.

mod judge;

use std::collections::BTreeMap;

use cluster::{Digest, ObjectKey, ObjectRef, canonical_json};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalogue::{ActionClass, Args, Reversibility};
use crate::duration::Duration;
use crate::expression::Expression;
use crate::manifest::ManifestMetadata;

pub use judge::judge;

/// Level of autonomy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Autonomy {
    /// Gathers evidence, but proposes nothing.
    Observe,
    /// Proposes plans, but runs none.
    Suggest,
    /// Every plan needs the approval of an operator.
    #[default]
    Approve,
    /// Low-risk plans run without approval: reversible, idempotent (class `naturallyIdempotent` or `marked`), on one workload.
    AutoLowRisk,
    /// All plans run without approval.
    Auto,
}

impl Autonomy {
    /// Returns whether plans may run at this level, with or without approval.
    pub fn allows_execution(self) -> bool {
        match self {
            Self::Observe | Self::Suggest => false,
            Self::Approve | Self::AutoLowRisk | Self::Auto => true,
        }
    }
}

/// Limits for what Chiron may do. `kind: RemediationGuardrail`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guardrails {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `RemediationGuardrail`.
    pub kind: String,
    /// Name and description.
    pub metadata: ManifestMetadata,
    /// The limits.
    pub spec: GuardrailSpec,
}

/// Limits of a guardrail manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GuardrailSpec {
    /// Level of autonomy.
    pub autonomy: Autonomy,
    /// Namespaces in which nothing may be changed.
    pub protected_namespaces: Vec<String>,
    /// Namespaces in which changes are allowed. Default: all but the protected ones.
    pub allowed_namespaces: Vec<String>,
    /// Actions that are never allowed.
    pub denied_actions: Vec<String>,
    /// Whether irreversible actions (class `irreversible`) are allowed.
    pub allow_irreversible: bool,
    /// Minimum number of replicas to which a workload may be scaled.
    pub min_replicas: u32,
    /// Maximum number of replicas to which a workload may be scaled.
    pub max_replicas: u32,
    /// Maximum number of pods that one step may disrupt.
    pub max_pods: u32,
    /// Maximum number of changes to one target per hour.
    pub max_changes_per_target_per_hour: u32,
    /// Maximum number of changes per hour in total.
    pub max_changes_per_hour: u32,
    /// Maximum number of runs per incident.
    pub max_runs_per_incident: u32,
    /// Periods in which nothing may be changed.
    pub freezes: Vec<Freeze>,
    /// CEL rules over `action`, `args`, `target`, `pods` and `class`. A rule that is true, or cannot be evaluated, denies.
    pub deny: Vec<DenyRule>,
}

/// A period in which nothing may be changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// Name of the period.
    pub name: String,
    /// Start, inclusive.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// End, exclusive.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// A CEL rule that denies steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyRule {
    /// Name of the rule.
    pub name: String,
    /// CEL expression. The step is denied if it is true or unknown.
    pub when: Expression,
    /// How to fix a denied step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Default for GuardrailSpec {
    fn default() -> Self {
        Self {
            autonomy: Autonomy::default(),
            protected_namespaces: [
                "kube-system",
                "kube-public",
                "kube-node-lease",
                "chiron-system",
            ]
            .map(Into::into)
            .to_vec(),
            allowed_namespaces: Vec::new(),
            denied_actions: Vec::new(),
            allow_irreversible: false,
            min_replicas: 1,
            max_replicas: 50,
            max_pods: 50,
            max_changes_per_target_per_hour: 6,
            max_changes_per_hour: 60,
            max_runs_per_incident: 3,
            freezes: Vec::new(),
            deny: Vec::new(),
        }
    }
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            api_version: crate::manifest::API_VERSION.into(),
            kind: "RemediationGuardrail".into(),
            metadata: ManifestMetadata { name: "default".into(), ..ManifestMetadata::default() },
            spec: GuardrailSpec::default(),
        }
    }
}

impl Guardrails {
    /// Returns the version: the digest of the canonical JSON, as stored in the record and in plans.
    pub fn version(&self) -> String {
        Digest::of(canonical_json(self).expect("guardrails are plain data").as_bytes()).to_string()
    }
}

/// The impact of one step, as checked by guardrails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// Name of the action.
    pub action: String,
    /// Arguments of the action.
    pub arguments: Args,
    /// Objects that the step changes.
    pub targets: Vec<ObjectRef>,
    /// Number of pods that the step may disrupt. [`u32::MAX`] if unknown.
    pub pods: u32,
    /// Number of replicas after the step, if it sets them.
    pub replicas_after: Option<u32>,
    /// Class of the action.
    pub class: ActionClass,
    /// Whether the action can be reverted.
    pub reversibility: Reversibility,
}

/// Changes of the last hour. The executor adds every intent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeLog {
    /// Times of the intents on each target within the last hour, oldest first.
    pub changes: BTreeMap<ObjectKey, Vec<Timestamp>>,
}

impl ChangeLog {
    /// Adds a change of `object` and removes changes older than an hour.
    pub fn record(&mut self, object: &ObjectRef, now: Timestamp) {
        self.changes.entry(object.into()).or_default().push(now);
        let hour_ago = now - Duration::from_secs(3600).signed();
        for times in self.changes.values_mut() {
            times.retain(|at| *at > hour_ago);
        }
        self.changes.retain(|_, times| !times.is_empty());
    }

    /// Returns the number of changes of `object` in the hour before `now`.
    pub fn count(&self, object: &ObjectRef, now: Timestamp) -> usize {
        let hour_ago = now - Duration::from_secs(3600).signed();
        self.changes
            .get(&ObjectKey::from(object))
            .map_or(0, |times| times.iter().filter(|at| **at > hour_ago).count())
    }

    /// Returns the number of all changes in the hour before `now`.
    pub fn total(&self, now: Timestamp) -> usize {
        let hour_ago = now - Duration::from_secs(3600).signed();
        self.changes.values().flatten().filter(|at| **at > hour_ago).count()
    }
}

/// Decision of the guardrails on one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "decision")]
pub enum GuardrailDecision {
    /// Allowed.
    Allow,
    /// Allowed after an operator has approved the plan.
    NeedsApproval {
        /// Explanation in one sentence.
        message: String,
    },
    /// May be proposed, but cannot run, not even with approval.
    SuggestOnly {
        /// Explanation in one sentence.
        message: String,
    },
    /// Denied.
    Deny {
        /// Name of the field or rule that denies.
        rule: String,
        /// What is denied and why.
        message: String,
        /// How to fix it.
        hint: String,
    },
}
