mod status;

use cluster::{Deployment, DeploymentStrategy, Object, ReplicaSet};
use serde_json::{Value, json};

use crate::objects::Key;
use crate::rng::template_hash;
use crate::world::World;

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// A ReplicaSet of the Deployment, and its desired replicas after this reconciliation.
struct OwnedReplicaSet {
    key: Key,
    object: Object,
    desired: u32,
}

impl OwnedReplicaSet {
    fn available(&self) -> u32 {
        let available =
            self.object.at("/status/availableReplicas").and_then(Value::as_u64).unwrap_or(0);
        u32::try_from(available).unwrap_or(u32::MAX).min(self.desired)
    }

    fn revision(&self) -> u64 {
        ReplicaSet::of(&self.object).and_then(|set| set.revision()).unwrap_or(0)
    }
}

impl World {
    /// Scales the ReplicaSets of a Deployment by one step of the rollout, and writes its status.
    pub(crate) fn reconcile_deployment(&mut self, key: &Key) {
        let Some(object) = self.objects.get(key).cloned() else { return };
        if object.metadata().deletion_timestamp.is_some() {
            return;
        }
        let view = Deployment::of(&object).expect("a Deployment is stored under its kind");
        let uid = &object.metadata().uid;
        let sets = self
            .objects
            .of_kind("ReplicaSet", Some(&key.namespace))
            .filter(|set| set.controller().is_some_and(|owner| owner.uid == *uid));
        let mut sets: Vec<OwnedReplicaSet> = sets
            .map(|set| OwnedReplicaSet {
                key: Key::new("ReplicaSet", &key.namespace, set.name()),
                object: set.clone(),
                desired: ReplicaSet::of(set).map_or(0, |set| set.replicas()),
            })
            .collect();
        sets.sort_by_key(|set| (set.object.metadata().creation_timestamp, set.revision()));

        let hash = self.template_hash_of(&object);
        let newest = sets
            .iter()
            .position(|set| set.object.metadata().labels.get(TEMPLATE_HASH) == Some(&hash));
        let last_revision = sets.iter().map(OwnedReplicaSet::revision).max().unwrap_or(0);
        let mut found = None;
        let newest = match newest {
            Some(newest) => {
                if sets[newest].revision() < last_revision {
                    sets[newest].object =
                        with_new_revision(&sets[newest].object, last_revision + 1);
                    self.store(&sets[newest].key.clone(), &sets[newest].object.clone());
                    found = Some("FoundNewReplicaSet");
                }
                newest
            }
            None if view.is_paused() => {
                self.write_deployment_status(key, &object, &sets, None, None);
                return;
            }
            None => {
                let set = new_replica_set(&object, &hash, last_revision + 1);
                // The create fails if the namespace is terminating or its quota is exhausted. The Deployment then waits as if paused.
                let Ok(stored) = self.create_object(set) else {
                    self.write_deployment_status(key, &object, &sets, None, None);
                    return;
                };
                sets.push(OwnedReplicaSet {
                    key: Key::new("ReplicaSet", &key.namespace, stored.name()),
                    object: stored,
                    desired: 0,
                });
                found = Some("NewReplicaSetCreated");
                sets.len() - 1
            }
        };
        let revision = sets[newest].revision();
        let object =
            if object.metadata().annotations.get(REVISION).and_then(|text| text.parse().ok())
                != Some(revision)
            {
                self.store(key, &with_revision(&object, revision))
            } else {
                object.clone()
            };
        if !view.is_paused()
            || sets.iter().enumerate().all(|(i, set)| i == newest || set.desired == 0)
        {
            self.scale_sets(&object, &mut sets, newest);
        }
        self.drop_old_sets(&object, &sets, newest);
        self.write_deployment_status(key, &object, &sets, Some(newest), found);
    }

    /// Returns the hash of a Deployment's pod template. Cached per generation.
    fn template_hash_of(&mut self, deployment: &Object) -> String {
        let metadata = deployment.metadata();
        match self.template_hashes.get(&metadata.uid) {
            Some((generation, hash)) if *generation == metadata.generation => hash.clone(),
            _ => {
                let hash = template_hash(deployment.at("/spec/template").unwrap_or(&Value::Null));
                self.template_hashes
                    .insert(metadata.uid.clone(), (metadata.generation, hash.clone()));
                hash
            }
        }
    }

    /// Scales the ReplicaSets as far as `maxSurge` and `maxUnavailable` allow now.
    fn scale_sets(&mut self, deployment: &Object, sets: &mut [OwnedReplicaSet], newest: usize) {
        let view = Deployment::of(deployment).expect("a Deployment is stored under its kind");
        let replicas = view.replicas();
        let old_sets: Vec<usize> = (0..sets.len()).filter(|i| *i != newest).collect();
        let (surge, unavailable) = match view.strategy() {
            DeploymentStrategy::Recreate => {
                for i in &old_sets {
                    self.scale_set(deployment, &mut sets[*i], 0);
                }
                // Recreate waits until the pods of old revisions are deleted.
                let uids: Vec<&str> =
                    old_sets.iter().map(|i| sets[*i].object.metadata().uid.as_str()).collect();
                let namespace = deployment.namespace().unwrap_or_default();
                let is_old = |pod: &Object| {
                    pod.controller().is_some_and(|owner| uids.contains(&owner.uid.as_str()))
                };
                if self.objects.of_kind("Pod", Some(namespace)).any(is_old) {
                    return;
                }
                (0, replicas)
            }
            DeploymentStrategy::RollingUpdate { max_unavailable, max_surge } => {
                rollout_limits(replicas, max_surge, max_unavailable)
            }
        };
        let total: u32 = sets.iter().map(|set| set.desired).sum();
        let new = sets[newest].desired;
        if new > replicas {
            self.scale_set(deployment, &mut sets[newest], replicas);
        } else if new < replicas {
            let headroom = (replicas + surge).saturating_sub(total);
            self.scale_set(deployment, &mut sets[newest], replicas.min(new + headroom));
        }
        let all: u32 = sets.iter().map(|set| set.desired).sum();
        let min_available = replicas.saturating_sub(unavailable);
        let new_unavailable = sets[newest].desired - sets[newest].available();
        let mut removable = all.saturating_sub(min_available + new_unavailable);
        // Unavailable pods are removed first, because this does not reduce availability.
        for i in &old_sets {
            let cut = removable.min(sets[*i].desired - sets[*i].available());
            removable -= cut;
            let desired = sets[*i].desired - cut;
            self.scale_set(deployment, &mut sets[*i], desired);
        }
        let available: u32 = sets.iter().map(OwnedReplicaSet::available).sum();
        let mut surplus_available = available.saturating_sub(min_available).min(removable);
        for i in &old_sets {
            let cut = surplus_available.min(sets[*i].desired);
            surplus_available -= cut;
            let desired = sets[*i].desired - cut;
            self.scale_set(deployment, &mut sets[*i], desired);
        }
    }

    fn scale_set(&mut self, deployment: &Object, set: &mut OwnedReplicaSet, desired: u32) {
        if set.desired == desired {
            return;
        }
        let (from, direction) = (set.desired, if desired > set.desired { "up" } else { "down" });
        let mut spec = set.object.field("spec").cloned().unwrap_or_default();
        spec["replicas"] = desired.into();
        let mut metadata = set.object.metadata().clone();
        metadata.generation += 1;
        set.object =
            self.store(&set.key, &set.object.with_metadata(metadata).with_field("spec", spec));
        set.desired = desired;
        let message =
            format!("Scaled {direction} replica set {} from {from} to {desired}", set.key.name);
        self.record_event(
            deployment,
            "Normal",
            "ScalingReplicaSet",
            &message,
            "deployment-controller",
        );
    }

    fn drop_old_sets(&mut self, deployment: &Object, sets: &[OwnedReplicaSet], newest: usize) {
        let limit =
            deployment.at("/spec/revisionHistoryLimit").and_then(Value::as_u64).unwrap_or(10)
                as usize;
        let mut idle: Vec<&OwnedReplicaSet> = (0..sets.len())
            .filter(|i| *i != newest)
            .map(|i| &sets[i])
            .filter(|set| set.desired == 0)
            .collect();
        idle.retain(|set| {
            set.object.at("/status/replicas").and_then(Value::as_u64).unwrap_or(0) == 0
        });
        idle.sort_by_key(|set| set.revision());
        let surplus: Vec<Key> =
            idle.iter().take(idle.len().saturating_sub(limit)).map(|set| set.key.clone()).collect();
        for key in surplus {
            self.discard(&key);
        }
    }
}

/// Returns max surge (rounded up) and max unavailable (rounded down) of a rolling update, in pods. They are never both zero.
fn rollout_limits(replicas: u32, surge: Option<&Value>, unavailable: Option<&Value>) -> (u32, u32) {
    let quarter = Value::from("25%");
    let resolve = |value: &Value, round_up: bool| match value {
        Value::Number(number) => number.as_u64().unwrap_or(0) as u32,
        Value::String(text) => {
            let percent: u32 = text.trim_end_matches('%').parse().unwrap_or(0);
            let parts = replicas.saturating_mul(percent);
            if round_up { parts.div_ceil(100) } else { parts / 100 }
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => 0,
    };
    let surge = resolve(surge.unwrap_or(&quarter), true);
    let unavailable = resolve(unavailable.unwrap_or(&quarter), false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(replicas)) }
}

/// Gives a reused ReplicaSet a new revision and appends the previous one to its revision history, as Kubernetes does.
fn with_new_revision(set: &Object, revision: u64) -> Object {
    let mut metadata = set.metadata().clone();
    if let Some(old) = metadata.annotations.get(REVISION).cloned() {
        let history = metadata.annotations.entry(REVISION_HISTORY.into()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&old);
    }
    with_revision(&set.with_metadata(metadata), revision)
}

fn with_revision(object: &Object, revision: u64) -> Object {
    let mut metadata = object.metadata().clone();
    metadata.annotations.insert(REVISION.into(), revision.to_string());
    object.with_metadata(metadata)
}

fn new_replica_set(deployment: &Object, hash: &str, revision: u64) -> Object {
    let mut template = deployment.at("/spec/template").cloned().unwrap_or_default();
    template["metadata"]["labels"][TEMPLATE_HASH] = hash.into();
    let mut selector = deployment.at("/spec/selector").cloned().unwrap_or_default();
    selector["matchLabels"][TEMPLATE_HASH] = hash.into();
    let mut annotations = deployment.metadata().annotations.clone();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    annotations.insert(REVISION.into(), revision.to_string());
    annotations.insert(
        "deployment.kubernetes.io/desired-replicas".into(),
        deployment.at("/spec/replicas").map_or("1".into(), Value::to_string),
    );
    let value = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", deployment.name()),
            "namespace": deployment.namespace(),
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    });
    Object::from_value(value).expect("the literal is a valid object")
}

/// Returns the controller owner reference to `object`.
pub(super) fn owner_reference(object: &Object) -> Value {
    let kind = object.kind();
    json!({"apiVersion": kind.api_version, "kind": kind.kind, "name": object.name(), "uid": object.metadata().uid,
        "controller": true, "blockOwnerDeletion": true})
}
