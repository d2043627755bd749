//! Guardrails: what Chiron may do, in typed fields plus CEL, default deny for what is protected.

mod judge;

use std::collections::BTreeMap;

use cluster::{Digest, ObjectRef, canonical_json};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalogue::{ActionClass, Args, Reversibility};
use crate::duration::Span;
use crate::expression::Expression;
use crate::manifest::ManifestMetadata;

pub use judge::judge;

/// How far Chiron goes by itself.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Autonomy {
    /// It gathers evidence and proposes nothing.
    Observe,
    /// It proposes; nothing runs.
    Suggest,
    /// A person approves each plan.
    #[default]
    Approve,
    /// Plans of low risk run by themselves: reversible, class A or B, on one workload.
    AutoLowRisk,
    /// Plans run by themselves.
    Auto,
}

impl Autonomy {
    /// Whether anything may run at this level, be it with a person's approval.
    pub fn lets_run(self) -> bool {
        match self {
            Self::Observe | Self::Suggest => false,
            Self::Approve | Self::AutoLowRisk | Self::Auto => true,
        }
    }
}

/// What Chiron may do. `kind: RemediationGuardrail`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guardrails {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `RemediationGuardrail`.
    pub kind: String,
    /// Name and description.
    pub metadata: ManifestMetadata,
    /// The rails.
    pub spec: GuardrailSpec,
}

/// The rails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GuardrailSpec {
    /// How far Chiron goes by itself.
    pub autonomy: Autonomy,
    /// Namespaces in which nothing is changed.
    pub protected_namespaces: Vec<String>,
    /// Namespaces in which something may be changed; all but the protected ones where empty.
    pub allowed_namespaces: Vec<String>,
    /// Actions that are never taken.
    pub denied_actions: Vec<String>,
    /// Whether irreversible actions (class D) may be taken at all.
    pub allow_irreversible: bool,
    /// Fewest replicas that a workload may be brought to.
    pub min_replicas: u32,
    /// Most replicas that a workload may be brought to.
    pub max_replicas: u32,
    /// Most pods that one step may disturb.
    pub max_pods: u32,
    /// Most changes to one target within an hour.
    pub max_changes_per_target_per_hour: u32,
    /// Most changes in all within an hour.
    pub max_changes_per_hour: u32,
    /// Most runs for one incident.
    pub max_runs_per_incident: u32,
    /// Spans of time in which nothing is changed.
    pub freezes: Vec<Freeze>,
    /// Rules in CEL over `action`, `args`, `target`, `pods`, `class`: any that is true, or cannot be judged, denies.
    pub deny: Vec<DenyRule>,
}

/// A span of time in which nothing is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// What it is called.
    pub name: String,
    /// From when.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// Until when, itself excluded.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// A rule that denies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyRule {
    /// What it is called.
    pub name: String,
    /// CEL; true denies, and so does unknown.
    pub when: Expression,
    /// How to mend what it denies.
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
    /// Their version: the digest of their canonical bytes, as it stands in the record and in plans.
    pub fn version(&self) -> String {
        Digest::of(canonical_json(self).expect("guardrails are plain data").as_bytes()).to_string()
    }
}

/// What one step would do, as far as guardrails care.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Footprint {
    /// The action.
    pub action: String,
    /// What it is told.
    pub arguments: Args,
    /// Objects that it changes.
    pub targets: Vec<ObjectRef>,
    /// Pods that it may disturb.
    pub pods: u32,
    /// Replicas that it leaves, where it sets them.
    pub replicas_after: Option<u32>,
    /// Its class.
    pub class: ActionClass,
    /// Whether it can be undone.
    pub reversibility: Reversibility,
}

/// What was done of late: advanced by the fleet with every intent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Times of the intents on each target within the last hour, oldest first. Key: `cluster/kind/namespace/name`.
    pub changes: BTreeMap<String, Vec<Timestamp>>,
}

impl Ledger {
    /// The key of a target.
    pub fn key(object: &ObjectRef) -> String {
        format!(
            "{}/{}/{}/{}",
            object.cluster,
            object.kind,
            object.namespace.as_deref().unwrap_or(""),
            object.name
        )
    }

    /// Notes one change of `object` and forgets what is older than an hour.
    pub fn note(&mut self, object: &ObjectRef, now: Timestamp) {
        self.changes.entry(Self::key(object)).or_default().push(now);
        let hour_ago = now - Span::from_secs(3600).signed();
        for times in self.changes.values_mut() {
            times.retain(|at| *at > hour_ago);
        }
        self.changes.retain(|_, times| !times.is_empty());
    }

    /// Changes of `object` within the hour before `now`.
    pub fn count(&self, object: &ObjectRef, now: Timestamp) -> usize {
        let hour_ago = now - Span::from_secs(3600).signed();
        self.changes
            .get(&Self::key(object))
            .map_or(0, |times| times.iter().filter(|at| **at > hour_ago).count())
    }

    /// Changes in all within the hour before `now`.
    pub fn total(&self, now: Timestamp) -> usize {
        let hour_ago = now - Span::from_secs(3600).signed();
        self.changes.values().flatten().filter(|at| **at > hour_ago).count()
    }
}

/// What the guardrails say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    /// It may be done.
    Allow,
    /// It may be done once a person has approved the plan.
    NeedsApproval {
        /// Why.
        why: String,
    },
    /// It may be proposed, and not be done: a person sees it, and nobody can have it run.
    SuggestOnly {
        /// Why.
        why: String,
    },
    /// It may not be done.
    Deny {
        /// The field or the rule that denies.
        rule: String,
        /// What it denies.
        message: String,
        /// How to mend it.
        hint: String,
    },
}
