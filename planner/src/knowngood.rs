use std::collections::BTreeMap;

use cluster::{Cluster, Kind, ListQuery, Object, ObjectRef, ReadFailure};
use serde::{Deserialize, Serialize};
use workflow::{Entry, Ledger, Predicate, fact};

use crate::evidence::stripped;

/// What stood around each workload when it was last healthy: a pure fold over `ObjectHealthy` records.
///
/// "What changed since it worked?" is answered from here. Kept is the latest state only, per workload and object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnownGood {
    /// By [`Ledger::key`] of the workload: itself and the objects around it.
    workloads: BTreeMap<String, Vec<Object>>,
}

impl KnownGood {
    /// Folds one entry of the record; entries of other kinds change nothing.
    pub fn apply(&mut self, entry: &Entry) {
        if let Entry::ObjectHealthy { object, related } = entry {
            self.remember(object, related);
        }
    }

    /// Remembers what stands around a healthy workload.
    ///
    /// A Service or ConfigMap that is not among `related` stays remembered as it was: what lost its workload, or a key,
    /// is not known to be good, though the pods that run may not have noticed.
    pub fn remember(&mut self, workload: &ObjectRef, related: &[Object]) {
        let kept = self.workloads.entry(Ledger::key(workload)).or_default();
        let is_same = |a: &Object, b: &Object| {
            a.kind() == b.kind() && a.namespace() == b.namespace() && a.name() == b.name()
        };
        kept.retain(|old| {
            matches!(old.kind().kind.as_str(), "Service" | "ConfigMap")
                && !related.iter().any(|new| is_same(old, new))
        });
        kept.extend(related.iter().cloned());
    }

    /// Whether all of `related` is remembered as it stands: nothing new would be learned.
    pub fn holds(&self, workload: &ObjectRef, related: &[Object]) -> bool {
        let Some(kept) = self.workloads.get(&Ledger::key(workload)) else { return false };
        related.iter().all(|object| {
            kept.iter().any(|old| {
                old.kind() == object.kind()
                    && old.name() == object.name()
                    && old.metadata().uid == object.metadata().uid
                    && cluster::difference("", Some(old), Some(object)).is_empty()
            })
        })
    }

    /// What is remembered around one workload, itself among it; empty if nothing is.
    pub fn around(&self, workload: &ObjectRef) -> &[Object] {
        self.workloads.get(&Ledger::key(workload)).map_or(&[], Vec::as_slice)
    }

    /// The state of one object when a workload that it belongs to was last healthy. What `first` remembers counts before
    /// what others do, for what suits them may be what broke it.
    pub fn state_of(&self, object: &ObjectRef, first: Option<&ObjectRef>) -> Option<&Object> {
        let is_it = |state: &&Object| {
            state.kind().kind == object.kind
                && state.namespace() == object.namespace.as_deref()
                && state.name() == object.name
        };
        let own = first.and_then(|workload| self.around(workload).iter().find(is_it));
        own.or_else(|| self.around(object).iter().find(is_it))
            .or_else(|| self.workloads.values().flatten().find(is_it))
    }

    /// Every workload, by kind, namespace and name, around which a Service of this name was remembered.
    pub fn workloads_behind(&self, service: &ObjectRef) -> Vec<(String, String)> {
        let is_service = |object: &Object| {
            object.kind().kind == "Service"
                && object.namespace() == service.namespace.as_deref()
                && object.name() == service.name
        };
        let mut found = Vec::new();
        for (key, objects) in &self.workloads {
            let mut parts = key.splitn(4, '/');
            if let (Some(cluster), Some(kind), Some(_), Some(name)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
                && cluster == service.cluster
                && objects.iter().any(is_service)
            {
                found.push((kind.to_string(), name.to_string()));
            }
        }
        found
    }
}

/// Gathers what is to be remembered of a healthy workload: itself, its owner chain, the Services that lead to it, and
/// the ConfigMaps and Secrets that it reads, without status. At most five reads.
///
/// A Service whose requests cannot arrive, and a ConfigMap that lacks a key which is asked for, are left out: they are
/// not known to be good.
///
/// # Errors
/// If the cluster does not show the workload, or one of the lists.
pub async fn surroundings(
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
    let read = fact::reads(&own);
    let current = own.metadata().annotations.get(REVISION);
    let mut kept = vec![stripped(&own)];
    for object in &seen {
        let reference = object.reference(cluster.name());
        let belongs = match object.kind().kind.as_str() {
            "Service" => {
                let arrives = facts
                    .value(&reference, Predicate::Reachable, "")
                    .and_then(serde_json::Value::as_bool);
                fact::selects_pods_of(object, &own) && arrives != Some(false)
            }
            "ConfigMap" => {
                let lacks = |fact: &workflow::Fact| fact.value == false;
                read.iter().any(|read| read.kind == "ConfigMap" && read.name == object.name())
                    && !facts.of(&reference, Predicate::KeyPresent).any(lacks)
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
            kept.push(stripped(object));
        }
    }
    let secrets: std::collections::BTreeSet<&str> =
        read.iter().filter(|read| read.kind == "Secret").map(|read| read.name).collect();
    for name in secrets.into_iter().take(8) {
        let secret = ObjectRef::builtin(cluster.name(), "Secret", namespace, name);
        // Without the right to see Secrets the rest is still worth remembering.
        if let Ok(Some(secret)) = cluster.get(&secret, cluster::Consistency::Latest).await {
            kept.push(stripped(&secret));
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
    fn the_latest_state_counts_and_a_lost_service_stays_remembered() {
        let workload = ObjectRef::builtin("c", "Deployment", Some("shop"), "cart");
        let deployment =
            |replicas| object("Deployment", "apps/v1", "cart", json!({"replicas": replicas}));
        let service = object("Service", "v1", "front", json!({}));
        let mut known = KnownGood::default();
        assert!(!known.holds(&workload, &[deployment(2)]));
        known.apply(&Entry::ObjectHealthy {
            object: workload.clone(),
            related: vec![deployment(2), service.clone()],
        });
        assert!(known.holds(&workload, &[deployment(2)]));
        known.apply(&Entry::ObjectHealthy {
            object: workload.clone(),
            related: vec![deployment(3)],
        });
        assert_eq!(known.state_of(&workload, None), Some(&deployment(3)));
        let front = service.reference("c");
        assert_eq!(
            known.workloads_behind(&front),
            [("Deployment".to_string(), "cart".to_string())]
        );
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<KnownGood>(&text).unwrap(), known);
    }
}
