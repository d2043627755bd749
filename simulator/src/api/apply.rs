//! Server-side apply.

use cluster::Object;
use serde_json::json;

use super::call::ApiCall;
use super::change::StorageChange;
use super::fields::{merge, prune};
use super::managed::{self, FieldManager, ManagerOperation};
use super::resource::ServedResource;
use super::status_error::{ResourceName, StatusError};
use crate::objects::Key;
use crate::world::World;

impl World {
    pub(super) fn admit_apply(
        &self,
        resource: &ServedResource,
        key: &Key,
        live: Option<&Object>,
        wanted: &Object,
        call: &ApiCall,
    ) -> Result<StorageChange, StatusError> {
        let subresource = call.subresource.as_deref();
        super::update::check_subresource(resource, subresource)?;
        let manager = FieldManager { name: &call.options.manager, subresource, now: self.now };
        let scaled = match subresource {
            Some("scale") => Some(patch_from_scale(resource, wanted)?),
            Some(_) | None => None,
        };
        let wanted = prepare_applied(
            resource,
            key,
            scaled.as_ref().unwrap_or(wanted),
            subresource,
            manager.name,
        )?;
        let target = ResourceName::new(Some(resource), &resource.kind, &key.name);
        let Some(live) = live else {
            if subresource.is_some() {
                return Err(StatusError::not_found(&target));
            }
            if !wanted.metadata().uid.is_empty() {
                return Err(StatusError::conflict(
                    &target,
                    "uid mismatch: the provided object specified a uid, and no existing object was found",
                ));
            }
            return self.admit_create(
                resource,
                Some(key),
                wanted,
                &call.options,
                ManagerOperation::Apply,
            );
        };
        let managers = managed::managers(live);
        let applied = wanted.to_value();
        let fields = managed::owned_fields(&applied, false);
        let previous = managed::previously_applied(&managers, &manager);
        let others = managed::owned_by_others(&managers, &manager);
        let tree = merge(live.to_value(), &applied, &mut Vec::new());
        let tree = prune(tree, &previous, &fields, &others);
        let object = Object::from_value(tree).map_err(|error| {
            StatusError::bad_request(format!("failed to convert the applied object: {error}"))
        })?;
        let after = self.validate_update(resource, live, object, subresource)?;
        let after =
            managed::record_apply(live, &after, managers, &manager, fields, call.options.force)?;
        Ok(self.finish_update(key, live, after, subresource))
    }
}

/// Converts an applied Scale to an apply configuration of the scaled object that only sets `spec.replicas`.
fn patch_from_scale(resource: &ServedResource, scale: &Object) -> Result<Object, StatusError> {
    if scale.kind().kind != "Scale" {
        return Err(StatusError::kind_mismatch());
    }
    let replicas = scale.at("/spec/replicas").map(|replicas| json!({"replicas": replicas}));
    let fields = replicas.map(|spec| ("spec".to_string(), spec)).into_iter().collect();
    Ok(Object::new(resource.kind.clone(), scale.metadata().clone(), fields))
}

/// Checks an apply configuration and removes the fields that cannot be applied.
fn prepare_applied(
    resource: &ServedResource,
    key: &Key,
    wanted: &Object,
    subresource: Option<&str>,
    manager: &str,
) -> Result<Object, StatusError> {
    if manager.is_empty() {
        return Err(StatusError::new(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    if *wanted.kind() != resource.kind {
        return Err(StatusError::kind_mismatch());
    }
    if wanted
        .metadata()
        .rest
        .get("managedFields")
        .is_some_and(|fields| fields.as_array().is_none_or(|list| !list.is_empty()))
    {
        return Err(StatusError::bad_request("metadata.managedFields must be nil"));
    }
    if wanted.name() != &*key.name {
        return Err(StatusError::name_mismatch(wanted.name(), &key.name));
    }
    let mut metadata = wanted.metadata().clone();
    metadata.namespace = resource.namespaced.then(|| key.namespace.to_string());
    metadata.creation_timestamp = None;
    metadata.generation = 0;
    metadata.rest.remove("managedFields");
    let wanted = wanted.with_metadata(metadata);
    Ok(match subresource {
        None if super::defaults::has_status(resource) => wanted.without_field("status"),
        Some("status") => wanted.without_field("spec"),
        Some(_) | None => wanted,
    })
}
