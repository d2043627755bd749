use cluster::{Object, Pod, ReplicaSet};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::deployment::owner_reference;
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::World;

/// The delay before a failed pod creation is retried.
const CREATE_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(5);

impl World {
    /// Creates or deletes pods until a ReplicaSet has the desired replicas, and writes its status.
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
        // A ReplicaSet that is being deleted does not scale; the garbage collector deletes its pods.
        let is_deleting = object.metadata().deletion_timestamp.is_some();
        let desired = if is_deleting { pods.len() } else { view.replicas() as usize };
        for _ in pods.len()..desired {
            let name = format!("{}-{}", key.name, self.rng.suffix(5));
            match self.create_object(new_pod(&object, &name)) {
                Ok(pod) => {
                    self.record_event(
                        &object,
                        "Normal",
                        "SuccessfulCreate",
                        &format!("Created pod: {name}"),
                        "replicaset-controller",
                    );
                    pods.push(pod);
                }
                Err(error) => {
                    self.record_event(
                        &object,
                        "Warning",
                        "FailedCreate",
                        &format!("Error creating: {}", error.message),
                        "replicaset-controller",
                    );
                    self.set_timer(CREATE_RETRY_DELAY, Timer::ReplicaSet(key.clone()));
                    break;
                }
            }
        }
        if pods.len() > desired {
            // Deletion order: unscheduled, unready, youngest.
            pods.sort_by_key(|pod| {
                let view = Pod::of(pod);
                let is_scheduled = view.is_some_and(|pod| pod.node().is_some());
                let is_ready = view.is_some_and(|pod| pod.is_ready());
                (
                    is_scheduled,
                    is_ready,
                    std::cmp::Reverse(pod.metadata().creation_timestamp),
                    pod.name().to_string(),
                )
            });
            let surplus = pods.len() - desired;
            for pod in pods.drain(..surplus).collect::<Vec<_>>() {
                self.record_event(
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
        let min_ready = object.at("/spec/minReadySeconds").and_then(Value::as_i64).unwrap_or(0);
        let min_ready = SignedDuration::from_secs(min_ready);
        let (mut ready, mut available) = (0_u64, 0_u64);
        for pod in pods {
            let Some(since) = ready_since(pod) else { continue };
            ready += 1;
            if since + min_ready <= self.now {
                available += 1;
            } else {
                self.set_timer_at(since + min_ready, Timer::ReplicaSet(key.clone()));
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
    let condition = view.condition("Ready").filter(|condition| condition.status == Some(true))?;
    condition.last_transition_time.parse().ok()
}

fn new_pod(set: &Object, name: &str) -> Object {
    let template = set.at("/spec/template").cloned().unwrap_or_default();
    let mut metadata = json!({"name": name, "namespace": set.namespace(), "ownerReferences": [owner_reference(set)], "labels": template["metadata"]["labels"]});
    if let Some(annotations) = template.pointer("/metadata/annotations") {
        metadata["annotations"] = annotations.clone();
    }
    let value =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
    Object::from_value(value).expect("the literal is a valid object")
}
