use cluster::ObjectRef;
use serde::{Deserialize, Serialize};
use workflow::{Facts, PastExecution, Predicate, Workflow};

/// Role of an object in relation to the target of an incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectRole {
    /// The target, if it is not a Service, or the workload behind the target Service.
    Workload,
    /// The target, if it is a Service, or a Service that selects the target workload.
    Service,
    /// A ConfigMap that the workload reads.
    Config,
}

/// The steps of a plan without names and values.
pub type PlanSkeleton = Vec<SkeletonStep>;

/// One step of a [`PlanSkeleton`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkeletonStep {
    /// Name of the action.
    pub action: String,
    /// Role of the object that the action changes. Absent for actions without a target.
    pub role: Option<ObjectRole>,
}

/// Returns the skeleton of an execution. `None` if a step acted on an object without a role.
pub(super) fn execution_skeleton(execution: &PastExecution) -> Option<PlanSkeleton> {
    skeleton_of(&execution.workflow, &execution.target, &execution.facts)
}

/// Returns the skeleton of a workflow for an incident with this target and these facts.
///
/// `None` if a step acts on an object without a role.
pub(crate) fn skeleton_of(
    workflow: &Workflow,
    target: &ObjectRef,
    facts: &Facts,
) -> Option<PlanSkeleton> {
    let mut skeleton = PlanSkeleton::new();
    for step in &workflow.spec.steps {
        let role = match step.arguments.get("target") {
            None => None,
            Some(named) => {
                let text = |field: &str| named.get(field).and_then(serde_json::Value::as_str);
                if text("namespace") != target.namespace.as_deref() {
                    return None;
                }
                Some(role(text("kind")?, text("name")?, target, facts)?)
            }
        };
        skeleton.push(SkeletonStep { action: step.action.clone(), role });
    }
    Some(skeleton)
}

fn role(kind: &str, name: &str, target: &ObjectRef, facts: &Facts) -> Option<ObjectRole> {
    // A `selects` fact with the value false counts too: the Service selected the workload in the known-good state.
    let selects = |service: &str, workload: &str| {
        facts.iter().any(|fact| {
            fact.predicate == Predicate::Selects
                && fact.subject.name == service
                && fact.subject.namespace == target.namespace
                && fact.key == workload
        })
    };
    let is_near = |workload: &str| {
        if target.kind == "Service" {
            selects(&target.name, workload)
        } else {
            target.name == workload
        }
    };
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" => is_near(name).then_some(ObjectRole::Workload),
        "Service" if target.kind == "Service" => {
            (target.name == name).then_some(ObjectRole::Service)
        }
        "Service" => selects(name, &target.name).then_some(ObjectRole::Service),
        "ConfigMap" => {
            let prefix = format!("ConfigMap/{name}/");
            let is_read = |fact: &workflow::Fact| {
                fact.predicate == Predicate::ReferencesKey
                    && fact.key.starts_with(&prefix)
                    && is_near(&fact.subject.name)
            };
            facts.iter().any(is_read).then_some(ObjectRole::Config)
        }
        _ => None,
    }
}
