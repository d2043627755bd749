//! Server-side apply.

use cluster::Object;
use serde_json::json;

use super::call::Call;
use super::change::Change;
use super::fields::{merged, pruned};
use super::managed::{self, Actor, Operation};
use super::refusal::{Named, Refusal};
use super::resource::Resource;
use crate::objects::Key;
use crate::world::World;

impl World {
    pub(super) fn admit_apply(
        &self,
        resource: &Resource,
        key: &Key,
        live: Option<&Object>,
        wanted: &Object,
        call: &Call,
    ) -> Result<Change, Refusal> {
        let subresource = call.subresource.as_deref();
        super::update::check_subresource(resource, subresource)?;
        let actor = Actor { name: &call.options.manager, subresource, now: self.now };
        let whole = match subresource {
            Some("scale") => Some(of_scale(resource, wanted)?),
            Some(_) | None => None,
        };
        let wanted =
            readable(resource, key, whole.as_ref().unwrap_or(wanted), subresource, actor.name)?;
        let named = Named::new(Some(resource), &resource.kind, &key.name);
        let Some(live) = live else {
            if subresource.is_some() {
                return Err(Refusal::absent(&named));
            }
            if !wanted.metadata().uid.is_empty() {
                return Err(Refusal::conflict(
                    &named,
                    "uid mismatch: the provided object specified a uid, and no existing object was found",
                ));
            }
            return self.admit_create(resource, Some(key), wanted, &call.options, Operation::Apply);
        };
        let managers = managed::managers(live);
        let asked = wanted.to_value();
        let fields = managed::owned_fields(&asked, false);
        let last = managed::applied_before(&managers, &actor);
        let others = managed::owned_by_others(&managers, &actor);
        let tree = merged(live.to_value(), &asked, &mut Vec::new());
        let tree = pruned(tree, &last, &fields, &others);
        let object = Object::from_value(tree).map_err(|error| {
            Refusal::bad_request(format!("failed to convert the applied object: {error}"))
        })?;
        let after = self.checked(resource, live, object, subresource)?;
        let after = managed::applied(live, &after, managers, &actor, fields, call.options.force)?;
        Ok(self.concluded(key, live, after, subresource))
    }
}

/// What a wanted Scale says of the object behind it: how many replicas, and nothing else.
fn of_scale(resource: &Resource, scale: &Object) -> Result<Object, Refusal> {
    if scale.kind().kind != "Scale" {
        return Err(Refusal::of_another_kind());
    }
    let replicas = scale.at("/spec/replicas").map(|replicas| json!({"replicas": replicas}));
    let fields = replicas.map(|spec| ("spec".to_string(), spec)).into_iter().collect();
    Ok(Object::new(resource.kind.clone(), scale.metadata().clone(), fields))
}

/// The wanted object without what nobody can apply.
fn readable(
    resource: &Resource,
    key: &Key,
    wanted: &Object,
    subresource: Option<&str>,
    manager: &str,
) -> Result<Object, Refusal> {
    if manager.is_empty() {
        return Err(Refusal::new(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    if *wanted.kind() != resource.kind {
        return Err(Refusal::of_another_kind());
    }
    if wanted
        .metadata()
        .rest
        .get("managedFields")
        .is_some_and(|fields| fields.as_array().is_none_or(|list| !list.is_empty()))
    {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    if wanted.name() != &*key.name {
        return Err(Refusal::misnamed(wanted.name(), &key.name));
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
