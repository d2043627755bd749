use cluster::{Kind, Object};
use serde_json::{Value, json};

use crate::api::shelf;
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{CONTROLLER, World};

/// Holds a definition until the objects of its kind are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl World {
    /// Accepts the names of a definition, so that its kind is served; or, where it is going, deletes what is of its kind.
    pub(crate) fn reconcile_definition(&mut self, key: &Key) {
        let Some(definition) = self.objects.get(key).cloned() else { return };
        if definition.metadata().deletion_timestamp.is_some() {
            self.clean_up(key, &definition);
            return;
        }
        if definition.field("status").is_some() {
            return;
        }
        let now = self.written_now();
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

    fn clean_up(&mut self, key: &Key, definition: &Object) {
        let text =
            |pointer: &str| definition.at(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = Kind::new(format!("{}/any", text("/spec/group")), text("/spec/names/kind"));
        let left: Vec<Key> = self.objects.of_kind(shelf(&kind), None).filter_map(Key::of).collect();
        if !left.is_empty() {
            for one in &left {
                self.delete(one);
            }
            self.wake(CONTROLLER * 40, Wake::Definition(key.clone()));
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
