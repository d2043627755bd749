//! The action catalogue as plain data: arguments, preconditions, effects and costs of every action.

pub mod arguments;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::duration::Duration;
use crate::fact::FactPattern;

/// Arguments of an action, by name.
pub type Args = Map<String, Value>;

/// How the action achieves idempotency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionClass {
    /// The action sets an absolute state; a repeat gives the same state.
    NaturallyIdempotent,
    /// A name, a uid or a marker that the action writes makes it idempotent.
    Marked,
    /// The action is not idempotent; it is sent at most once.
    AtMostOnce,
    /// The action is irreversible; disabled unless a guardrail allows it.
    Irreversible,
}

/// Whether an action can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reversibility {
    /// The action changes nothing.
    NoEffect,
    /// The exact prior value can be restored.
    Reversible,
    /// It can be partly undone, but the exact prior state cannot be restored.
    BestEffort,
    /// It cannot be undone.
    Irreversible,
}

/// The declaration of one action, used by all parts of Chiron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionSpec {
    /// Name in workflows: `rollout-restart`.
    pub name: String,
    /// Description in one sentence.
    pub summary: String,
    /// JSON Schema (2020-12) of the arguments; `additionalProperties: false`.
    pub parameters: Value,
    /// Name of the argument with the object that it acts on; absent for actions without a target (`wait`,
    /// `request-approval`).
    pub target: Option<String>,
    /// Allowed kinds of the target.
    pub target_kinds: Vec<String>,
    /// How the action achieves idempotency.
    pub class: ActionClass,
    /// Whether it can be undone.
    pub reversibility: Reversibility,
    /// Whether the catalogue can undo the action from the state captured before it (`actions::inverse`).
    pub has_inverse: bool,
    /// Facts that it reads. Placeholders are argument names with a leading `$`.
    pub reads: Vec<FactPattern>,
    /// Facts that must be true before it.
    pub needs: Vec<FactPattern>,
    /// Facts that are true after it.
    pub effects: Vec<FactPattern>,
    /// Kubernetes permissions that it requires.
    pub permissions: Vec<Permission>,
    /// What it may disrupt.
    pub blast_radius: BlastRadius,
    /// Estimates of duration, success and cost without observations.
    pub priors: Priors,
}

/// A Kubernetes permission that an action requires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// RBAC verb: `get`, `patch`, …
    pub verb: String,
    /// The kind; empty for the kind of the target.
    pub kind: String,
}

/// What an action may disrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlastRadius {
    /// Nothing.
    Nothing,
    /// One object without pods.
    Object,
    /// All pods of one workload, in a rolling update.
    Workload,
    /// All clients of one Service.
    Service,
    /// A node and all pods on it.
    Node,
}

/// Estimates for an action without observations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Priors {
    /// Median time until its post-conditions are true.
    pub duration: Duration,
    /// Beta prior of the success probability: pseudo-count of successes.
    pub success_alpha: f64,
    /// Beta prior of the success probability: pseudo-count of failures.
    pub success_beta: f64,
    /// Cost of the disruption, as seconds of an operator's time.
    pub cost_seconds: f64,
}

/// All actions, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalogue {
    /// Incremented when an action is added or changed.
    pub version: u32,
    /// Actions by name.
    pub actions: BTreeMap<String, ActionSpec>,
}

impl Catalogue {
    /// Returns the action with this name.
    pub fn get(&self, name: &str) -> Option<&ActionSpec> {
        self.actions.get(name)
    }

    /// Returns the action name that is most similar to `name`, if the edit distance is at most 3.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        self.actions
            .keys()
            .map(|known| (edit_distance(known, name), known.as_str()))
            .filter(|(d, _)| *d <= 3)
            .min()
            .map(|(_, known)| known)
    }
}

/// Returns the Levenshtein distance of two strings, of which at most 64 characters are compared.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let compared = |text: &str| text.chars().take(64).collect::<String>();
    strsim::levenshtein(&compared(a), &compared(b))
}
