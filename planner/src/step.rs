use cluster::{Object, ObjectRef};
use serde_json::{Value, json};
use workflow::manifest::{Compensation, DeclaredCompensation, OnFailure, Retry};
use workflow::{Args, Catalogue, Condition, Evidence, Ledger, Step, fact};

use crate::relation::focus;

/// One action and what it is told, before it is made a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deed {
    pub(crate) action: String,
    pub(crate) arguments: Args,
}

impl Deed {
    /// `action` on `target`, told `more` besides.
    pub(crate) fn on(action: &str, target: &ObjectRef, more: Value) -> Self {
        let mut arguments = Args::new();
        arguments.insert("target".into(), argument_of(target));
        if let Value::Object(more) = more {
            arguments.extend(more);
        }
        Self { action: action.into(), arguments }
    }
}

/// An object as an argument names it.
pub(crate) fn argument_of(object: &ObjectRef) -> Value {
    let mut value = json!({"kind": object.kind, "name": object.name});
    if let Some(namespace) = &object.namespace {
        value["namespace"] = json!(namespace);
    }
    value
}

/// Makes steps that run one after another, each undone by its inverse. What they promise together is asked after the
/// last one, for no part of a mend need be enough by itself.
pub(crate) fn steps_of(deeds: &[Deed], evidence: &Evidence, catalogue: &Catalogue) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut promised: Vec<Condition> = Vec::new();
    for (index, deed) in deeds.iter().enumerate() {
        let is_last = index + 1 == deeds.len();
        let spec = catalogue.get(&deed.action);
        let own =
            spec.map_or_else(Vec::new, |spec| promises(spec, &deed.arguments, evidence, is_last));
        let is_config =
            deed.arguments.get("target").is_some_and(|target| target["kind"] == "ConfigMap");
        let mut postconditions = Vec::new();
        if is_config && !is_last {
            postconditions = own;
        } else {
            promised.extend(
                own.into_iter()
                    .filter(|condition| !promised.contains(condition))
                    .collect::<Vec<_>>(),
            );
        }
        if is_last {
            postconditions = std::mem::take(&mut promised);
        }
        let has_inverse = spec.is_some_and(|spec| spec.has_inverse);
        let declared =
            if has_inverse { DeclaredCompensation::Inverse } else { DeclaredCompensation::None };
        steps.push(Step {
            id: fresh_id(&deed.action, &steps),
            action: deed.action.clone(),
            arguments: deed.arguments.clone(),
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

/// What a step of this action promises; of configuration also that who reads it does well, where nothing follows.
pub(crate) fn promises(
    spec: &workflow::ActionSpec,
    args: &Args,
    evidence: &Evidence,
    is_last: bool,
) -> Vec<Condition> {
    let workload = evidence.target.as_ref().filter(|_| is_last).and_then(|target| {
        let healed = actions::target(spec, args, &target.cluster)?;
        reader_of(&healed, evidence)
    });
    actions::default_postconditions(spec, args, workload.as_ref())
}

/// The workload near the target that reads the configuration `config`.
pub(crate) fn reader_of(config: &ObjectRef, evidence: &Evidence) -> Option<ObjectRef> {
    focus(evidence).into_iter().find(|workload| {
        let object = evidence.object(workload);
        object.is_some_and(|object| fact::is_workload(object) && reads(object, config))
    })
}

fn reads(workload: &Object, config: &ObjectRef) -> bool {
    workload.namespace() == config.namespace.as_deref()
        && fact::reads(workload)
            .iter()
            .any(|read| read.kind == config.kind && read.name == config.name)
}

fn fresh_id(action: &str, steps: &[Step]) -> String {
    let taken = steps.iter().filter(|step| step.action == action).count();
    if taken == 0 { action.into() } else { format!("{action}-{}", taken + 1) }
}

/// The objects that steps act on: out of the inventory where they are in it, else as they are named.
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
        if !targets.iter().any(|target| Ledger::key(target) == Ledger::key(&known)) {
            targets.push(known);
        }
    }
    targets
}
