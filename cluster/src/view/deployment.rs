use std::collections::BTreeMap;

use serde_json::Value;

use super::{Container, ObjectCondition, containers, count, texts};
use crate::{Object, Selector};

/// A view of a Deployment.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a> {
    object: &'a Object,
}

/// The update strategy of a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentStrategy<'a> {
    /// Deletes all old pods before it creates new ones.
    Recreate,
    /// Replaces pods gradually.
    RollingUpdate {
        /// Maximum number of unavailable pods: a number or a percentage such as `25%`. Default: 25%.
        max_unavailable: Option<&'a Value>,
        /// Maximum number of additional pods: a number or a percentage such as `25%`. Default: 25%.
        max_surge: Option<&'a Value>,
    },
}

/// A view of a ReplicaSet.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaSet<'a> {
    object: &'a Object,
}

const REVISION: &str = "deployment.kubernetes.io/revision";

impl<'a> Deployment<'a> {
    /// Returns a view of `object` if it is a Deployment.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "Deployment").then_some(Self { object })
    }

    /// Returns the underlying object.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// Returns the desired number of pods (`spec.replicas`, default 1).
    pub fn replicas(&self) -> u32 {
        count(self.object.field("spec"), "replicas", 1)
    }

    /// Returns the current number of pods of all revisions (`status.replicas`).
    pub fn current(&self) -> u32 {
        count(self.object.field("status"), "replicas", 0)
    }

    /// Returns the number of ready pods.
    pub fn ready(&self) -> u32 {
        count(self.object.field("status"), "readyReplicas", 0)
    }

    /// Returns the number of pods with the latest template.
    pub fn updated(&self) -> u32 {
        count(self.object.field("status"), "updatedReplicas", 0)
    }

    /// Returns the number of available pods (ready for at least `minReadySeconds`).
    pub fn available(&self) -> u32 {
        count(self.object.field("status"), "availableReplicas", 0)
    }

    /// Returns the latest generation that the controller observed; 0 before the first observation.
    pub fn observed_generation(&self) -> i64 {
        self.object.at("/status/observedGeneration").and_then(Value::as_i64).unwrap_or(0)
    }

    /// Returns the pod selector. A missing or malformed selector selects no pods.
    pub fn selector(&self) -> Selector {
        selector(self.object)
    }

    /// Returns the labels of the pod template.
    pub fn template_labels(&self) -> BTreeMap<String, String> {
        texts(self.object.at("/spec/template/metadata/labels"))
    }

    /// Returns the containers of the pod template.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        containers(self.object)
    }

    /// Returns the update strategy.
    pub fn strategy(&self) -> DeploymentStrategy<'a> {
        if self.object.at("/spec/strategy/type").and_then(Value::as_str) == Some("Recreate") {
            return DeploymentStrategy::Recreate;
        }
        DeploymentStrategy::RollingUpdate {
            max_unavailable: self.object.at("/spec/strategy/rollingUpdate/maxUnavailable"),
            max_surge: self.object.at("/spec/strategy/rollingUpdate/maxSurge"),
        }
    }

    /// Returns the current revision; `None` before the controller sets it.
    pub fn revision(&self) -> Option<u64> {
        revision(self.object)
    }

    /// Returns whether rollouts are paused.
    pub fn is_paused(&self) -> bool {
        self.object.at("/spec/paused").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Returns the seconds without progress after which a rollout counts as failed (default 600).
    pub fn progress_deadline_seconds(&self) -> u32 {
        count(self.object.field("spec"), "progressDeadlineSeconds", 600)
    }

    /// Returns a condition of the status: `Available`, `Progressing`, `ReplicaFailure`.
    pub fn condition(&self, kind: &str) -> Option<ObjectCondition<'a>> {
        ObjectCondition::of(self.object, kind)
    }
}

impl<'a> ReplicaSet<'a> {
    /// Returns a view of `object` if it is a ReplicaSet.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "ReplicaSet").then_some(Self { object })
    }

    /// Returns the underlying object.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// Returns the desired number of pods (`spec.replicas`, default 1).
    pub fn replicas(&self) -> u32 {
        count(self.object.field("spec"), "replicas", 1)
    }

    /// Returns the current number of pods (`status.replicas`).
    pub fn current(&self) -> u32 {
        count(self.object.field("status"), "replicas", 0)
    }

    /// Returns the number of ready pods.
    pub fn ready(&self) -> u32 {
        count(self.object.field("status"), "readyReplicas", 0)
    }

    /// Returns the pod selector. A missing or malformed selector selects no pods.
    pub fn selector(&self) -> Selector {
        selector(self.object)
    }

    /// Returns the containers of the pod template.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        containers(self.object)
    }

    /// Returns the Deployment revision of this ReplicaSet; `None` if no Deployment owns it.
    pub fn revision(&self) -> Option<u64> {
        revision(self.object)
    }
}

fn revision(object: &Object) -> Option<u64> {
    object.metadata().annotations.get(REVISION)?.parse().ok()
}

pub(crate) fn selector(object: &Object) -> Selector {
    let parsed =
        object.at("/spec/selector").and_then(|value| serde_json::from_value(value.clone()).ok());
    // An empty selector would select every pod, so a malformed selector becomes a label that no object can have.
    parsed.unwrap_or_else(|| Selector::of_labels([("", "")]))
}
