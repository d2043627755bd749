use cluster::Object;
use serde_json::Value;

use super::call::{CallOptions, CallResult};
use super::change::StorageChange;
use super::managed::{self, FieldManager, ManagerOperation};
use super::resource::ServedResource;
use super::status_error::{ResourceName, StatusError};
use super::{admission, defaults};
use crate::objects::Key;
use crate::world::World;

impl World {
    /// Creates an object with administrator permissions. The call does not appear in the request log.
    pub(crate) fn create_object(&mut self, object: Object) -> Result<Object, StatusError> {
        let resource = self.resource(object.kind()).ok_or_else(StatusError::unknown_resource)?;
        let options = CallOptions::default();
        let change =
            self.admit_create(&resource, None, object, &options, ManagerOperation::Update)?;
        match self.commit(change) {
            CallResult::Created(object) | CallResult::Stored(object) => Ok(object),
            CallResult::Refused(error) => Err(error),
            CallResult::Terminating(_)
            | CallResult::Deleted(_)
            | CallResult::DeletedAll(_)
            | CallResult::ConnectionLost { .. } => unreachable!("a create never has this result"),
        }
    }

    pub(super) fn admit_create(
        &self,
        resource: &ServedResource,
        key: Option<&Key>,
        object: Object,
        options: &CallOptions,
        operation: ManagerOperation,
    ) -> Result<StorageChange, StatusError> {
        if *object.kind() != resource.kind {
            let message = format!(
                "{} in version {:?} cannot be handled as a {}: no kind {:?} is registered for version {:?}",
                object.kind().kind,
                object.kind().api_version,
                resource.kind.kind,
                object.kind().kind,
                object.kind().api_version
            );
            return Err(StatusError::bad_request(message));
        }
        let applied = (operation == ManagerOperation::Apply)
            .then(|| managed::owned_fields(&object.to_value(), false));
        let mut object = defaults::with_defaults(object);
        if object.name().is_empty()
            && let Some(Value::String(prefix)) = object.metadata().rest.get("generateName").cloned()
        {
            let mut metadata = object.metadata().clone();
            metadata.name = format!("{prefix}{}", self.rng.clone().suffix(5));
            object = object.with_metadata(metadata);
        }
        if let Some(key) = key {
            if resource.namespaced && object.namespace().is_none() {
                let mut metadata = object.metadata().clone();
                metadata.namespace = Some(key.namespace.to_string());
                object = object.with_metadata(metadata);
            }
            if object.namespace().unwrap_or_default() != &*key.namespace {
                return Err(StatusError::namespace_mismatch());
            }
            if !key.name.is_empty() && *key.name != *object.name() {
                return Err(StatusError::name_mismatch(object.name(), &key.name));
            }
        }
        if resource.storage_kind == "Namespace" && key.is_some() {
            // The API server labels every namespace with its name, so that selectors can match it.
            let mut metadata = object.metadata().clone();
            metadata.labels.insert("kubernetes.io/metadata.name".into(), object.name().into());
            object = object.with_metadata(metadata);
        }
        let key_of_object =
            Key::new(resource.storage_kind, object.namespace().unwrap_or_default(), object.name());
        let target = ResourceName::new(Some(resource), &resource.kind, object.name());
        if resource.namespaced {
            let parent = self.objects.get(&Key::new("Namespace", "", &key_of_object.namespace));
            let Some(parent) = parent else {
                let kind = cluster::Kind::new("v1", "Namespace");
                let parent = ResourceName::new(
                    self.resource(&kind).as_deref(),
                    &kind,
                    &key_of_object.namespace,
                );
                return Err(StatusError::not_found(&parent));
            };
            if parent.metadata().deletion_timestamp.is_some() {
                let message = format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    key_of_object.namespace
                );
                return Err(StatusError::forbidden(&target, &message));
            }
        }
        admission::check(resource, &object)?;
        if self.objects.get(&key_of_object).is_some() {
            return Err(StatusError::already_exists(&target));
        }
        self.check_quotas(resource, &target, &object)?;
        let manager = FieldManager { name: &options.manager, subresource: None, now: self.now };
        if manager.name.is_empty() {
            return Ok(StorageChange::Create(key_of_object, object));
        }
        let fields = applied.unwrap_or_else(|| managed::owned_fields(&object.to_value(), true));
        Ok(StorageChange::Create(
            key_of_object,
            managed::record_create(&object, &manager, operation, fields),
        ))
    }
}
