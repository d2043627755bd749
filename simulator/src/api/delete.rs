use cluster::{Object, Pod};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::call::{ApiCall, CallOptions, Propagation};
use super::change::StorageChange;
use super::resource::ServedResource;
use super::selection::Selection;
use crate::controller::CLEANUP;
use crate::objects::Key;
use crate::world::World;

/// The finalizer that keeps an object until its dependents are deleted.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that keeps an object until no dependent refers to it as owner.
pub(crate) const ORPHAN: &str = "orphan";

impl World {
    /// Deletes an object on behalf of a controller.
    pub(crate) fn delete(&mut self, key: &Key) {
        self.delete_with(key, None);
    }

    pub(crate) fn delete_with(&mut self, key: &Key, propagation: Option<Propagation>) {
        if let Some(object) = self.objects.get(key).cloned() {
            let options = CallOptions { propagation, ..CallOptions::default() };
            let change = self.admit_delete(key, &object, &options);
            self.commit(change);
        }
    }

    pub(super) fn admit_delete(
        &self,
        key: &Key,
        object: &Object,
        options: &CallOptions,
    ) -> StorageChange {
        let default_grace =
            object.at("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(30);
        let grace = options.grace_seconds.map_or(default_grace, u64::from);
        let is_running = |pod: Pod<'_>| !pod.is_finished() && pod.node().is_some();
        let is_graceful = grace > 0 && Pod::of(object).is_some_and(is_running);
        let mut metadata = object.metadata().clone();
        let finalizer = match options.propagation {
            Some(Propagation::Foreground) => Some(FOREGROUND),
            Some(Propagation::Orphan) => Some(ORPHAN),
            Some(Propagation::Background) | None => None,
        };
        metadata.finalizers.retain(|one| {
            options.propagation.is_none() || !matches!(one.as_str(), FOREGROUND | ORPHAN)
        });
        metadata.finalizers.extend(finalizer.map(String::from));
        if key.kind == "CustomResourceDefinition"
            && !metadata.finalizers.iter().any(|one| one == CLEANUP)
        {
            metadata.finalizers.push(CLEANUP.into());
        }
        if !is_graceful && key.kind != "Namespace" && metadata.finalizers.is_empty() {
            return StorageChange::Remove(key.clone(), object.clone());
        }
        if metadata.deletion_timestamp.is_some() && metadata == *object.metadata() {
            return StorageChange::AlreadyDeleting(object.clone());
        }
        if metadata.deletion_timestamp.is_none() {
            let seconds = if is_graceful { grace } else { 0 };
            let at = self.now + SignedDuration::from_secs(seconds as i64);
            metadata.deletion_timestamp = Timestamp::from_second(at.as_second()).ok().or(Some(at));
            metadata.rest.insert("deletionGracePeriodSeconds".into(), seconds.into());
            metadata.generation += i64::from(metadata.generation > 0);
        }
        let marked = object.with_metadata(metadata);
        let marked = if key.kind == "Namespace" {
            let mut status = object.field("status").cloned().unwrap_or_default();
            status["phase"] = "Terminating".into();
            marked.with_field("status", status)
        } else {
            marked
        };
        StorageChange::Mark(key.clone(), marked)
    }

    pub(super) fn admit_delete_all(
        &self,
        resource: &ServedResource,
        call: &ApiCall,
        selection: &Selection,
    ) -> StorageChange {
        let objects = self.objects.of_kind(resource.storage_kind, call.namespace.as_deref());
        let deleted: Vec<Object> =
            objects.filter(|object| selection.matches(object)).cloned().collect();
        let changes = deleted.iter().map(|object| {
            let key = Key::new(
                resource.storage_kind,
                object.namespace().unwrap_or_default(),
                object.name(),
            );
            self.admit_delete(&key, object, &call.options)
        });
        StorageChange::Many { changes: changes.collect(), deleted }
    }
}
