//! Change reversal: what differs from the last time it worked, turned back by typed actions.

use cluster::{Change, Container, Difference, Object, ObjectRef, PortRef};
use serde_json::{Map, Value, json};
use workflow::{Evidence, Fact, Ledger, Predicate, fact};

use crate::relation::{Following, distances, focus};
use crate::step::{Deed, reader_of};

/// What kind of field changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Config,
    Image,
    Env,
    Resources,
    Probe,
    /// Anything else of a pod template.
    Template,
    Replicas,
    Selector,
    Port,
}

impl Field {
    pub(crate) fn word(self) -> &'static str {
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

/// The kind of field that a difference is in; absent for what no action and no alert cares about.
pub(crate) fn field_of(difference: &Difference) -> Option<Field> {
    let Change::Field { pointer, .. } = &difference.change else { return None };
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    match (difference.object.kind.as_str(), parts.as_slice()) {
        ("ConfigMap", ["data", _]) => Some(Field::Config),
        ("Service", ["spec", "selector", ..]) => Some(Field::Selector),
        ("Service", ["spec", "ports", _, "targetPort"]) => Some(Field::Port),
        ("Deployment" | "StatefulSet", ["spec", "replicas"]) => Some(Field::Replicas),
        (
            "Deployment" | "StatefulSet" | "DaemonSet",
            ["spec", "template", "spec", "containers", _, rest @ ..],
        ) => Some(match rest {
            ["image"] => Field::Image,
            ["env", ..] => Field::Env,
            ["resources", ..] => Field::Resources,
            ["readinessProbe" | "livenessProbe", ..] => Field::Probe,
            _ => Field::Template,
        }),
        ("Deployment" | "StatefulSet" | "DaemonSet", ["spec", "template", ..]) => {
            Some(Field::Template)
        }
        _ => None,
    }
}

/// One change and what turns it back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reversed {
    pub(crate) deed: Deed,
    pub(crate) field: Field,
    pub(crate) differences: Vec<Difference>,
}

/// Everything that the evidence says can be turned back, near the target first.
///
/// Where nothing changed in what belongs to the target, what it calls is looked at.
pub(crate) fn reversals(evidence: &Evidence) -> Vec<Reversed> {
    let Some(target) = &evidence.target else { return Vec::new() };
    let near = distances(&evidence.objects, &evidence.facts, target, Following::Belonging);
    let (own, far): (Vec<Reversed>, Vec<Reversed>) = grouped(evidence)
        .into_iter()
        .partition(|reversed| near.contains_key(&Ledger::key(&reversed.differences[0].object)));
    if own.is_empty() { far } else { own }
}

/// What one action turns back: object, kind of field, pointer, and whether the element is gone.
type Group = (String, Field, String, bool);

/// The differences by what one action can turn back, in the order in which the actions are to be taken.
fn grouped(evidence: &Evidence) -> Vec<Reversed> {
    let mut groups: Vec<(Group, Vec<Difference>)> = Vec::new();
    for difference in &evidence.differences {
        let (Some(field), Some(part)) = (field_of(difference), part_of(difference)) else {
            continue;
        };
        // What went has its index in the earlier state, where another may stand now.
        let is_gone = matches!(&difference.change, Change::Field { pointer, after: None, .. } if *pointer == part);
        let key = (Ledger::key(&difference.object), field, part, is_gone);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, differences)) => differences.push(difference.clone()),
            None => groups.push((key, vec![difference.clone()])),
        }
    }
    let mut reversed: Vec<Reversed> = groups
        .into_iter()
        .filter_map(|((_, field, part, _), differences)| {
            let object = evidence.object(&differences[0].object)?;
            let deed = deed_of(object, field, &part, &differences)?;
            Some(Reversed { deed, field, differences })
        })
        .collect();
    reversed.sort_by_key(|reversed| reversed.field);
    reversed
}

/// The JSON pointer below which one action turns everything back.
fn part_of(difference: &Difference) -> Option<String> {
    let Change::Field { pointer, .. } = &difference.change else { return None };
    let depth = match field_of(difference)? {
        Field::Config | Field::Replicas | Field::Selector => 2,
        Field::Port => 3,
        Field::Image | Field::Resources | Field::Probe => 6,
        Field::Env => 7,
        Field::Template => return None,
    };
    let parts: Vec<&str> = pointer.split('/').collect();
    Some(parts[..parts.len().min(depth + 1)].join("/"))
}

/// The action that brings `part` of `object` back to what stood there before `differences`.
fn deed_of(object: &Object, field: Field, part: &str, differences: &[Difference]) -> Option<Deed> {
    let target = &differences[0].object;
    let before = before(object, part, differences);
    let container = || {
        let list = part.split('/').take(6).collect::<Vec<_>>().join("/");
        Some(Container::of(object.at(&list)?).name().to_string())
    };
    let leaf = part.rsplit('/').next().unwrap_or_default();
    match field {
        Field::Config => {
            let key = leaf.replace("~1", "/").replace("~0", "~");
            Some(Deed::on("restore-config-key", target, json!({"key": key, "value": before})))
        }
        Field::Image => Some(Deed::on(
            "set-image",
            target,
            json!({"container": container()?, "image": before.as_str()?}),
        )),
        Field::Env => env_deed(object, part, before, &container()?, target),
        Field::Resources => {
            let now = object.at(part).cloned().unwrap_or_default();
            let mut arguments = Map::from_iter([("container".to_string(), container()?.into())]);
            for list in ["requests", "limits"] {
                let figures = |resources: &Value, name: &str| {
                    resources
                        .get(list)
                        .and_then(|list| list.get(name))
                        .cloned()
                        .unwrap_or(Value::Null)
                };
                let changed: Map<String, Value> = ["cpu", "memory"]
                    .into_iter()
                    .filter(|name| figures(&before, name) != figures(&now, name))
                    .map(|name| (name.to_string(), figures(&before, name)))
                    .collect();
                if !changed.is_empty() {
                    arguments.insert(list.into(), changed.into());
                }
            }
            (arguments.len() > 1).then(|| Deed::on("set-resources", target, arguments.into()))
        }
        Field::Probe => {
            let which = if leaf == "livenessProbe" { "liveness" } else { "readiness" };
            Some(Deed::on(
                "set-probe",
                target,
                json!({"container": container()?, "which": which, "probe": before}),
            ))
        }
        Field::Replicas => {
            Some(Deed::on("scale", target, json!({"replicas": before.as_u64().unwrap_or(1)})))
        }
        Field::Selector => {
            Some(Deed::on("set-service-selector", target, json!({"selector": before.as_object()?})))
        }
        Field::Port => {
            let port = object.at(part)?;
            let name = port
                .get("name")
                .filter(|name| name.as_str().is_some_and(|name| !name.is_empty()))
                .or_else(|| port.get("port"))?;
            let old = before.get("targetPort").or_else(|| before.get("port"))?;
            PortRef::of(old)?;
            Some(Deed::on("set-service-port", target, json!({"port": name, "targetPort": old})))
        }
        Field::Template => None,
    }
}

fn env_deed(
    object: &Object,
    part: &str,
    before: Value,
    container: &str,
    target: &ObjectRef,
) -> Option<Deed> {
    let now = object.at(part).cloned().unwrap_or_default();
    let name = before.get("name").or_else(|| now.get("name"))?.as_str()?;
    let how = match (before.get("value"), before.get("valueFrom")) {
        (_, Some(from)) => json!({"container": container, "name": name, "from": from}),
        (Some(value), None) => json!({"container": container, "name": name, "value": value}),
        // A variable without a value is the empty text; one that was not there goes.
        (None, None) if before.is_object() => {
            json!({"container": container, "name": name, "value": ""})
        }
        (None, None) => json!({"container": container, "name": name, "value": null}),
    };
    Some(Deed::on("set-env", target, how))
}

/// What stood at `part` before the differences, which all lie at or below it; null where nothing did.
fn before(object: &Object, part: &str, differences: &[Difference]) -> Value {
    let mut value = object.at(part).cloned().unwrap_or_default();
    for difference in differences {
        let Change::Field { pointer, before, .. } = &difference.change else { continue };
        let below: Vec<String> = pointer[part.len()..]
            .split('/')
            .skip(1)
            .map(|part| part.replace("~1", "/").replace("~0", "~"))
            .collect();
        set(&mut value, &below, before.clone());
    }
    value
}

fn set(value: &mut Value, path: &[String], to: Option<Value>) {
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
        set(map.entry(first.clone()).or_insert(Value::Null), rest, to);
    }
    // A map that was made for one member goes with it.
    if map
        .get(first)
        .is_some_and(|below| below.as_object().is_some_and(Map::is_empty) && !rest.is_empty())
    {
        map.remove(first);
    }
}

/// The steps that make a reversal felt: pods read configuration when they start, so its readers start again.
pub(crate) fn with_restart(reversed: &[&Reversed], evidence: &Evidence) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = reversed.iter().map(|reversed| reversed.deed.clone()).collect();
    let rolls = |target: &Value| {
        reversed.iter().any(|other| {
            matches!(
                other.field,
                Field::Image | Field::Env | Field::Resources | Field::Probe | Field::Template
            ) && other.deed.arguments.get("target") == Some(target)
        })
    };
    let mut restarts: Vec<Deed> = Vec::new();
    for reversed in reversed.iter().filter(|reversed| reversed.field == Field::Config) {
        if let Some(reader) = reader_of(&reversed.differences[0].object, evidence) {
            let restart = Deed::on("rollout-restart", &reader, Value::Null);
            if !rolls(&restart.arguments["target"]) && !restarts.contains(&restart) {
                restarts.push(restart);
            }
        }
    }
    let after_config =
        deeds.iter().rposition(|deed| deed.action == "restore-config-key").map_or(0, |at| at + 1);
    deeds.splice(after_config..after_config, restarts);
    deeds
}

/// Undo of a whole roll-out to the revision whose template is the known-good one, for each workload near the target
/// whose template changed.
pub(crate) fn undos(evidence: &Evidence) -> Vec<(Deed, Vec<Difference>)> {
    let mut found = Vec::new();
    for workload in focus(evidence) {
        if !evidence.object(&workload).is_some_and(fact::is_workload) {
            continue;
        }
        let changed: Vec<Difference> = evidence
            .differences
            .iter()
            .filter(|difference| difference.object.is_same(&workload))
            .filter(|difference| !matches!(field_of(difference), None | Some(Field::Replicas)))
            .cloned()
            .collect();
        let revision = evidence.facts.value(&workload, Predicate::RevisionAvailable, "known-good");
        if let (Some(revision), false) = (revision, changed.is_empty()) {
            found.push((
                Deed::on("rollout-undo", &workload, json!({"revision": revision})),
                changed,
            ));
        }
    }
    found
}

/// What stood in the fields that changed when the workload was last healthy, as facts for templates.
pub(crate) fn known_facts(evidence: &Evidence) -> Vec<Fact> {
    let mut facts = Vec::new();
    for reversed in grouped(evidence) {
        let arguments = &reversed.deed.arguments;
        let text = |name: &str| {
            arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_string()
        };
        let (predicate, key, value) = match reversed.field {
            Field::Config => (Predicate::KnownValue, text("key"), arguments.get("value")),
            Field::Image => (Predicate::KnownImage, text("container"), arguments.get("image")),
            Field::Env => (
                Predicate::KnownEnv,
                format!("{}/{}", text("container"), text("name")),
                arguments.get("value"),
            ),
            Field::Resources => {
                let memory = arguments.get("limits").and_then(|limits| limits.get("memory"));
                (Predicate::KnownMemory, text("container"), memory)
            }
            Field::Probe if text("which") == "readiness" => {
                (Predicate::KnownProbe, text("container"), arguments.get("probe"))
            }
            Field::Replicas => (Predicate::KnownReplicas, String::new(), arguments.get("replicas")),
            Field::Selector => (Predicate::KnownSelector, String::new(), arguments.get("selector")),
            Field::Port => {
                let port = arguments.get("port").cloned().unwrap_or_default();
                let key = port.as_str().map_or_else(|| port.to_string(), str::to_string);
                (Predicate::KnownPort, key, arguments.get("targetPort"))
            }
            Field::Probe | Field::Template => continue,
        };
        // What was not there then is no value to go back to.
        if let Some(value) = value.filter(|value| !value.is_null()) {
            let subject = reversed.differences[0].object.clone();
            facts.push(Fact { subject, predicate, key, value: value.clone() });
        }
    }
    facts
}
