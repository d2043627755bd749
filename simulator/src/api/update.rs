use cluster::{JsonOp, Object, Patch};
use serde_json::json;

use super::call::{Call, Options};
use super::change::{Change, has_subresource};
use super::managed::{self, Actor};
use super::refusal::{Cause, Named, Refusal};
use super::resource::Resource;
use super::{admission, defaults};
use crate::objects::Key;
use crate::world::World;

impl World {
    /// Patches an object as somebody with every right, unseen by the log of requests.
    pub(crate) fn patch_as_admin(&mut self, key: &Key, patch: &Patch) -> Result<(), Refusal> {
        let Some(object) = self.objects.get(key).cloned() else {
            return Err(Refusal::new(
                404,
                "NotFound",
                format!("{} {} not found", key.kind, key.name),
            ));
        };
        let resource = self.resource(object.kind()).ok_or_else(Refusal::unknown_resource)?;
        let after = patched(&resource, &object, patch)?;
        let change =
            self.admit_change(&resource, key, &object, after, None, &Options::default())?;
        self.commit(change);
        Ok(())
    }

    pub(super) fn admit_patch(
        &self,
        resource: &Resource,
        key: &Key,
        object: &Object,
        patch: &Patch,
        call: &Call,
    ) -> Result<Change, Refusal> {
        let subresource = call.subresource.as_deref();
        check_subresource(resource, subresource)?;
        if subresource == Some("scale") {
            let scale = scale_of(key.kind, object).ok_or_else(Refusal::unknown_resource)?;
            let after = rescaled(resource, object, &patched(resource, &scale, patch)?)?;
            return self.admit_change(resource, key, object, after, subresource, &call.options);
        }
        let is_about_managers = matches!(patch, Patch::Json(_))
            && patch.touched().iter().any(|path| path.starts_with("/metadata/managedFields"));
        if !is_about_managers {
            let after = patched(resource, object, patch)?;
            return self.admit_change(resource, key, object, after, subresource, &call.options);
        }
        // Whoever writes down managers themselves is taken at their word, as when kubectl begins to apply on the server.
        let told = patched(resource, &managed::shown(object), patch)?;
        let after = self.checked(resource, object, told.clone(), subresource)?;
        Ok(self.concluded(key, object, managed::with_managers_of(&after, &told), subresource))
    }

    pub(super) fn admit_update(
        &self,
        resource: &Resource,
        key: &Key,
        object: &Object,
        call: &Call,
        wanted: &Object,
    ) -> Result<Change, Refusal> {
        let subresource = call.subresource.as_deref();
        check_subresource(resource, subresource)?;
        if wanted.name() != &*key.name {
            return Err(Refusal::misnamed(wanted.name(), &key.name));
        }
        if wanted.namespace().is_some_and(|namespace| namespace != &*key.namespace) {
            return Err(Refusal::misplaced());
        }
        let is_custom = super::builtin(&resource.kind).is_none();
        if is_custom && wanted.metadata().resource_version.is_empty() {
            let named = Named::new(Some(resource), &resource.kind, object.name());
            return Err(Refusal::unversioned(&named));
        }
        let after = if subresource == Some("scale") {
            rescaled(resource, object, wanted)?
        } else {
            let mut metadata = wanted.metadata().clone();
            metadata.namespace.clone_from(&object.metadata().namespace);
            if metadata.uid.is_empty() {
                metadata.uid.clone_from(&object.metadata().uid);
            }
            wanted.with_metadata(metadata)
        };
        if after.kind() != object.kind() {
            return Err(Refusal::of_another_kind());
        }
        self.admit_change(resource, key, object, after, subresource, &call.options)
    }

    pub(super) fn admit_change(
        &self,
        resource: &Resource,
        key: &Key,
        object: &Object,
        wanted: Object,
        subresource: Option<&str>,
        options: &Options,
    ) -> Result<Change, Refusal> {
        let after = self.checked(resource, object, wanted, subresource)?;
        if after == *object {
            return Ok(Change::Nothing(object.clone()));
        }
        let actor = Actor { name: &options.manager, subresource, now: self.now };
        let after = managed::updated(object, &after, &actor);
        Ok(self.concluded(key, object, after, subresource))
    }

    /// What it takes that `object` becomes `after`.
    pub(super) fn concluded(
        &self,
        key: &Key,
        object: &Object,
        after: Object,
        subresource: Option<&str>,
    ) -> Change {
        if after == *object {
            return Change::Nothing(object.clone());
        }
        let is_held = |object: &Object| !object.metadata().finalizers.is_empty();
        let is_going = after.metadata().deletion_timestamp.is_some()
            && key.kind != "Namespace"
            && !self.is_on_node(key, &object.metadata().uid);
        if is_going && is_held(object) && !is_held(&after) {
            return Change::Release(key.clone(), after);
        }
        match subresource {
            Some("scale") => Change::Scale(key.clone(), after),
            Some(_) | None => Change::Update(key.clone(), after),
        }
    }

    /// The wanted state of an object as it may be stored, owned as before.
    pub(super) fn checked(
        &self,
        resource: &Resource,
        object: &Object,
        wanted: Object,
        subresource: Option<&str>,
    ) -> Result<Object, Refusal> {
        let named = Named::new(Some(resource), &resource.kind, object.name());
        let before = object.metadata();
        let wanted = managed::with_managers_of(&wanted, object);
        let mut metadata = wanted.metadata().clone();
        if metadata.resource_version != before.resource_version
            && !metadata.resource_version.is_empty()
        {
            return Err(Refusal::modified(&named));
        }
        if metadata.name != before.name {
            return Err(Refusal::misnamed(&metadata.name, &before.name));
        }
        if metadata.namespace != before.namespace {
            return Err(Refusal::misplaced());
        }
        if metadata.uid != before.uid {
            let why = format!("Invalid value: {:?}: field is immutable", metadata.uid);
            return Err(Refusal::invalid(
                &named,
                vec![Cause::new("FieldValueInvalid", "metadata.uid", why)],
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
        for own in ["deletionGracePeriodSeconds", "generateName"] {
            match before.rest.get(own) {
                Some(value) => metadata.rest.insert(own.into(), value.clone()),
                None => metadata.rest.remove(own),
            };
        }
        let mut after = defaults::fill(after.with_metadata(metadata));
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

/// Whether something changed that is neither metadata nor status.
fn is_spec_changed(resource: &Resource, before: &Object, after: &Object) -> bool {
    if super::builtin(&resource.kind).is_some() {
        return before.field("spec") != after.field("spec");
    }
    let is_counted = |name: &&str| *name != "status";
    let names = before.field_names().chain(after.field_names());
    names.filter(is_counted).any(|name| before.field(name) != after.field(name))
}

pub(super) fn check_subresource(
    resource: &Resource,
    subresource: Option<&str>,
) -> Result<(), Refusal> {
    match subresource {
        Some(name) if !has_subresource(resource, name) => Err(Refusal::unknown_resource()),
        Some(_) | None => Ok(()),
    }
}

/// The object with the patch laid over it.
///
/// A failed `test` of a JSON patch is 422 too, as a real API server has it, which does not say what failed either.
pub(super) fn patched(
    resource: &Resource,
    object: &Object,
    patch: &Patch,
) -> Result<Object, Refusal> {
    let is_custom = super::builtin(&resource.kind).is_none();
    patch.apply(object).map_err(|error| match patch {
        Patch::Strategic(_) if is_custom => {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            Refusal::new(415, "UnsupportedMediaType", message)
        }
        Patch::Json(_) => {
            let message = "the server rejected our request due to an error in our request";
            Refusal::new(422, "Invalid", message)
        }
        Patch::Merge(_) | Patch::Strategic(_) => {
            let named = Named::new(Some(resource), &resource.kind, object.name());
            let cause = Cause::new("FieldValueInvalid", "patch", error.to_string());
            Refusal::invalid(&named, vec![cause])
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

/// The Scale that stands for an object under its subresource; none where it has none.
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
    let whole = object.metadata();
    let metadata = cluster::Metadata {
        name: whole.name.clone(),
        namespace: whole.namespace.clone(),
        uid: whole.uid.clone(),
        resource_version: whole.resource_version.clone(),
        creation_timestamp: whole.creation_timestamp,
        ..cluster::Metadata::default()
    };
    let fields =
        [("spec".to_string(), json!({"replicas": replicas})), ("status".to_string(), status)];
    Some(Object::new(cluster::Kind::new("autoscaling/v1", "Scale"), metadata, fields.into()))
}

/// `object` with the replicas of its changed Scale.
fn rescaled(resource: &Resource, object: &Object, scale: &Object) -> Result<Object, Refusal> {
    let named = Named::new(Some(resource), &resource.kind, object.name());
    let replicas = scale.at("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    let set = Patch::Json(vec![JsonOp::Add { path: "/spec/replicas".into(), value: replicas }]);
    let after = patched(resource, object, &set)?;
    let (wanted, whole) = (scale.metadata(), object.metadata());
    let is_other = |wanted: &str, own: &str| !wanted.is_empty() && wanted != own;
    if is_other(&wanted.uid, &whole.uid) {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            wanted.uid, whole.uid
        );
        return Err(Refusal::conflict(&named, &why));
    }
    if is_other(&wanted.resource_version, &whole.resource_version) {
        return Err(Refusal::modified(&named));
    }
    Ok(after)
}
