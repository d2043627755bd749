use std::collections::BTreeMap;

use serde_json::Value;

use super::{Condition, Container, containers, count, texts};
use crate::{Object, Selector};

/// Reads a Deployment.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a> {
    object: &'a Object,
}

/// How a Deployment replaces its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy<'a> {
    /// All old pods go before the first new one comes.
    Recreate,
    /// Step by step.
    RollingUpdate {
        /// How many may be missing meanwhile: a number, or a text such as `25%`; absent for 25 %.
        max_unavailable: Option<&'a Value>,
        /// How many more may be there meanwhile: a number, or a text such as `25%`; absent for 25 %.
        max_surge: Option<&'a Value>,
    },
}

/// Reads a ReplicaSet.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaSet<'a> {
    object: &'a Object,
}

const REVISION: &str = "deployment.kubernetes.io/revision";

impl<'a> Deployment<'a> {
    /// Views `object`, if it is a Deployment.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "Deployment").then_some(Self { object })
    }

    /// The object itself.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// How many pods are asked for.
    pub fn replicas(&self) -> u32 {
        count(self.object.field("spec"), "replicas", 1)
    }

    /// How many pods there are, of any revision.
    pub fn current(&self) -> u32 {
        count(self.object.field("status"), "replicas", 0)
    }

    /// How many of them are ready.
    pub fn ready(&self) -> u32 {
        count(self.object.field("status"), "readyReplicas", 0)
    }

    /// How many of them are of the latest template.
    pub fn updated(&self) -> u32 {
        count(self.object.field("status"), "updatedReplicas", 0)
    }

    /// How many of them have been ready long enough.
    pub fn available(&self) -> u32 {
        count(self.object.field("status"), "availableReplicas", 0)
    }

    /// The generation that the controller has seen; 0 before it saw any.
    pub fn observed_generation(&self) -> i64 {
        self.object.at("/status/observedGeneration").and_then(Value::as_i64).unwrap_or(0)
    }

    /// Which pods are its own. An unreadable selector selects nothing that exists.
    pub fn selector(&self) -> Selector {
        selector(self.object)
    }

    /// The labels of the pods that it makes.
    pub fn template_labels(&self) -> BTreeMap<String, String> {
        texts(self.object.at("/spec/template/metadata/labels"))
    }

    /// The containers of the pods that it makes.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        containers(self.object)
    }

    /// How it replaces its pods.
    pub fn strategy(&self) -> Strategy<'a> {
        if self.object.at("/spec/strategy/type").and_then(Value::as_str) == Some("Recreate") {
            return Strategy::Recreate;
        }
        Strategy::RollingUpdate {
            max_unavailable: self.object.at("/spec/strategy/rollingUpdate/maxUnavailable"),
            max_surge: self.object.at("/spec/strategy/rollingUpdate/maxSurge"),
        }
    }

    /// The number of its present revision; absent before the controller gave one.
    pub fn revision(&self) -> Option<u64> {
        revision(self.object)
    }

    /// Whether its rollouts are paused.
    pub fn is_paused(&self) -> bool {
        self.object.at("/spec/paused").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Seconds without progress after which a rollout counts as failed.
    pub fn progress_deadline_seconds(&self) -> u32 {
        count(self.object.field("spec"), "progressDeadlineSeconds", 600)
    }

    /// A condition of its status: `Available`, `Progressing`, `ReplicaFailure`.
    pub fn condition(&self, kind: &str) -> Option<Condition<'a>> {
        Condition::of(self.object, kind)
    }
}

impl<'a> ReplicaSet<'a> {
    /// Views `object`, if it is a ReplicaSet.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "ReplicaSet").then_some(Self { object })
    }

    /// The object itself.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// How many pods are asked for.
    pub fn replicas(&self) -> u32 {
        count(self.object.field("spec"), "replicas", 1)
    }

    /// How many pods there are.
    pub fn current(&self) -> u32 {
        count(self.object.field("status"), "replicas", 0)
    }

    /// How many of them are ready.
    pub fn ready(&self) -> u32 {
        count(self.object.field("status"), "readyReplicas", 0)
    }

    /// Which pods are its own. An unreadable selector selects nothing that exists.
    pub fn selector(&self) -> Selector {
        selector(self.object)
    }

    /// The containers of the pods that it makes.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        containers(self.object)
    }

    /// The Deployment's revision that it stands for; absent if no Deployment owns it.
    pub fn revision(&self) -> Option<u64> {
        revision(self.object)
    }
}

fn revision(object: &Object) -> Option<u64> {
    object.metadata().annotations.get(REVISION)?.parse().ok()
}

pub(crate) fn selector(object: &Object) -> Selector {
    let read =
        object.at("/spec/selector").and_then(|value| serde_json::from_value(value.clone()).ok());
    // Its emptiness would select every pod, so an unreadable selector becomes a label that no object can carry.
    read.unwrap_or_else(|| Selector::of_labels([("", "")]))
}
