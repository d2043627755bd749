//! The action catalogue as plain data: what every action takes, needs, changes and costs.

pub mod arguments;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::duration::Span;
use crate::fact::FactPattern;

/// What an action is told, by argument name.
pub type Args = Map<String, Value>;

/// How an action's effect is made single (`execution-semantics` 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ActionClass {
    /// Absolute: a repeat gives the same state.
    A,
    /// Made idempotent by a name, a uid or a marker of ours.
    B,
    /// Not idempotent: sent at most once.
    C,
    /// Irreversible: off unless enabled.
    D,
}

/// Whether an action can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reversibility {
    /// It changes nothing.
    NoEffect,
    /// The prior value is kept and put back.
    Reversible,
    /// Something can be done, but not the same state restored.
    BestEffort,
    /// Nothing can be done.
    Irreversible,
}

/// The declaration of one action: every part of Chiron reads this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionSpec {
    /// Its name in workflows: `rollout-restart`.
    pub name: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// JSON Schema (2020-12) of its arguments; `additionalProperties: false`.
    pub parameters: Value,
    /// The argument that names the object it acts on; absent for actions on nothing (wait, ask).
    pub target: Option<String>,
    /// Kinds that the target may have.
    pub target_kinds: Vec<String>,
    /// How its effect is made single.
    pub class: ActionClass,
    /// Whether it can be undone.
    pub reversibility: Reversibility,
    /// Whether the catalogue can undo it by itself, from the state captured before it (`actions::inverse`).
    pub has_inverse: bool,
    /// Facts that it looks at. Holes are argument names with `$` in front.
    pub reads: Vec<FactPattern>,
    /// Facts that must hold before it.
    pub needs: Vec<FactPattern>,
    /// Facts that it makes true.
    pub effects: Vec<FactPattern>,
    /// What it must be allowed to do.
    pub permissions: Vec<Permission>,
    /// What it may disturb.
    pub blast_radius: BlastRadius,
    /// What is believed of it before anything was seen.
    pub priors: Priors,
}

/// A right that an action needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// `get`, `patch`, …
    pub verb: String,
    /// The kind; empty for the target's own.
    pub kind: String,
}

/// What an action may disturb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlastRadius {
    /// Nothing.
    Nothing,
    /// One object, no pods.
    Object,
    /// Every pod of one workload, a few at a time.
    Workload,
    /// Whoever calls one service.
    Service,
    /// A node and all that runs on it.
    Node,
}

/// What is believed of an action before anything was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Priors {
    /// How long it takes until its post-condition holds, in the middle.
    pub duration: Span,
    /// Beta prior of its success: pseudo-count of successes.
    pub success_alpha: f64,
    /// Pseudo-count of failures.
    pub success_beta: f64,
    /// What it costs in disturbance, in seconds of a person's time.
    pub cost_seconds: f64,
}

/// All actions, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalogue {
    /// Grows when an action is added or changed.
    pub version: u32,
    /// The actions.
    pub actions: BTreeMap<String, ActionSpec>,
}

impl Catalogue {
    /// The action of this name.
    pub fn get(&self, name: &str) -> Option<&ActionSpec> {
        self.actions.get(name)
    }

    /// The known name that is nearest to `name`, if one is near enough to suggest.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        self.actions
            .keys()
            .map(|known| (edit_distance(known, name), known.as_str()))
            .filter(|(d, _)| *d <= 3)
            .min()
            .map(|(_, known)| known)
    }
}

/// How many letters must change between two short words (Levenshtein).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
