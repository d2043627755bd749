use std::collections::BTreeMap;

use cluster::{Cluster, Kind, ListQuery, Object, ObjectKey, ObjectRef, ReadFailure};
use serde::{Deserialize, Serialize};
use workflow::{Entry, Predicate, fact};

use crate::evidence::desired_state;

/// The known-good state: each workload and its related objects as they were when the workload was last healthy.
///
/// A pure fold over `ObjectHealthy` records. Evidence compares the current state with it to find what changed. Only the
/// latest state of each workload is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnownGood {
    /// By workload: the workload and its related objects.
    workloads: BTreeMap<ObjectKey, Vec<Object>>,
}

impl KnownGood {
    /// Applies one entry of the record. Ignores entries other than `ObjectHealthy`.
    pub fn apply(&mut self, entry: &Entry) {
        if let Entry::ObjectHealthy { object, related } = entry {
            self.record(object, related);
        }
    }

    /// Records the related objects of a healthy workload.
    ///
    /// The recorded state of a Service or ConfigMap that is not in `related` is kept: a Service whose selector no
    /// longer matches, or a ConfigMap that lacks a key, is not known to be good even while the running pods are still
    /// healthy.
    pub fn record(&mut self, workload: &ObjectRef, related: &[Object]) {
        let kept = self.workloads.entry(workload.into()).or_default();
        let is_same = |a: &Object, b: &Object| {
            a.kind() == b.kind() && a.namespace() == b.namespace() && a.name() == b.name()
        };
        kept.retain(|old| {
            matches!(old.kind().kind.as_str(), "Service" | "ConfigMap")
                && !related.iter().any(|new| is_same(old, new))
        });
        kept.extend(related.iter().cloned());
    }

    /// Returns whether every object in `related` is already recorded in this state.
    pub fn contains_all(&self, workload: &ObjectRef, related: &[Object]) -> bool {
        let Some(kept) = self.workloads.get(&ObjectKey::from(workload)) else { return false };
        related.iter().all(|object| {
            kept.iter().any(|old| {
                old.kind() == object.kind()
                    && old.name() == object.name()
                    && old.metadata().uid == object.metadata().uid
                    && cluster::difference("", Some(old), Some(object)).is_empty()
            })
        })
    }

    /// Returns the recorded state of a workload and its related objects. Empty if the workload was never healthy.
    pub fn objects_of(&self, workload: &ObjectRef) -> &[Object] {
        self.workloads.get(&ObjectKey::from(workload)).map_or(&[], Vec::as_slice)
    }

    /// Returns the state of one object when a workload that it belongs to was last healthy.
    ///
    /// The state recorded with the workload `first` takes precedence: a state that is good for another workload may be
    /// the one that broke this one.
    pub fn state_of(&self, object: &ObjectRef, first: Option<&ObjectRef>) -> Option<&Object> {
        let is_it = |state: &&Object| {
            state.kind().kind == object.kind
                && state.namespace() == object.namespace.as_deref()
                && state.name() == object.name
        };
        let own = first.and_then(|workload| self.objects_of(workload).iter().find(is_it));
        own.or_else(|| self.objects_of(object).iter().find(is_it))
            .or_else(|| self.workloads.values().flatten().find(is_it))
    }

    /// Returns the key of every workload that was recorded together with this Service.
    pub fn backing_workloads(&self, service: &ObjectRef) -> impl Iterator<Item = &ObjectKey> {
        let is_service = |object: &Object| {
            object.kind().kind == "Service"
                && object.namespace() == service.namespace.as_deref()
                && object.name() == service.name
        };
        self.workloads
            .iter()
            .filter(move |(key, objects)| {
                key.cluster == service.cluster && objects.iter().any(is_service)
            })
            .map(|(key, _)| key)
    }
}

/// Returns the objects to record for a healthy workload: the workload, its current ReplicaSet, the Services that select
/// it, and the ConfigMaps and Secrets that it reads, all without status.
///
/// A Service that cannot receive requests, and a ConfigMap that lacks a referenced key, are left out because they are
/// not known to be good. Makes five list calls, and one call for each of at most eight Secrets.
///
/// # Errors
/// Returns the [`ReadFailure`] if one of the lists cannot be read. A Secret that cannot be read is left out.
pub async fn related_objects(
    cluster: &dyn Cluster,
    workload: &ObjectRef,
) -> Result<Vec<Object>, ReadFailure> {
    let namespace = workload.namespace.as_deref();
    let mut seen = Vec::new();
    for kind in [workload.kind.as_str(), "ReplicaSet", "Service", "EndpointSlice", "ConfigMap"] {
        let kind = Kind::builtin(kind).unwrap_or_else(|| workload.object_kind());
        seen.extend(cluster.list(&ListQuery::latest(kind, namespace)).await?.items);
    }
    let Some(own) =
        seen.iter().find(|object| object.reference(cluster.name()).is_same(workload)).cloned()
    else {
        return Ok(Vec::new());
    };
    let facts = fact::observe(cluster.name(), &seen);
    let read = fact::key_references(&own);
    let current = own.metadata().annotations.get(REVISION);
    let mut kept = vec![desired_state(&own)];
    for object in &seen {
        let reference = object.reference(cluster.name());
        let belongs = match object.kind().kind.as_str() {
            "Service" => {
                let is_reachable = facts
                    .value(&reference, Predicate::Reachable, "")
                    .and_then(serde_json::Value::as_bool);
                fact::selects_pods_of(object, &own) && is_reachable != Some(false)
            }
            "ConfigMap" => {
                let lacks = |fact: &workflow::Fact| fact.value == false;
                read.iter().any(|read| read.kind == "ConfigMap" && read.name == object.name())
                    && !facts.of(&reference, Predicate::HasKey).any(lacks)
            }
            "ReplicaSet" => {
                let is_owned = object
                    .controller()
                    .is_some_and(|owner| owner.kind == own.kind().kind && owner.name == own.name());
                is_owned && object.metadata().annotations.get(REVISION) == current
            }
            _ => false,
        };
        if belongs {
            kept.push(desired_state(object));
        }
    }
    let secrets: std::collections::BTreeSet<&str> =
        read.iter().filter(|read| read.kind == "Secret").map(|read| read.name).collect();
    for name in secrets.into_iter().take(8) {
        let secret = ObjectRef::builtin(cluster.name(), "Secret", namespace, name);
        // Without permission to read Secrets the other objects are still worth recording.
        if let Ok(Some(secret)) = cluster.get(&secret, cluster::Consistency::Latest).await {
            kept.push(desired_state(&secret));
        }
    }
    Ok(kept)
}

const REVISION: &str = "deployment.kubernetes.io/revision";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, api: &str, name: &str, spec: serde_json::Value) -> Object {
        Object::from_value(json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": spec}))
            .unwrap()
    }

    #[test]
    fn known_good_keeps_latest_state_and_missing_services() {
        let workload = ObjectRef::builtin("c", "Deployment", Some("shop"), "cart");
        let deployment =
            |replicas| object("Deployment", "apps/v1", "cart", json!({"replicas": replicas}));
        let service = object("Service", "v1", "front", json!({}));
        let mut known = KnownGood::default();
        assert!(!known.contains_all(&workload, &[deployment(2)]));
        known.apply(&Entry::ObjectHealthy {
            object: workload.clone(),
            related: vec![deployment(2), service.clone()],
        });
        assert!(known.contains_all(&workload, &[deployment(2)]));
        known.apply(&Entry::ObjectHealthy {
            object: workload.clone(),
            related: vec![deployment(3)],
        });
        assert_eq!(known.state_of(&workload, None), Some(&deployment(3)));
        let front = service.reference("c");
        let backing: Vec<&ObjectKey> = known.backing_workloads(&front).collect();
        assert_eq!(backing, [&ObjectKey::from(&workload)]);
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<KnownGood>(&text).unwrap(), known);
    }
}
