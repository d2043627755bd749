use cluster::{JsonOp, Object, Patch};
use serde_json::json;

use super::call::{ApiCall, CallOptions};
use super::change::{StorageChange, has_subresource};
use super::managed::{self, FieldManager};
use super::resource::ServedResource;
use super::status_error::{ResourceName, StatusCause, StatusError};
use super::{admission, defaults};
use crate::objects::Key;
use crate::world::World;

impl World {
    /// Patches an object with administrator permissions. The call does not appear in the request log.
    pub(crate) fn patch_as_admin(&mut self, key: &Key, patch: &Patch) -> Result<(), StatusError> {
        let Some(object) = self.objects.get(key).cloned() else {
            return Err(StatusError::new(
                404,
                "NotFound",
                format!("{} {} not found", key.kind, key.name),
            ));
        };
        let resource = self.resource(object.kind()).ok_or_else(StatusError::unknown_resource)?;
        let after = patched(&resource, &object, patch)?;
        let change =
            self.admit_change(&resource, key, &object, after, None, &CallOptions::default())?;
        self.commit(change);
        Ok(())
    }

    pub(super) fn admit_patch(
        &self,
        resource: &ServedResource,
        key: &Key,
        object: &Object,
        patch: &Patch,
        call: &ApiCall,
    ) -> Result<StorageChange, StatusError> {
        let subresource = call.subresource.as_deref();
        check_subresource(resource, subresource)?;
        if subresource == Some("scale") {
            let scale = scale_of(key.kind, object).ok_or_else(StatusError::unknown_resource)?;
            let after = apply_scale(resource, object, &patched(resource, &scale, patch)?)?;
            return self.admit_change(resource, key, object, after, subresource, &call.options);
        }
        let patches_managed_fields = matches!(patch, Patch::Json(_))
            && patch
                .changed_pointers()
                .iter()
                .any(|path| path.starts_with("/metadata/managedFields"));
        if !patches_managed_fields {
            let after = patched(resource, object, patch)?;
            return self.admit_change(resource, key, object, after, subresource, &call.options);
        }
        // A JSON patch of `managedFields` is stored as given: kubectl migrates to server-side apply this way.
        let patched_object = patched(resource, &managed::with_managed_fields(object), patch)?;
        let after = self.validate_update(resource, object, patched_object.clone(), subresource)?;
        Ok(self.finish_update(
            key,
            object,
            managed::with_managers_of(&after, &patched_object),
            subresource,
        ))
    }

    pub(super) fn admit_update(
        &self,
        resource: &ServedResource,
        key: &Key,
        object: &Object,
        call: &ApiCall,
        wanted: &Object,
    ) -> Result<StorageChange, StatusError> {
        let subresource = call.subresource.as_deref();
        check_subresource(resource, subresource)?;
        if wanted.name() != &*key.name {
            return Err(StatusError::name_mismatch(wanted.name(), &key.name));
        }
        if wanted.namespace().is_some_and(|namespace| namespace != &*key.namespace) {
            return Err(StatusError::namespace_mismatch());
        }
        let is_custom = super::builtin(&resource.kind).is_none();
        if is_custom && wanted.metadata().resource_version.is_empty() {
            let target = ResourceName::new(Some(resource), &resource.kind, object.name());
            return Err(StatusError::missing_resource_version(&target));
        }
        let after = if subresource == Some("scale") {
            apply_scale(resource, object, wanted)?
        } else {
            let mut metadata = wanted.metadata().clone();
            metadata.namespace.clone_from(&object.metadata().namespace);
            if metadata.uid.is_empty() {
                metadata.uid.clone_from(&object.metadata().uid);
            }
            wanted.with_metadata(metadata)
        };
        if after.kind() != object.kind() {
            return Err(StatusError::kind_mismatch());
        }
        self.admit_change(resource, key, object, after, subresource, &call.options)
    }

    pub(super) fn admit_change(
        &self,
        resource: &ServedResource,
        key: &Key,
        object: &Object,
        wanted: Object,
        subresource: Option<&str>,
        options: &CallOptions,
    ) -> Result<StorageChange, StatusError> {
        let after = self.validate_update(resource, object, wanted, subresource)?;
        if after == *object {
            return Ok(StorageChange::Unchanged(object.clone()));
        }
        let manager = FieldManager { name: &options.manager, subresource, now: self.now };
        let after = managed::record_update(object, &after, &manager);
        Ok(self.finish_update(key, object, after, subresource))
    }

    /// Returns the change that replaces `object` with `after`.
    pub(super) fn finish_update(
        &self,
        key: &Key,
        object: &Object,
        after: Object,
        subresource: Option<&str>,
    ) -> StorageChange {
        if after == *object {
            return StorageChange::Unchanged(object.clone());
        }
        let has_finalizers = |object: &Object| !object.metadata().finalizers.is_empty();
        let is_deleting = after.metadata().deletion_timestamp.is_some()
            && key.kind != "Namespace"
            && !self.is_on_node(key, &object.metadata().uid);
        if is_deleting && has_finalizers(object) && !has_finalizers(&after) {
            return StorageChange::Release(key.clone(), after);
        }
        match subresource {
            Some("scale") => StorageChange::Scale(key.clone(), after),
            Some(_) | None => StorageChange::Update(key.clone(), after),
        }
    }

    /// Validates an update and sets the fields that a client cannot change. Field ownership stays as before.
    pub(super) fn validate_update(
        &self,
        resource: &ServedResource,
        object: &Object,
        wanted: Object,
        subresource: Option<&str>,
    ) -> Result<Object, StatusError> {
        let target = ResourceName::new(Some(resource), &resource.kind, object.name());
        let before = object.metadata();
        let wanted = managed::with_managers_of(&wanted, object);
        let mut metadata = wanted.metadata().clone();
        if metadata.resource_version != before.resource_version
            && !metadata.resource_version.is_empty()
        {
            return Err(StatusError::modified(&target));
        }
        if metadata.name != before.name {
            return Err(StatusError::name_mismatch(&metadata.name, &before.name));
        }
        if metadata.namespace != before.namespace {
            return Err(StatusError::namespace_mismatch());
        }
        if metadata.uid != before.uid {
            let message = format!("Invalid value: {:?}: field is immutable", metadata.uid);
            return Err(StatusError::invalid(
                &target,
                vec![StatusCause::new("FieldValueInvalid", "metadata.uid", message)],
            ));
        }
        let after = match subresource {
            Some("status") => {
                metadata = before.clone();
                with_status_of(object.clone(), &wanted)
            }
            Some(_) => wanted,
            None if defaults::has_status(resource) => with_status_of(wanted, object),
            None => wanted,
        };
        metadata.resource_version.clone_from(&before.resource_version);
        metadata.creation_timestamp = before.creation_timestamp;
        metadata.deletion_timestamp = before.deletion_timestamp;
        metadata.generation = before.generation;
        for field in ["deletionGracePeriodSeconds", "generateName"] {
            match before.rest.get(field) {
                Some(value) => metadata.rest.insert(field.into(), value.clone()),
                None => metadata.rest.remove(field),
            };
        }
        let mut after = defaults::with_defaults(after.with_metadata(metadata));
        if after == *object {
            return Ok(after);
        }
        if subresource != Some("status") {
            admission::check_change(resource, object, &after)?;
        }
        if defaults::has_generation(resource) && is_spec_changed(resource, object, &after) {
            let mut metadata = after.metadata().clone();
            metadata.generation += 1;
            after = after.with_metadata(metadata);
        }
        Ok(after)
    }
}

/// Whether a field outside metadata and status changed.
fn is_spec_changed(resource: &ServedResource, before: &Object, after: &Object) -> bool {
    if super::builtin(&resource.kind).is_some() {
        return before.field("spec") != after.field("spec");
    }
    let is_counted = |name: &&str| *name != "status";
    let names = before.field_names().chain(after.field_names());
    names.filter(is_counted).any(|name| before.field(name) != after.field(name))
}

pub(super) fn check_subresource(
    resource: &ServedResource,
    subresource: Option<&str>,
) -> Result<(), StatusError> {
    match subresource {
        Some(name) if !has_subresource(resource, name) => Err(StatusError::unknown_resource()),
        Some(_) | None => Ok(()),
    }
}

/// Applies `patch` to `object`.
///
/// A failed `test` operation of a JSON patch is 422 without details, as on a real API server.
pub(super) fn patched(
    resource: &ServedResource,
    object: &Object,
    patch: &Patch,
) -> Result<Object, StatusError> {
    let is_custom = super::builtin(&resource.kind).is_none();
    patch.apply(object).map_err(|error| match patch {
        Patch::Strategic(_) if is_custom => {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            StatusError::new(415, "UnsupportedMediaType", message)
        }
        Patch::Json(_) => {
            let message = "the server rejected our request due to an error in our request";
            StatusError::new(422, "Invalid", message)
        }
        Patch::Merge(_) | Patch::Strategic(_) => {
            let target = ResourceName::new(Some(resource), &resource.kind, object.name());
            let cause = StatusCause::new("FieldValueInvalid", "patch", error.to_string());
            StatusError::invalid(&target, vec![cause])
        }
    })
}

fn with_status_of(object: Object, other: &Object) -> Object {
    match other.field("status") {
        Some(status) if object.field("status") == Some(status) => object,
        Some(status) => object.with_field("status", status.clone()),
        None if object.field("status").is_none() => object,
        None => object.without_field("status"),
    }
}

/// Returns the Scale of an object, or `None` if its kind has no scale subresource.
pub(crate) fn scale_of(kind: &str, object: &Object) -> Option<Object> {
    if !matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController") {
        return None;
    }
    let replicas = object.at("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
    let status = object.at("/status/replicas").cloned().unwrap_or_else(|| 0.into());
    let mut status = json!({"replicas": status});
    if let Some(selector) = object.at("/spec/selector")
        && let Ok(selector) = serde_json::from_value::<cluster::Selector>(selector.clone())
    {
        status["selector"] = selector.to_string().into();
    }
    let stored = object.metadata();
    let metadata = cluster::Metadata {
        name: stored.name.clone(),
        namespace: stored.namespace.clone(),
        uid: stored.uid.clone(),
        resource_version: stored.resource_version.clone(),
        creation_timestamp: stored.creation_timestamp,
        ..cluster::Metadata::default()
    };
    let fields =
        [("spec".to_string(), json!({"replicas": replicas})), ("status".to_string(), status)];
    Some(Object::new(cluster::Kind::new("autoscaling/v1", "Scale"), metadata, fields.into()))
}

/// Returns `object` with the replicas of `scale`.
fn apply_scale(
    resource: &ServedResource,
    object: &Object,
    scale: &Object,
) -> Result<Object, StatusError> {
    let target = ResourceName::new(Some(resource), &resource.kind, object.name());
    let replicas = scale.at("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    let set = Patch::Json(vec![JsonOp::Add { path: "/spec/replicas".into(), value: replicas }]);
    let after = patched(resource, object, &set)?;
    let (wanted, stored) = (scale.metadata(), object.metadata());
    let is_mismatch = |given: &str, stored: &str| !given.is_empty() && given != stored;
    if is_mismatch(&wanted.uid, &stored.uid) {
        let message = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            wanted.uid, stored.uid
        );
        return Err(StatusError::conflict(&target, &message));
    }
    if is_mismatch(&wanted.resource_version, &stored.resource_version) {
        return Err(StatusError::modified(&target));
    }
    Ok(after)
}
