use cluster::{Kind, Object};
use serde_json::{Value, json};

use crate::api::storage_kind;
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::{CONTROLLER_DELAY, World};

/// The finalizer that keeps a CustomResourceDefinition until the objects of its kind are deleted.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl World {
    /// Establishes a CustomResourceDefinition. If it is being deleted, deletes the objects of its kind.
    pub(crate) fn reconcile_definition(&mut self, key: &Key) {
        let Some(definition) = self.objects.get(key).cloned() else { return };
        if definition.metadata().deletion_timestamp.is_some() {
            self.delete_instances(key, &definition);
            return;
        }
        if definition.field("status").is_some() {
            return;
        }
        let now = self.now_rfc3339();
        let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
        let versions =
            definition.at("/spec/versions").and_then(Value::as_array).into_iter().flatten();
        let stored: Vec<&Value> = versions
            .filter(|version| version["storage"] == true)
            .map(|version| &version["name"])
            .collect();
        let status = json!({
            "acceptedNames": definition.at("/spec/names"),
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
            "storedVersions": stored,
        });
        self.store(key, &definition.with_field("status", status));
    }

    fn delete_instances(&mut self, key: &Key, definition: &Object) {
        let text =
            |pointer: &str| definition.at(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = Kind::new(format!("{}/any", text("/spec/group")), text("/spec/names/kind"));
        let remaining: Vec<Key> =
            self.objects.of_kind(storage_kind(&kind), None).filter_map(Key::of).collect();
        if !remaining.is_empty() {
            for one in &remaining {
                self.delete(one);
            }
            self.set_timer(CONTROLLER_DELAY * 40, Timer::CustomResourceDefinition(key.clone()));
            return;
        }
        let mut metadata = definition.metadata().clone();
        metadata.finalizers.retain(|one| one != CLEANUP);
        if metadata.finalizers.is_empty() {
            self.discard(key);
        } else {
            self.store(key, &definition.with_metadata(metadata));
        }
    }
}
