use actions::Action;
use cluster::{Object, ObjectKey, ObjectRef};
use serde_json::{Value, json};
use workflow::manifest::{Compensation, DeclaredCompensation, OnFailure, Retry};
use workflow::{Args, Catalogue, Condition, Evidence, Step, fact};

use crate::relation::target_and_neighbours;

/// An action with its arguments, before it becomes a step of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedAction {
    pub(crate) action: String,
    pub(crate) arguments: Args,
}

impl PlannedAction {
    /// Creates `action` on `target`, with `more` as its other arguments.
    pub(crate) fn on(action: &dyn Action, target: &ObjectRef, more: Args) -> Self {
        let mut arguments = Args::new();
        arguments.insert("target".into(), argument_of(target));
        arguments.extend(more);
        Self { action: action.name().into(), arguments }
    }
}

/// Returns an object reference in the form of an action argument.
pub(crate) fn argument_of(object: &ObjectRef) -> Value {
    let mut value = json!({"kind": object.kind, "name": object.name});
    if let Some(namespace) = &object.namespace {
        value["namespace"] = json!(namespace);
    }
    value
}

/// Creates steps that run one after another, each compensated by its inverse.
///
/// The postconditions of all steps are checked after the last one, because one part of a fix need not be sufficient by
/// itself. Postconditions on ConfigMaps are an exception: they are checked right after their step.
pub(crate) fn steps_of(
    actions: &[PlannedAction],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut deferred: Vec<Condition> = Vec::new();
    for (index, planned) in actions.iter().enumerate() {
        let is_last = index + 1 == actions.len();
        let spec = catalogue.get(&planned.action);
        let own = spec.map_or_else(Vec::new, |spec| {
            postconditions_for(spec, &planned.arguments, evidence, is_last)
        });
        let is_config =
            planned.arguments.get("target").is_some_and(|target| target["kind"] == "ConfigMap");
        let mut postconditions = Vec::new();
        if is_config && !is_last {
            postconditions = own;
        } else {
            deferred.extend(
                own.into_iter()
                    .filter(|condition| !deferred.contains(condition))
                    .collect::<Vec<_>>(),
            );
        }
        if is_last {
            postconditions = std::mem::take(&mut deferred);
        }
        let has_inverse = spec.is_some_and(|spec| spec.has_inverse);
        let declared =
            if has_inverse { DeclaredCompensation::Inverse } else { DeclaredCompensation::None };
        steps.push(Step {
            id: unique_step_id(&planned.action, &steps),
            action: planned.action.clone(),
            arguments: planned.arguments.clone(),
            needs: steps.last().map(|step| step.id.clone()).into_iter().collect(),
            when: None,
            retry: Retry::default(),
            timeout: Step::default_timeout(),
            preconditions: Vec::new(),
            postconditions,
            compensation: Some(Compensation::Declared(declared)),
            on_failure: OnFailure::RollBack,
            approval: None,
        });
    }
    steps
}

/// Returns the default postconditions of an action.
///
/// If `is_last`, a change to configuration also requires the workload that reads it to be healthy.
pub(crate) fn postconditions_for(
    spec: &workflow::ActionSpec,
    args: &Args,
    evidence: &Evidence,
    is_last: bool,
) -> Vec<Condition> {
    let workload = evidence.target.as_ref().filter(|_| is_last).and_then(|target| {
        let changed = actions::target(spec, args, &target.cluster)?;
        consumer_of(&changed, evidence)
    });
    actions::default_postconditions(spec, args, workload.as_ref())
}

/// Returns the workload near the target that reads the ConfigMap or Secret `config`.
pub(crate) fn consumer_of(config: &ObjectRef, evidence: &Evidence) -> Option<ObjectRef> {
    target_and_neighbours(evidence).into_iter().find(|workload| {
        let object = evidence.object(workload);
        object.is_some_and(|object| fact::is_workload(object) && reads(object, config))
    })
}

fn reads(workload: &Object, config: &ObjectRef) -> bool {
    workload.namespace() == config.namespace.as_deref()
        && fact::key_references(workload)
            .iter()
            .any(|read| read.kind == config.kind && read.name == config.name)
}

fn unique_step_id(action: &str, steps: &[Step]) -> String {
    let taken = steps.iter().filter(|step| step.action == action).count();
    if taken == 0 { action.into() } else { format!("{action}-{}", taken + 1) }
}

/// Returns the objects that `steps` act on, without duplicates.
///
/// An object of the inventory is returned with its uid; any other is returned as the arguments name it.
pub(crate) fn targets_of(
    steps: &[Step],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<ObjectRef> {
    let cluster = evidence.target.as_ref().map_or("", |target| target.cluster.as_str());
    let mut targets: Vec<ObjectRef> = Vec::new();
    for step in steps {
        let Some(named) = catalogue
            .get(&step.action)
            .and_then(|spec| actions::target(spec, &step.arguments, cluster))
        else {
            continue;
        };
        let known = evidence
            .inventory
            .iter()
            .find(|object| object.is_same(&named))
            .cloned()
            .unwrap_or(named);
        if !targets.iter().any(|target| ObjectKey::from(target) == ObjectKey::from(&known)) {
            targets.push(known);
        }
    }
    targets
}
