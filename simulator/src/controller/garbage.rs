use std::collections::BTreeSet;

use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{CONTROLLER, World};

impl World {
    /// Deletes every object all of whose owners are gone.
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
        for key in orphans {
            self.delete(&key);
        }
    }

    /// Deletes what is in a namespace that is going, and then the namespace itself.
    pub(crate) fn empty_namespace(&mut self, key: &Key) {
        let Some(namespace) = self.objects.get(key).cloned() else { return };
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
