use std::collections::BTreeSet;

use cluster::Object;
use serde_json::json;

use crate::api::{FOREGROUND, ORPHAN, Propagation};
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::{CONTROLLER_DELAY, World};

impl World {
    /// Deletes objects whose owners are all deleted, and processes objects that wait for their dependents.
    pub(crate) fn collect_garbage(&mut self) {
        let uids: BTreeSet<&str> =
            self.objects.all().map(|object| object.metadata().uid.as_str()).collect();
        let orphans: Vec<Key> = self
            .objects
            .all()
            .filter(|object| {
                let metadata = object.metadata();
                let owners = &metadata.owner_references;
                metadata.deletion_timestamp.is_none()
                    && !owners.is_empty()
                    && !owners.iter().any(|owner| uids.contains(owner.uid.as_str()))
            })
            .filter_map(Key::of)
            .collect();
        let is_waiting = |object: &&Object| {
            let metadata = object.metadata();
            metadata.deletion_timestamp.is_some()
                && metadata.finalizers.iter().any(|one| matches!(one.as_str(), FOREGROUND | ORPHAN))
        };
        let waiting: Vec<Object> = self.objects.all().filter(is_waiting).cloned().collect();
        for key in orphans {
            self.delete(&key);
        }
        for object in waiting {
            if object.metadata().finalizers.iter().any(|one| one == ORPHAN) {
                self.orphan_dependents(&object);
            } else {
                self.delete_dependents_first(&object);
            }
        }
    }

    /// Deletes the dependents of `object`, and `object` once no dependent blocks its deletion.
    fn delete_dependents_first(&mut self, object: &Object) {
        let dependents = self.dependents_of(object);
        let blocks_deletion = |one: &&Object| {
            let mut owners = one.metadata().owner_references.iter();
            owners.any(|owner| {
                owner.uid == object.metadata().uid && owner.block_owner_deletion == Some(true)
            })
        };
        let is_blocked = dependents.iter().any(|one| blocks_deletion(&one));
        for one in dependents.iter().filter(|one| one.metadata().deletion_timestamp.is_none()) {
            let Some(key) = Key::of(one) else { continue };
            let owns = !self.dependents_of(one).is_empty();
            self.delete_with(&key, owns.then_some(Propagation::Foreground));
        }
        if !is_blocked {
            self.remove_finalizer(object, FOREGROUND);
        }
    }

    /// Removes the references to `object` from its dependents, and the `orphan` finalizer from `object`.
    fn orphan_dependents(&mut self, object: &Object) {
        for one in self.dependents_of(object) {
            let mut metadata = one.metadata().clone();
            metadata.owner_references.retain(|owner| owner.uid != object.metadata().uid);
            if let Some(key) = Key::of(&one) {
                self.store(&key, &one.with_metadata(metadata));
            }
        }
        self.remove_finalizer(object, ORPHAN);
    }

    fn dependents_of(&self, object: &Object) -> Vec<Object> {
        let is_owned = |one: &&Object| {
            one.metadata().owner_references.iter().any(|owner| owner.uid == object.metadata().uid)
        };
        self.objects.all().filter(is_owned).cloned().collect()
    }

    /// Removes a finalizer from an object that is being deleted. Deletes the object if it was the last one.
    fn remove_finalizer(&mut self, object: &Object, finalizer: &str) {
        let Some(key) = Key::of(object) else { return };
        let Some(object) = self.objects.get(&key).cloned() else { return };
        let mut metadata = object.metadata().clone();
        metadata.finalizers.retain(|one| one != finalizer);
        if metadata.finalizers.is_empty() && !self.is_on_node(&key, &metadata.uid) {
            self.discard(&key);
        } else {
            self.store(&key, &object.with_metadata(metadata));
        }
    }

    /// Creates the default objects of a new namespace: the `default` ServiceAccount and the cluster CA bundle.
    fn create_default_objects(&mut self, namespace: &Object) {
        let metadata = |name: &str| json!({"name": name, "namespace": namespace.name()});
        let description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
        let mut bundle = metadata("kube-root-ca.crt");
        bundle["annotations"] = json!({"kubernetes.io/description": description});
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default")});
        let bundle = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": bundle, "data": {"ca.crt": ""}});
        for value in [account, bundle] {
            // The create fails only if the object already exists.
            let _ = self
                .create_object(Object::from_value(value).expect("the literal is a valid object"));
        }
    }

    /// Creates the default objects of a namespace. If it is being deleted, deletes its objects and then the namespace.
    pub(crate) fn reconcile_namespace(&mut self, key: &Key) {
        let Some(namespace) = self.objects.get(key).cloned() else { return };
        if namespace.metadata().deletion_timestamp.is_none() {
            self.create_default_objects(&namespace);
            return;
        }
        let contents: Vec<Key> = self
            .objects
            .all()
            .filter(|object| object.namespace() == Some(namespace.name()))
            .filter_map(Key::of)
            .collect();
        if contents.is_empty() {
            if namespace.metadata().finalizers.is_empty() {
                self.discard(key);
            }
            return;
        }
        for key in &contents {
            self.delete(key);
        }
        self.set_timer(CONTROLLER_DELAY * 40, Timer::Namespace(key.clone()));
    }
}
