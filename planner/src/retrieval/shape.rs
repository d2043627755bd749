use cluster::ObjectRef;
use serde::{Deserialize, Serialize};
use workflow::{Facts, PastExecution, Predicate, Workflow};

/// What an object was to the target of an incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The target, a workload or another object that is not a Service, or the workload behind the target.
    Workload,
    /// A Service in front of the workload; the target where it is one.
    Service,
    /// A ConfigMap that the workload reads.
    Config,
}

/// What was done, without names and values: for each step its action and what it acted on.
pub type Shape = Vec<ShapeStep>;

/// One step of a shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShapeStep {
    /// The action.
    pub action: String,
    /// What it acted on; absent for actions on nothing.
    pub role: Option<Role>,
}

/// The shape of an execution; absent if a step acted on what had no role.
pub(super) fn shape_of(execution: &PastExecution) -> Option<Shape> {
    shape(&execution.workflow, &execution.target, &execution.facts)
}

/// The shape of a workflow for an incident at `target`, of which `facts` are known.
pub(crate) fn shape(workflow: &Workflow, target: &ObjectRef, facts: &Facts) -> Option<Shape> {
    let mut shape = Shape::new();
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
        shape.push(ShapeStep { action: step.action.clone(), role });
    }
    Some(shape)
}

fn role(kind: &str, name: &str, target: &ObjectRef, facts: &Facts) -> Option<Role> {
    // Names of workloads of which `service` says that it selects them, or did.
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
        "Deployment" | "StatefulSet" | "DaemonSet" => is_near(name).then_some(Role::Workload),
        "Service" if target.kind == "Service" => (target.name == name).then_some(Role::Service),
        "Service" => selects(name, &target.name).then_some(Role::Service),
        "ConfigMap" => {
            let prefix = format!("ConfigMap/{name}/");
            let is_read = |fact: &workflow::Fact| {
                fact.predicate == Predicate::ReadsKey
                    && fact.key.starts_with(&prefix)
                    && is_near(&fact.subject.name)
            };
            facts.iter().any(is_read).then_some(Role::Config)
        }
        _ => None,
    }
}
