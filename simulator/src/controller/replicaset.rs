use cluster::{Object, Pod, ReplicaSet};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::deployment::owner;
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::World;

/// When a pod that was refused is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

impl World {
    /// Makes or deletes pods until a ReplicaSet has as many as it asks for, and writes its status.
    pub(crate) fn reconcile_replica_set(&mut self, key: &Key) {
        let Some(object) = self.objects.get(key).cloned() else { return };
        let view = ReplicaSet::of(&object).expect("a ReplicaSet is stored under its kind");
        let selector = view.selector();
        let uid = &object.metadata().uid;
        let is_own = |pod: &&Object| {
            pod.controller().is_some_and(|owner| owner.uid == *uid)
                && pod.metadata().deletion_timestamp.is_none()
                && selector.matches(&pod.metadata().labels)
        };
        let mut pods: Vec<Object> =
            self.objects.of_kind("Pod", Some(&key.namespace)).filter(is_own).cloned().collect();
        // One that is going makes no pods and takes none; whoever collects what it owns does.
        let is_going = object.metadata().deletion_timestamp.is_some();
        let wanted = if is_going { pods.len() } else { view.replicas() as usize };
        for _ in pods.len()..wanted {
            let name = format!("{}-{}", key.name, self.chance.suffix(5));
            match self.make(new_pod(&object, &name)) {
                Ok(pod) => {
                    self.record(
                        &object,
                        "Normal",
                        "SuccessfulCreate",
                        &format!("Created pod: {name}"),
                        "replicaset-controller",
                    );
                    pods.push(pod);
                }
                Err(refusal) => {
                    self.record(
                        &object,
                        "Warning",
                        "FailedCreate",
                        &format!("Error creating: {}", refusal.message),
                        "replicaset-controller",
                    );
                    self.wake(RETRY, Wake::ReplicaSet(key.clone()));
                    break;
                }
            }
        }
        if pods.len() > wanted {
            // The first to go: without a node, not ready, young.
            pods.sort_by_key(|pod| {
                let view = Pod::of(pod);
                let is_placed = view.is_some_and(|pod| pod.node().is_some());
                let is_ready = view.is_some_and(|pod| pod.is_ready());
                (
                    is_placed,
                    is_ready,
                    std::cmp::Reverse(pod.metadata().creation_timestamp),
                    pod.name().to_string(),
                )
            });
            let surplus = pods.len() - wanted;
            for pod in pods.drain(..surplus).collect::<Vec<_>>() {
                self.record(
                    &object,
                    "Normal",
                    "SuccessfulDelete",
                    &format!("Deleted pod: {}", pod.name()),
                    "replicaset-controller",
                );
                self.delete(&Key::new("Pod", &key.namespace, pod.name()));
            }
        }
        self.write_replica_set_status(key, &object, &pods);
    }

    fn write_replica_set_status(&mut self, key: &Key, object: &Object, pods: &[Object]) {
        let settled = object.at("/spec/minReadySeconds").and_then(Value::as_i64).unwrap_or(0);
        let settled = SignedDuration::from_secs(settled);
        let (mut ready, mut available) = (0_u64, 0_u64);
        for pod in pods {
            let Some(since) = ready_since(pod) else { continue };
            ready += 1;
            if since + settled <= self.now {
                available += 1;
            } else {
                self.wake_at(since + settled, Wake::ReplicaSet(key.clone()));
            }
        }
        let mut status =
            json!({"replicas": pods.len(), "observedGeneration": object.metadata().generation});
        for (field, count) in [
            ("fullyLabeledReplicas", pods.len() as u64),
            ("readyReplicas", ready),
            ("availableReplicas", available),
        ] {
            if count > 0 {
                status[field] = count.into();
            }
        }
        if object.field("status") != Some(&status) {
            self.store(key, &object.with_field("status", status));
        }
    }
}

fn ready_since(pod: &Object) -> Option<Timestamp> {
    let view = Pod::of(pod)?;
    let condition = view.condition("Ready").filter(|condition| condition.holds == Some(true))?;
    condition.last_transition_time.parse().ok()
}

fn new_pod(set: &Object, name: &str) -> Object {
    let template = set.at("/spec/template").cloned().unwrap_or_default();
    let mut metadata = json!({"name": name, "namespace": set.namespace(), "ownerReferences": [owner(set)], "labels": template["metadata"]["labels"]});
    if let Some(annotations) = template.pointer("/metadata/annotations") {
        metadata["annotations"] = annotations.clone();
    }
    let value =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
    Object::from_value(value).expect("it is written as an object")
}
