use std::collections::BTreeSet;

use cluster::Object;
use serde_json::json;

use crate::api::{FOREGROUND, ORPHAN, Propagation};
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{CONTROLLER, World};

impl World {
    /// Deletes every object all of whose owners are gone, and lets those go that waited for what they own.
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
                self.set_free(&object);
            } else {
                self.delete_owned_first(&object);
            }
        }
    }

    /// Deletes what `object` owns; once nothing is left that holds it back, `object` goes.
    fn delete_owned_first(&mut self, object: &Object) {
        let owned = self.owned_by(object);
        let is_holding = |one: &&Object| {
            let mut owners = one.metadata().owner_references.iter();
            owners.any(|owner| {
                owner.uid == object.metadata().uid && owner.block_owner_deletion == Some(true)
            })
        };
        let is_held = owned.iter().any(|one| is_holding(&one));
        for one in owned.iter().filter(|one| one.metadata().deletion_timestamp.is_none()) {
            let Some(key) = Key::of(one) else { continue };
            let owns = !self.owned_by(one).is_empty();
            self.delete_as(&key, owns.then_some(Propagation::Foreground));
        }
        if !is_held {
            self.release(object, FOREGROUND);
        }
    }

    /// Takes `object` out of the owners of all that it owns, and lets it go.
    fn set_free(&mut self, object: &Object) {
        for one in self.owned_by(object) {
            let mut metadata = one.metadata().clone();
            metadata.owner_references.retain(|owner| owner.uid != object.metadata().uid);
            if let Some(key) = Key::of(&one) {
                self.store(&key, &one.with_metadata(metadata));
            }
        }
        self.release(object, ORPHAN);
    }

    fn owned_by(&self, object: &Object) -> Vec<Object> {
        let is_owned = |one: &&Object| {
            one.metadata().owner_references.iter().any(|owner| owner.uid == object.metadata().uid)
        };
        self.objects.all().filter(is_owned).cloned().collect()
    }

    /// Takes a finalizer from an object that is going; with the last one it goes.
    fn release(&mut self, object: &Object, finalizer: &str) {
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

    /// Gives a new namespace what every namespace has: an account for its pods, and the certificate of the cluster.
    fn furnish(&mut self, namespace: &Object) {
        let metadata = |name: &str| json!({"name": name, "namespace": namespace.name()});
        let why = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
        let mut bundle = metadata("kube-root-ca.crt");
        bundle["annotations"] = json!({"kubernetes.io/description": why});
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default")});
        let bundle = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": bundle, "data": {"ca.crt": ""}});
        for value in [account, bundle] {
            // Refused only where somebody made it already.
            let _ = self.make(Object::from_value(value).expect("it is written as an object"));
        }
    }

    /// Deletes what is in a namespace that is going, and then the namespace itself; furnishes one that is not.
    pub(crate) fn empty_namespace(&mut self, key: &Key) {
        let Some(namespace) = self.objects.get(key).cloned() else { return };
        if namespace.metadata().deletion_timestamp.is_none() {
            self.furnish(&namespace);
            return;
        }
        let inside: Vec<Key> = self
            .objects
            .all()
            .filter(|object| object.namespace() == Some(namespace.name()))
            .filter_map(Key::of)
            .collect();
        if inside.is_empty() {
            if namespace.metadata().finalizers.is_empty() {
                self.discard(key);
            }
            return;
        }
        for key in &inside {
            self.delete(key);
        }
        self.wake(CONTROLLER * 40, Wake::Namespace(key.clone()));
    }
}
