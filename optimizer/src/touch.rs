//! What one step looks at and changes, read off the declaration of its action.

use std::collections::BTreeSet;

use serde_json::Value;
use workflow::condition::Read;
use workflow::fact::{FactPattern, ValuePattern};
use workflow::manifest::{Compensation, DeclaredCompensation, OnFailure};
use workflow::{
    ActionClass, ActionSpec, Catalogue, Condition, ObjectRef, Predicate, Reversibility, Step,
};

/// A fact of one object, as far as the arguments tell which. Absent parts may be any.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ground {
    pub(crate) predicate: Predicate,
    key: Option<String>,
}

impl Ground {
    fn of(pattern: &FactPattern, step: &Step) -> Self {
        Self {
            predicate: pattern.predicate,
            key: pattern.key.as_deref().and_then(|key| filled(key, step)),
        }
    }

    /// Whether both may be about the same thing, of the same object.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let is_same_key = match (&self.key, &other.key) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.predicate == other.predicate && is_same_key
    }
}

/// `$container/$name` with the step's arguments in it; none if one of them is not known yet.
fn filled(word: &str, step: &Step) -> Option<String> {
    let parts: Option<Vec<String>> = word
        .split('/')
        .map(|part| match part.strip_prefix('$') {
            None => Some(part.to_string()),
            Some(name) => match step.arguments.get(name)? {
                Value::String(text) if !text.contains("${{") => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::String(_)
                | Value::Null
                | Value::Bool(_)
                | Value::Array(_)
                | Value::Object(_) => None,
            },
        })
        .collect();
    parts.map(|parts| parts.join("/"))
}

/// What one step looks at and changes.
pub(crate) struct Touch<'a> {
    pub(crate) step: &'a Step,
    /// Its action, if the catalogue knows it.
    pub(crate) spec: Option<&'a ActionSpec>,
    /// The object that it acts on, if it acts on one that is known yet.
    pub(crate) target: Option<ObjectRef>,
    /// Facts of the target that it looks at or relies on.
    pub(crate) looks: Vec<Ground>,
    /// Facts of the target that it may change.
    pub(crate) changes: Vec<Ground>,
    /// Every text in it that is evaluated.
    texts: Vec<String>,
}

impl<'a> Touch<'a> {
    pub(crate) fn of(step: &'a Step, catalogue: &'a Catalogue) -> Self {
        let spec = catalogue.get(&step.action);
        let target = spec
            .and_then(|spec| actions::target(spec, &step.arguments, ""))
            .filter(|target| !is_open(&target.name));
        let ground = |patterns: &[FactPattern]| {
            patterns.iter().map(|pattern| Ground::of(pattern, step)).collect::<Vec<_>>()
        };
        let looks =
            spec.map_or_else(Vec::new, |spec| [ground(&spec.reads), ground(&spec.needs)].concat());
        let changes = spec.map_or_else(Vec::new, |spec| ground(&spec.effects));
        let mut texts = Vec::new();
        collect_texts(&serde_json::to_value(step).expect("a step is plain data"), &mut texts);
        Self { step, spec, target, looks, changes, texts }
    }

    /// Whether it holds the run up rather than changing anything: a wait, a question, an approval. So does whatever
    /// cannot be judged: an unknown action, a target that is not known yet.
    pub(crate) fn is_guard(&self) -> bool {
        self.spec.is_none() || self.target.is_none() || self.step.approval.is_some()
    }

    /// Whether what it evaluates speaks of the step `id`.
    pub(crate) fn refers_to(&self, id: &str) -> bool {
        self.texts.iter().any(|text| text.contains("steps") && text.contains(id))
    }

    /// Whether it acts on the object that the other acts on.
    pub(crate) fn shares_target(&self, other: &Self) -> bool {
        matches!((&self.target, &other.target), (Some(a), Some(b)) if is_same_place(a, b))
    }

    /// Whether it changes configuration that the pods of the other's target may read.
    pub(crate) fn configures(&self, other: &Self) -> bool {
        let (Some(own), Some(theirs)) = (&self.target, &other.target) else { return false };
        is_config(&own.kind)
            && is_workload(&theirs.kind)
            && own.namespace == theirs.namespace
            && own.cluster == theirs.cluster
    }

    /// Whether a condition of it may come out otherwise for what the other changes.
    pub(crate) fn watches(&self, other: &Self) -> bool {
        let conditions = self.step.preconditions.iter().chain(&self.step.postconditions);
        other
            .target
            .as_ref()
            .is_some_and(|changed| conditions.clone().any(|condition| may_show(condition, changed)))
    }

    /// Whether all that it did is put back when the run unwinds, and it unwinds when the step fails.
    pub(crate) fn is_undone(&self) -> bool {
        let has_way_back = self.spec.is_some_and(|spec| {
            spec.has_inverse && spec.reversibility == Reversibility::Reversible
        });
        let is_taken = match &self.step.compensation {
            None | Some(Compensation::Declared(DeclaredCompensation::Inverse)) => true,
            Some(
                Compensation::Declared(DeclaredCompensation::None) | Compensation::Step { .. },
            ) => false,
        };
        has_way_back
            && is_taken
            && matches!(self.step.on_failure, OnFailure::RollBack | OnFailure::NextPlan)
    }

    /// Names of the arguments that an effect gives as the value: what is set, not what it is set of.
    pub(crate) fn values(&self) -> BTreeSet<&'a str> {
        let effects = self.spec.map_or(&[][..], |spec| spec.effects.as_slice());
        let hole = |pattern: &'a FactPattern| match &pattern.value {
            Some(ValuePattern::Is(Value::String(word))) => word.strip_prefix('$'),
            Some(
                ValuePattern::Is(_)
                | ValuePattern::In { .. }
                | ValuePattern::Not { .. }
                | ValuePattern::Below { .. }
                | ValuePattern::Above { .. },
            )
            | None => None,
        };
        effects.iter().filter_map(hole).collect()
    }

    /// Whether a repeat leaves the same state.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.spec.is_some_and(|spec| matches!(spec.class, ActionClass::A | ActionClass::B))
    }
}

/// Whether `changed`, or what follows from its change, may show in the objects that a condition reads. Lists and series
/// may show anything of their namespace; configuration and Services show in workloads, and the other way round.
fn may_show(condition: &Condition, changed: &ObjectRef) -> bool {
    condition.read.values().any(|read| match read {
        Read::Metric { .. } => true,
        Read::Objects { namespace, .. } => {
            is_open(namespace) || changed.namespace.as_ref().is_none_or(|own| own == namespace)
        }
        Read::Object { kind, namespace, name, .. } => {
            let is_open =
                is_open(kind) || is_open(name) || namespace.as_deref().is_some_and(is_open);
            let is_near = *namespace == changed.namespace;
            let is_same = *kind == changed.kind && *name == changed.name;
            is_open
                || (is_near
                    && (is_same
                        || (is_config(&changed.kind) && !is_config(kind))
                        || !is_plain(kind)))
        }
    })
}

/// Kinds whose state nothing but a change of themselves (or of their configuration) moves.
fn is_plain(kind: &str) -> bool {
    is_config(kind) || is_workload(kind) || kind == "Service"
}

fn is_config(kind: &str) -> bool {
    matches!(kind, "ConfigMap" | "Secret")
}

fn is_workload(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet")
}

fn is_open(text: &str) -> bool {
    text.contains("${{")
}

/// Whether both name one place, whatever incarnation holds it. A cluster that is not named is the one that is.
pub(crate) fn is_same_place(a: &ObjectRef, b: &ObjectRef) -> bool {
    let is_same_cluster = a.cluster == b.cluster || a.cluster.is_empty() || b.cluster.is_empty();
    is_same_cluster && a.kind == b.kind && a.namespace == b.namespace && a.name == b.name
}

fn collect_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| collect_texts(value, texts)),
        Value::Object(map) => map.values().for_each(|value| collect_texts(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
