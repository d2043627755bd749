//! The facts that a step reads and writes, derived from the declaration of its action.

use std::collections::BTreeSet;

use serde_json::Value;
use workflow::condition::Read;
use workflow::fact::{FactPattern, ValuePattern};
use workflow::manifest::{Compensation, DeclaredCompensation, OnFailure};
use workflow::{
    ActionClass, ActionSpec, Catalogue, Condition, ObjectRef, Predicate, Reversibility, Step,
};

/// A fact pattern with the step's arguments filled in. `key` is `None` if it is not known yet or the pattern has none:
/// it then matches any key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroundFact {
    pub(crate) predicate: Predicate,
    key: Option<String>,
}

impl GroundFact {
    fn of(pattern: &FactPattern, step: &Step) -> Self {
        Self {
            predicate: pattern.predicate,
            key: pattern.key.as_deref().and_then(|key| fill(key, step)),
        }
    }

    /// Whether both may denote the same fact of one object.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let is_same_key = match (&self.key, &other.key) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.predicate == other.predicate && is_same_key
    }
}

/// Fills `$container/$name` with the step's arguments. Returns `None` if one of them is not known yet.
fn fill(pattern: &str, step: &Step) -> Option<String> {
    let parts: Option<Vec<String>> = pattern
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

/// The state that one step reads and writes.
pub(crate) struct Access<'a> {
    pub(crate) step: &'a Step,
    /// Its action; `None` if the catalogue does not contain it.
    pub(crate) spec: Option<&'a ActionSpec>,
    /// The object that it acts on; `None` if there is none or its name is not known yet.
    pub(crate) target: Option<ObjectRef>,
    /// Facts of the target that it reads or requires.
    pub(crate) reads: Vec<GroundFact>,
    /// Facts of the target that it may change.
    pub(crate) writes: Vec<GroundFact>,
    /// Every string in the step; any of them may contain an expression.
    texts: Vec<String>,
}

impl<'a> Access<'a> {
    pub(crate) fn of(step: &'a Step, catalogue: &'a Catalogue) -> Self {
        let spec = catalogue.get(&step.action);
        let target = spec
            .and_then(|spec| actions::target(spec, &step.arguments, ""))
            .filter(|target| !is_unresolved(&target.name));
        let ground = |patterns: &[FactPattern]| {
            patterns.iter().map(|pattern| GroundFact::of(pattern, step)).collect::<Vec<_>>()
        };
        let reads =
            spec.map_or_else(Vec::new, |spec| [ground(&spec.reads), ground(&spec.needs)].concat());
        let writes = spec.map_or_else(Vec::new, |spec| ground(&spec.effects));
        let mut texts = Vec::new();
        collect_texts(&serde_json::to_value(step).expect("a step is plain data"), &mut texts);
        Self { step, spec, target, reads, writes, texts }
    }

    /// Whether it blocks the run rather than changing anything: a wait or an approval. A step that cannot be analysed (an
    /// unknown action, a target that is not known yet) counts as a guard.
    pub(crate) fn is_guard(&self) -> bool {
        self.spec.is_none() || self.target.is_none() || self.step.approval.is_some()
    }

    /// Whether an expression of it may refer to the step `id`.
    pub(crate) fn refers_to(&self, id: &str) -> bool {
        self.texts.iter().any(|text| text.contains("steps") && text.contains(id))
    }

    /// Whether both act on the same object.
    pub(crate) fn shares_target(&self, other: &Self) -> bool {
        matches!((&self.target, &other.target), (Some(a), Some(b)) if is_same_object(a, b))
    }

    /// Whether it changes a ConfigMap or Secret that the pods of the other's target may read.
    pub(crate) fn configures(&self, other: &Self) -> bool {
        let (Some(own), Some(theirs)) = (&self.target, &other.target) else { return false };
        is_config(&own.kind)
            && is_workload(&theirs.kind)
            && own.namespace == theirs.namespace
            && own.cluster == theirs.cluster
    }

    /// Whether a change by the other step may affect one of its conditions.
    pub(crate) fn watches(&self, other: &Self) -> bool {
        let conditions = self.step.preconditions.iter().chain(&self.step.postconditions);
        other.target.as_ref().is_some_and(|changed| {
            conditions.clone().any(|condition| may_observe(condition, changed))
        })
    }

    /// Whether a rollback of the run restores the exact prior state, and a failure of the step starts a rollback.
    pub(crate) fn is_undone(&self) -> bool {
        let has_inverse = self.spec.is_some_and(|spec| {
            spec.has_inverse && spec.reversibility == Reversibility::Reversible
        });
        let uses_inverse = match &self.step.compensation {
            None | Some(Compensation::Declared(DeclaredCompensation::Inverse)) => true,
            Some(
                Compensation::Declared(DeclaredCompensation::None) | Compensation::Step { .. },
            ) => false,
        };
        has_inverse
            && uses_inverse
            && matches!(self.step.on_failure, OnFailure::RollBack | OnFailure::NextPlan)
    }

    /// Returns the names of the arguments that are set as values of effects, as opposed to those that select what is set.
    pub(crate) fn values(&self) -> BTreeSet<&'a str> {
        let effects = self.spec.map_or(&[][..], |spec| spec.effects.as_slice());
        let placeholder = |pattern: &'a FactPattern| match &pattern.value {
            Some(ValuePattern::Is(Value::String(pattern))) => pattern.strip_prefix('$'),
            Some(
                ValuePattern::Is(_)
                | ValuePattern::In { .. }
                | ValuePattern::Not { .. }
                | ValuePattern::Below { .. }
                | ValuePattern::Above { .. },
            )
            | None => None,
        };
        effects.iter().filter_map(placeholder).collect()
    }

    /// Whether running it again leaves the same state.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.spec.is_some_and(|spec| {
            matches!(spec.class, ActionClass::NaturallyIdempotent | ActionClass::Marked)
        })
    }
}

/// Whether a change of `changed`, or its consequences, may be visible in the objects that a condition reads. Lists and
/// metrics may reflect anything in their namespace; ConfigMaps, Secrets and Services affect workloads and the reverse.
fn may_observe(condition: &Condition, changed: &ObjectRef) -> bool {
    condition.read.values().any(|read| match read {
        Read::Metric { .. } => true,
        Read::Objects { namespace, .. } => {
            is_unresolved(namespace)
                || changed.namespace.as_ref().is_none_or(|own| own == namespace)
        }
        Read::Object { kind, namespace, name, .. } => {
            let is_unresolved = is_unresolved(kind)
                || is_unresolved(name)
                || namespace.as_deref().is_some_and(is_unresolved);
            let is_same_namespace = *namespace == changed.namespace;
            let is_same = *kind == changed.kind && *name == changed.name;
            is_unresolved
                || (is_same_namespace
                    && (is_same
                        || (is_config(&changed.kind) && !is_config(kind))
                        || !is_self_contained(kind)))
        }
    })
}

/// Kinds whose state changes only if they (or their configuration) are changed.
fn is_self_contained(kind: &str) -> bool {
    is_config(kind) || is_workload(kind) || kind == "Service"
}

fn is_config(kind: &str) -> bool {
    matches!(kind, "ConfigMap" | "Secret")
}

fn is_workload(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet")
}

fn is_unresolved(text: &str) -> bool {
    text.contains("${{")
}

/// Whether both have the same kind, namespace and name, regardless of uid. An empty cluster name matches any cluster.
pub(crate) fn is_same_object(a: &ObjectRef, b: &ObjectRef) -> bool {
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
