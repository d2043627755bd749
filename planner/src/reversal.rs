//! Change reversal: reverts differences from the known-good state with typed actions.

use actions::{ChangedField, FieldClass, RolloutRestart, RolloutUndo};
use cluster::{Difference, Object, ObjectChange, ObjectKey};
use serde_json::{Map, Value, json};
use workflow::{Args, Evidence, Fact, Predicate, fact};

use crate::relation::{EdgeFilter, distances, target_and_neighbours};
use crate::step::{PlannedAction, consumer_of};

/// Differences in one field, and the action that reverts them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reversal {
    pub(crate) action: PlannedAction,
    pub(crate) field: FieldClass,
    pub(crate) differences: Vec<Difference>,
}

/// Returns the revertible changes of the target and its related objects.
///
/// If none of these changed, returns the revertible changes of the Services that the target calls, and of the workloads
/// behind them.
pub(crate) fn reversals(evidence: &Evidence) -> Vec<Reversal> {
    let Some(target) = &evidence.target else { return Vec::new() };
    let near = distances(&evidence.objects, &evidence.facts, target, EdgeFilter::Ownership);
    let (own, far): (Vec<Reversal>, Vec<Reversal>) = group_by_field(evidence)
        .into_iter()
        .partition(|reversal| near.contains_key(&ObjectKey::from(&reversal.differences[0].object)));
    if own.is_empty() { far } else { own }
}

/// What one action reverts: the object's key, the field class, the JSON pointer, and whether the element was removed.
type RevertGroup = (ObjectKey, FieldClass, String, bool);

/// Groups the differences by the action that reverts them, in the order in which the actions are to run.
fn group_by_field(evidence: &Evidence) -> Vec<Reversal> {
    let mut groups: Vec<(RevertGroup, Vec<Difference>)> = Vec::new();
    for difference in &evidence.differences {
        let (Some(field), Some(part)) = (FieldClass::of(difference), revert_pointer(difference))
        else {
            continue;
        };
        // The index of a removed list element refers to the earlier state; the current state may have another element
        // at the same index.
        let is_removed = matches!(&difference.change, ObjectChange::Field { pointer, after: None, .. } if *pointer == part);
        let key = (ObjectKey::from(&difference.object), field, part, is_removed);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, differences)) => differences.push(difference.clone()),
            None => groups.push((key, vec![difference.clone()])),
        }
    }
    let mut reversals: Vec<Reversal> = groups
        .into_iter()
        .filter_map(|((_, field, part, _), differences)| {
            let object = evidence.object(&differences[0].object)?;
            let action = revert_action(object, field, &part, &differences)?;
            Some(Reversal { action, field, differences })
        })
        .collect();
    reversals.sort_by_key(|reversal| reversal.field);
    reversals
}

/// Returns the JSON pointer below which one action reverts every difference.
fn revert_pointer(difference: &Difference) -> Option<String> {
    let ObjectChange::Field { pointer, .. } = &difference.change else { return None };
    let depth = match FieldClass::of(difference)? {
        FieldClass::Config | FieldClass::Replicas | FieldClass::Selector => 2,
        FieldClass::Port => 3,
        FieldClass::Image | FieldClass::Resources | FieldClass::Probe => 6,
        FieldClass::Env => 7,
        FieldClass::Template => return None,
    };
    let parts: Vec<&str> = pointer.split('/').collect();
    Some(parts[..parts.len().min(depth + 1)].join("/"))
}

/// Returns the action that sets `part` of `object` back to its value before `differences`.
fn revert_action(
    object: &Object,
    field: FieldClass,
    part: &str,
    differences: &[Difference],
) -> Option<PlannedAction> {
    let before = previous_value(object, part, differences);
    let changed = ChangedField { object, pointer: part, before: &before };
    let target = &differences[0].object;
    actions::all()
        .iter()
        .filter(|action| action.modified_fields().contains(&field))
        .find_map(|action| Some(PlannedAction::on(*action, target, action.restore(&changed)?)))
}

/// Returns the value at `part` before the differences, which are all at or below it. Null if there was none.
fn previous_value(object: &Object, part: &str, differences: &[Difference]) -> Value {
    let mut value = object.at(part).cloned().unwrap_or_default();
    for difference in differences {
        let ObjectChange::Field { pointer, before, .. } = &difference.change else { continue };
        let below: Vec<String> = pointer[part.len()..]
            .split('/')
            .skip(1)
            .map(|part| part.replace("~1", "/").replace("~0", "~"))
            .collect();
        set_at_path(&mut value, &below, before.clone());
    }
    value
}

fn set_at_path(value: &mut Value, path: &[String], to: Option<Value>) {
    let Some((first, rest)) = path.split_first() else {
        *value = to.unwrap_or_default();
        return;
    };
    if value.is_null() {
        *value = json!({});
    }
    let Some(map) = value.as_object_mut() else { return };
    if rest.is_empty() && to.is_none() {
        map.remove(first);
    } else {
        set_at_path(map.entry(first.clone()).or_insert(Value::Null), rest, to);
    }
    // A map that is empty after the removal did not exist before.
    if map
        .get(first)
        .is_some_and(|below| below.as_object().is_some_and(Map::is_empty) && !rest.is_empty())
    {
        map.remove(first);
    }
}

/// Returns the actions of the reversals, with a restart of each workload that reads a reverted ConfigMap.
///
/// Pods may read configuration only when they start. A workload whose pod template is reverted too restarts anyway.
pub(crate) fn with_restart(reversals: &[&Reversal], evidence: &Evidence) -> Vec<PlannedAction> {
    let mut actions: Vec<PlannedAction> =
        reversals.iter().map(|reversal| reversal.action.clone()).collect();
    let is_rolled_out = |target: &Value| {
        reversals.iter().any(|other| {
            matches!(
                other.field,
                FieldClass::Image
                    | FieldClass::Env
                    | FieldClass::Resources
                    | FieldClass::Probe
                    | FieldClass::Template
            ) && other.action.arguments.get("target") == Some(target)
        })
    };
    let mut restarts: Vec<PlannedAction> = Vec::new();
    for reversal in reversals.iter().filter(|reversal| reversal.field == FieldClass::Config) {
        if let Some(reader) = consumer_of(&reversal.differences[0].object, evidence) {
            let restart = PlannedAction::on(&RolloutRestart, &reader, Args::new());
            if !is_rolled_out(&restart.arguments["target"]) && !restarts.contains(&restart) {
                restarts.push(restart);
            }
        }
    }
    let after_config = reversals
        .iter()
        .rposition(|reversal| reversal.field == FieldClass::Config)
        .map_or(0, |at| at + 1);
    actions.splice(after_config..after_config, restarts);
    actions
}

/// Returns an undo of the rollout to the revision with the known-good pod template, for each workload near the target whose
/// pod template changed.
pub(crate) fn rollout_undos(evidence: &Evidence) -> Vec<(PlannedAction, Vec<Difference>)> {
    let mut found = Vec::new();
    for workload in target_and_neighbours(evidence) {
        if !evidence.object(&workload).is_some_and(fact::is_workload) {
            continue;
        }
        let changed: Vec<Difference> = evidence
            .differences
            .iter()
            .filter(|difference| difference.object.is_same(&workload))
            .filter(|difference| {
                !matches!(FieldClass::of(difference), None | Some(FieldClass::Replicas))
            })
            .cloned()
            .collect();
        let revision = evidence.facts.value(&workload, Predicate::RevisionAvailable, "known-good");
        if let (Some(revision), false) = (revision, changed.is_empty()) {
            let arguments = Args::from_iter([("revision".to_string(), revision.clone())]);
            found.push((PlannedAction::on(&RolloutUndo, &workload, arguments), changed));
        }
    }
    found
}

/// Returns the known-good values of the changed fields as facts, which templates match.
pub(crate) fn known_good_facts(evidence: &Evidence) -> Vec<Fact> {
    let fact = |reversal: Reversal| {
        let action = actions::find(&reversal.action.action)?;
        action.known_good_fact(&reversal.differences[0].object, &reversal.action.arguments)
    };
    group_by_field(evidence).into_iter().filter_map(fact).collect()
}
