use cluster::Object;
use serde_json::json;

use super::call::{ApiCall, CallResult, Operation};
use super::managed::ManagerOperation;
use super::resource::ServedResource;
use super::status_error::{ResourceName, StatusError};
use super::{defaults, update};
use crate::objects::Key;
use crate::queue::Timer;
use crate::rng::SeededRng;
use crate::world::{ENDPOINTS_DELAY, RULES_DELAY, World};

/// The change that an admitted call makes to the stored objects.
pub(super) enum StorageChange {
    /// Stores a new object.
    Create(Key, Object),
    /// Replaces the state of a stored object.
    Update(Key, Object),
    /// Like `Update`, but the response is the object's Scale.
    Scale(Key, Object),
    /// Deletes an object immediately.
    Remove(Key, Object),
    /// Deletes an object whose last finalizer was removed.
    Release(Key, Object),
    /// Sets the deletion timestamp. The kubelet or a controller deletes the object later.
    Mark(Key, Object),
    /// The object would not change.
    Unchanged(Object),
    /// The object is already marked for deletion.
    AlreadyDeleting(Object),
    /// A side effect, and the requested change.
    Pair(Box<StorageChange>, Box<StorageChange>),
    /// The deletion of a collection. `deleted` contains the objects in their previous state.
    Many { changes: Vec<StorageChange>, deleted: Vec<Object> },
}

impl World {
    /// Decides what `call` changes in the current state.
    pub(super) fn decide(&self, call: &ApiCall) -> Result<StorageChange, StatusError> {
        let resource = self.resource(&call.kind).ok_or_else(StatusError::unknown_resource)?;
        let target = ResourceName::new(Some(&resource), &call.kind, &call.name);
        let verb = match &call.operation {
            Operation::Create(_) | Operation::Evict => "create",
            Operation::Update(_) => "update",
            Operation::Patch(_) | Operation::Apply(_) => "patch",
            Operation::Delete | Operation::DeleteAll(_) => "delete",
        };
        if !self.is_verb_allowed(verb, &call.kind.kind, call.namespace.as_deref()) {
            return Err(StatusError::forbidden(
                &target,
                &format!("cannot {verb} {}", call.kind.kind),
            ));
        }
        let key = Key::new(
            resource.storage_kind,
            call.namespace.as_deref().unwrap_or_default(),
            &call.name,
        );
        let object = match &call.operation {
            Operation::Create(object) => {
                let object = object.clone();
                return self.admit_create(
                    &resource,
                    Some(&key),
                    object,
                    &call.options,
                    ManagerOperation::Update,
                );
            }
            Operation::DeleteAll(selection) => {
                return Ok(self.admit_delete_all(&resource, call, selection));
            }
            Operation::Apply(wanted) => {
                let live = self.objects.get(&key);
                if let Some(live) = live {
                    check_preconditions(call, &target, live)?;
                }
                return self.admit_apply(&resource, &key, live, wanted, call);
            }
            Operation::Update(_) | Operation::Patch(_) | Operation::Delete | Operation::Evict => {
                self.objects.get(&key).ok_or_else(|| StatusError::not_found(&target))?
            }
        };
        check_preconditions(call, &target, object)?;
        match &call.operation {
            Operation::Update(wanted) => self.admit_update(&resource, &key, object, call, wanted),
            Operation::Patch(patch) => self.admit_patch(&resource, &key, object, patch, call),
            Operation::Delete => Ok(self.admit_delete(&key, object, &call.options)),
            Operation::Evict => self.admit_evict(&key, object, &call.options),
            Operation::Apply(_) | Operation::Create(_) | Operation::DeleteAll(_) => {
                unreachable!("these operations are handled above")
            }
        }
    }

    pub(super) fn dry_run(&self, change: StorageChange) -> CallResult {
        match change {
            StorageChange::Create(_, object) => {
                CallResult::Created(self.with_server_fields(object, &mut self.rng.clone()))
            }
            StorageChange::Scale(key, object) => scale_result(&key, &object),
            StorageChange::Update(_, object)
            | StorageChange::Release(_, object)
            | StorageChange::Unchanged(object) => CallResult::Stored(object),
            StorageChange::Remove(_, object) => CallResult::Deleted(object),
            StorageChange::Mark(_, object) | StorageChange::AlreadyDeleting(object) => {
                CallResult::Terminating(object)
            }
            StorageChange::Pair(_, requested) => self.dry_run(*requested),
            StorageChange::Many { deleted, .. } => CallResult::DeletedAll(deleted),
        }
    }

    pub(super) fn commit(&mut self, change: StorageChange) -> CallResult {
        match change {
            StorageChange::Create(key, object) => {
                let mut rng = self.rng.clone();
                if object.metadata().rest.contains_key("generateName") {
                    // The generated name used this part of the random stream, so it is skipped. An object with both `name` and
                    // `generateName` wastes a draw.
                    rng.suffix(5);
                }
                let object = self.with_server_fields(object, &mut rng);
                self.rng = rng;
                CallResult::Created(self.store(&key, &object))
            }
            StorageChange::Scale(key, object) => {
                let stored = self.store(&key, &object);
                scale_result(&key, &stored)
            }
            StorageChange::Update(key, object) => CallResult::Stored(self.store(&key, &object)),
            StorageChange::Unchanged(object) => CallResult::Stored(object),
            StorageChange::Remove(key, object) => {
                self.discard(&key);
                self.set_timer(RULES_DELAY, Timer::Rules);
                CallResult::Deleted(object)
            }
            StorageChange::Release(key, object) => {
                self.discard(&key);
                CallResult::Stored(object)
            }
            StorageChange::Mark(key, object) => {
                let stored = self.store(&key, &object);
                if !stored.metadata().finalizers.is_empty() {
                    self.set_timer(ENDPOINTS_DELAY, Timer::GarbageCollector);
                }
                CallResult::Terminating(stored)
            }
            StorageChange::AlreadyDeleting(object) => CallResult::Terminating(object),
            StorageChange::Pair(first, requested) => {
                self.commit(*first);
                self.commit(*requested)
            }
            StorageChange::Many { changes, deleted } => {
                for change in changes {
                    self.commit(change);
                }
                CallResult::DeletedAll(deleted)
            }
        }
    }

    /// Sets server-assigned fields on create (uid, creationTimestamp, generation, status).
    fn with_server_fields(&self, object: Object, rng: &mut SeededRng) -> Object {
        let resource = self.resource(object.kind());
        let is =
            |predicate: fn(&ServedResource) -> bool| resource.as_deref().is_some_and(predicate);
        let (is_counted, has_status) = (is(defaults::has_generation), is(defaults::has_status));
        let mut metadata = object.metadata().clone();
        metadata.uid = rng.uid();
        metadata.resource_version = String::new();
        metadata.creation_timestamp = jiff::Timestamp::from_second(self.now.as_second()).ok();
        metadata.deletion_timestamp = None;
        metadata.generation = i64::from(is_counted);
        let object = object.with_metadata(metadata);
        match resource.map_or("", |resource| resource.storage_kind) {
            "Pod" => {
                object.with_field("status", json!({"phase": "Pending", "qosClass": "Burstable"}))
            }
            "Namespace" => object.with_field("status", json!({"phase": "Active"})),
            "Deployment" | "ReplicaSet" => object.with_field("status", json!({})),
            "Service" => {
                let object = object.with_field("status", json!({"loadBalancer": {}}));
                let is_external =
                    object.at("/spec/type").is_some_and(|kind| kind == "ExternalName");
                if object.at("/spec/clusterIP").is_some() || is_external {
                    return object;
                }
                let mut spec = object.field("spec").cloned().unwrap_or_default();
                let address = format!("10.96.{}.{}", rng.below(254) + 1, rng.below(254) + 1);
                spec["clusterIP"] = address.clone().into();
                spec["clusterIPs"] = json!([address]);
                object.with_field("spec", spec)
            }
            // A Node is created with its status, because the simulated kubelet does not report one.
            "Node" => object,
            _ if has_status && object.field("status").is_some() => object.without_field("status"),
            _ => object,
        }
    }
}

fn check_preconditions(
    call: &ApiCall,
    target: &ResourceName,
    object: &Object,
) -> Result<(), StatusError> {
    let (metadata, wanted) = (object.metadata(), &call.options.preconditions);
    if let Some(uid) = wanted.uid.as_ref().filter(|uid| **uid != metadata.uid) {
        let message = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            metadata.uid
        );
        return Err(StatusError::conflict(target, &message));
    }
    match &wanted.resource_version {
        Some(version) if *version != metadata.resource_version => {
            if matches!(call.operation, Operation::Delete | Operation::Evict) {
                let message = format!(
                    "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
                    metadata.resource_version
                );
                return Err(StatusError::conflict(target, &message));
            }
            Err(StatusError::modified(target))
        }
        Some(_) | None => Ok(()),
    }
}

fn scale_result(key: &Key, object: &Object) -> CallResult {
    match update::scale_of(key.kind, object) {
        Some(scale) => CallResult::Stored(scale),
        None => CallResult::Stored(object.clone()),
    }
}

/// Whether the resource has the subresource `name`.
pub(super) fn has_subresource(resource: &ServedResource, name: &str) -> bool {
    resource.subresources.iter().any(|known| known == name)
}
