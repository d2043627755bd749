//! Change reversal: reverts differences from the known-good state with typed actions.

use cluster::{Container, Difference, Object, ObjectChange, ObjectRef, PortRef};
use serde_json::{Map, Value, json};
use workflow::{ChangeLog, Evidence, Fact, Predicate, fact};

use crate::relation::{EdgeFilter, distances, target_and_neighbours};
use crate::step::{PlannedAction, consumer_of};

/// Class of a changed field: which action can revert it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FieldClass {
    Config,
    Image,
    Env,
    Resources,
    Probe,
    /// Any other field of a pod template. Only a rollout undo reverts it.
    Template,
    Replicas,
    Selector,
    Port,
}

impl FieldClass {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Image => "image",
            Self::Env => "env",
            Self::Resources => "resources",
            Self::Probe => "probe",
            Self::Template => "template",
            Self::Replicas => "replicas",
            Self::Selector => "selector",
            Self::Port => "port",
        }
    }
}

/// Returns the class of the field that changed. `None` for a field that no action sets and no template matches.
pub(crate) fn field_class(difference: &Difference) -> Option<FieldClass> {
    let ObjectChange::Field { pointer, .. } = &difference.change else { return None };
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    match (difference.object.kind.as_str(), parts.as_slice()) {
        ("ConfigMap", ["data", _]) => Some(FieldClass::Config),
        ("Service", ["spec", "selector", ..]) => Some(FieldClass::Selector),
        ("Service", ["spec", "ports", _, "targetPort"]) => Some(FieldClass::Port),
        ("Deployment" | "StatefulSet", ["spec", "replicas"]) => Some(FieldClass::Replicas),
        (
            "Deployment" | "StatefulSet" | "DaemonSet",
            ["spec", "template", "spec", "containers", _, rest @ ..],
        ) => Some(match rest {
            ["image"] => FieldClass::Image,
            ["env", ..] => FieldClass::Env,
            ["resources", ..] => FieldClass::Resources,
            ["readinessProbe" | "livenessProbe", ..] => FieldClass::Probe,
            _ => FieldClass::Template,
        }),
        ("Deployment" | "StatefulSet" | "DaemonSet", ["spec", "template", ..]) => {
            Some(FieldClass::Template)
        }
        _ => None,
    }
}

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
        .partition(|reversal| near.contains_key(&ChangeLog::key(&reversal.differences[0].object)));
    if own.is_empty() { far } else { own }
}

/// What one action reverts: the object's key, the field class, the JSON pointer, and whether the element was removed.
type RevertGroup = (String, FieldClass, String, bool);

/// Groups the differences by the action that reverts them, in the order in which the actions are to run.
fn group_by_field(evidence: &Evidence) -> Vec<Reversal> {
    let mut groups: Vec<(RevertGroup, Vec<Difference>)> = Vec::new();
    for difference in &evidence.differences {
        let (Some(field), Some(part)) = (field_class(difference), revert_pointer(difference))
        else {
            continue;
        };
        // The index of a removed list element refers to the earlier state; the current state may have another element
        // at the same index.
        let is_removed = matches!(&difference.change, ObjectChange::Field { pointer, after: None, .. } if *pointer == part);
        let key = (ChangeLog::key(&difference.object), field, part, is_removed);
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
    let depth = match field_class(difference)? {
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
    let target = &differences[0].object;
    let before = previous_value(object, part, differences);
    let container = || {
        let list = part.split('/').take(6).collect::<Vec<_>>().join("/");
        Some(Container::of(object.at(&list)?).name().to_string())
    };
    let leaf = part.rsplit('/').next().unwrap_or_default();
    match field {
        FieldClass::Config => {
            let key = leaf.replace("~1", "/").replace("~0", "~");
            Some(PlannedAction::on("set-config-key", target, json!({"key": key, "value": before})))
        }
        FieldClass::Image => Some(PlannedAction::on(
            "set-image",
            target,
            json!({"container": container()?, "image": before.as_str()?}),
        )),
        FieldClass::Env => revert_env(object, part, before, &container()?, target),
        FieldClass::Resources => {
            let now = object.at(part).cloned().unwrap_or_default();
            let mut arguments = Map::from_iter([("container".to_string(), container()?.into())]);
            for list in ["requests", "limits"] {
                let quantity = |resources: &Value, name: &str| {
                    resources
                        .get(list)
                        .and_then(|list| list.get(name))
                        .cloned()
                        .unwrap_or(Value::Null)
                };
                let changed: Map<String, Value> = ["cpu", "memory"]
                    .into_iter()
                    .filter(|name| quantity(&before, name) != quantity(&now, name))
                    .map(|name| (name.to_string(), quantity(&before, name)))
                    .collect();
                if !changed.is_empty() {
                    arguments.insert(list.into(), changed.into());
                }
            }
            (arguments.len() > 1)
                .then(|| PlannedAction::on("set-resources", target, arguments.into()))
        }
        FieldClass::Probe => {
            let which = if leaf == "livenessProbe" { "liveness" } else { "readiness" };
            Some(PlannedAction::on(
                "set-probe",
                target,
                json!({"container": container()?, "which": which, "probe": before}),
            ))
        }
        FieldClass::Replicas => Some(PlannedAction::on(
            "scale",
            target,
            json!({"replicas": before.as_u64().unwrap_or(1)}),
        )),
        FieldClass::Selector => Some(PlannedAction::on(
            "set-service-selector",
            target,
            json!({"selector": before.as_object()?}),
        )),
        FieldClass::Port => {
            let port = object.at(part)?;
            let name = port
                .get("name")
                .filter(|name| name.as_str().is_some_and(|name| !name.is_empty()))
                .or_else(|| port.get("port"))?;
            let old = before.get("targetPort").or_else(|| before.get("port"))?;
            PortRef::of(old)?;
            Some(PlannedAction::on(
                "set-service-port",
                target,
                json!({"port": name, "targetPort": old}),
            ))
        }
        FieldClass::Template => None,
    }
}

fn revert_env(
    object: &Object,
    part: &str,
    before: Value,
    container: &str,
    target: &ObjectRef,
) -> Option<PlannedAction> {
    let now = object.at(part).cloned().unwrap_or_default();
    let name = before.get("name").or_else(|| now.get("name"))?.as_str()?;
    let arguments = match (before.get("value"), before.get("valueFrom")) {
        (_, Some(from)) => json!({"container": container, "name": name, "from": from}),
        (Some(value), None) => json!({"container": container, "name": name, "value": value}),
        // A variable without a value is the empty string; a variable that did not exist is removed.
        (None, None) if before.is_object() => {
            json!({"container": container, "name": name, "value": ""})
        }
        (None, None) => json!({"container": container, "name": name, "value": null}),
    };
    Some(PlannedAction::on("set-env", target, arguments))
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
            let restart = PlannedAction::on("rollout-restart", &reader, Value::Null);
            if !is_rolled_out(&restart.arguments["target"]) && !restarts.contains(&restart) {
                restarts.push(restart);
            }
        }
    }
    let after_config =
        actions.iter().rposition(|action| action.action == "set-config-key").map_or(0, |at| at + 1);
    actions.splice(after_config..after_config, restarts);
    actions
}

/// Returns a `rollout-undo` to the revision with the known-good pod template, for each workload near the target whose
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
                !matches!(field_class(difference), None | Some(FieldClass::Replicas))
            })
            .cloned()
            .collect();
        let revision = evidence.facts.value(&workload, Predicate::RevisionAvailable, "known-good");
        if let (Some(revision), false) = (revision, changed.is_empty()) {
            found.push((
                PlannedAction::on("rollout-undo", &workload, json!({"revision": revision})),
                changed,
            ));
        }
    }
    found
}

/// Returns the known-good values of the changed fields as facts, which templates match.
pub(crate) fn known_good_facts(evidence: &Evidence) -> Vec<Fact> {
    let mut facts = Vec::new();
    for reversal in group_by_field(evidence) {
        let arguments = &reversal.action.arguments;
        let text = |name: &str| {
            arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_string()
        };
        let (predicate, key, value) = match reversal.field {
            FieldClass::Config => (Predicate::KnownGoodValue, text("key"), arguments.get("value")),
            FieldClass::Image => {
                (Predicate::KnownGoodImage, text("container"), arguments.get("image"))
            }
            FieldClass::Env => (
                Predicate::KnownGoodEnv,
                format!("{}/{}", text("container"), text("name")),
                arguments.get("value"),
            ),
            FieldClass::Resources => {
                let memory = arguments.get("limits").and_then(|limits| limits.get("memory"));
                (Predicate::KnownGoodMemory, text("container"), memory)
            }
            FieldClass::Probe if text("which") == "readiness" => {
                (Predicate::KnownGoodProbe, text("container"), arguments.get("probe"))
            }
            FieldClass::Replicas => {
                (Predicate::KnownGoodReplicas, String::new(), arguments.get("replicas"))
            }
            FieldClass::Selector => {
                (Predicate::KnownGoodSelector, String::new(), arguments.get("selector"))
            }
            FieldClass::Port => {
                let port = arguments.get("port").cloned().unwrap_or_default();
                let key = port.as_str().map_or_else(|| port.to_string(), str::to_string);
                (Predicate::KnownGoodPort, key, arguments.get("targetPort"))
            }
            FieldClass::Probe | FieldClass::Template => continue,
        };
        // A field that did not exist has no value to restore.
        if let Some(value) = value.filter(|value| !value.is_null()) {
            let subject = reversal.differences[0].object.clone();
            facts.push(Fact { subject, predicate, key, value: value.clone() });
        }
    }
    facts
}
