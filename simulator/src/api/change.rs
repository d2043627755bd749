use cluster::Object;
use serde_json::json;

use super::call::{Answer, Call, Deed};
use super::managed::Operation;
use super::refusal::{Named, Refusal};
use super::resource::Resource;
use super::{defaults, update};
use crate::chance::Chance;
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{ENDPOINTS, RULES, World};

/// What a call that may be granted does.
pub(super) enum Change {
    /// A new object.
    Create(Key, Object),
    /// A stored object in another state.
    Update(Key, Object),
    /// A stored object in another state, shown through its Scale.
    Scale(Key, Object),
    /// A stored object goes at once.
    Remove(Key, Object),
    /// A stored object loses the last thing that held it, and goes.
    Release(Key, Object),
    /// A stored object is marked; whoever is in charge removes it.
    Mark(Key, Object),
    /// Nothing would be different.
    Nothing(Object),
    /// It is going already.
    Going(Object),
    /// One, and with it the one that was asked for.
    Both(Box<Change>, Box<Change>),
    /// Many of them, and the objects that are deleted by them, as they were.
    Many { changes: Vec<Change>, deleted: Vec<Object> },
}

impl World {
    /// What `call` would do to what is stored now.
    pub(super) fn decide(&self, call: &Call) -> Result<Change, Refusal> {
        let resource = self.resource(&call.kind).ok_or_else(Refusal::unknown_resource)?;
        let named = Named::new(Some(&resource), &call.kind, &call.name);
        let verb = match &call.deed {
            Deed::Create(_) | Deed::Evict => "create",
            Deed::Update(_) => "update",
            Deed::Patch(_) | Deed::Apply(_) => "patch",
            Deed::Delete | Deed::DeleteAll(_) => "delete",
        };
        if !self.may(verb, &call.kind.kind, call.namespace.as_deref()) {
            return Err(Refusal::forbidden(&named, &format!("cannot {verb} {}", call.kind.kind)));
        }
        let key =
            Key::new(resource.shelf, call.namespace.as_deref().unwrap_or_default(), &call.name);
        let object = match &call.deed {
            Deed::Create(object) => {
                let object = object.clone();
                return self.admit_create(
                    &resource,
                    Some(&key),
                    object,
                    &call.options,
                    Operation::Update,
                );
            }
            Deed::DeleteAll(selection) => {
                return Ok(self.admit_delete_all(&resource, call, selection));
            }
            Deed::Apply(wanted) => {
                let live = self.objects.get(&key);
                if let Some(live) = live {
                    check_preconditions(call, &named, live)?;
                }
                return self.admit_apply(&resource, &key, live, wanted, call);
            }
            Deed::Update(_) | Deed::Patch(_) | Deed::Delete | Deed::Evict => {
                self.objects.get(&key).ok_or_else(|| Refusal::absent(&named))?
            }
        };
        check_preconditions(call, &named, object)?;
        match &call.deed {
            Deed::Update(wanted) => self.admit_update(&resource, &key, object, call, wanted),
            Deed::Patch(patch) => self.admit_patch(&resource, &key, object, patch, call),
            Deed::Delete => Ok(self.admit_delete(&key, object, &call.options)),
            Deed::Evict => self.admit_evict(&key, object, &call.options),
            Deed::Apply(_) | Deed::Create(_) | Deed::DeleteAll(_) => {
                unreachable!("they were decided above")
            }
        }
    }

    pub(super) fn pretend(&self, change: Change) -> Answer {
        match change {
            Change::Create(_, object) => {
                Answer::Created(self.born(object, &mut self.chance.clone()))
            }
            Change::Scale(key, object) => shown_as_scale(&key, &object),
            Change::Update(_, object) | Change::Release(_, object) | Change::Nothing(object) => {
                Answer::Stored(object)
            }
            Change::Remove(_, object) => Answer::Deleted(object),
            Change::Mark(_, object) | Change::Going(object) => Answer::Marked(object),
            Change::Both(_, asked) => self.pretend(*asked),
            Change::Many { deleted, .. } => Answer::DeletedAll(deleted),
        }
    }

    pub(super) fn commit(&mut self, change: Change) -> Answer {
        match change {
            Change::Create(key, object) => {
                let mut chance = self.chance.clone();
                if object.metadata().rest.contains_key("generateName") {
                    // Where the name was drawn, it was from this place of the stream; an object that brings both wastes a draw.
                    chance.suffix(5);
                }
                let object = self.born(object, &mut chance);
                self.chance = chance;
                Answer::Created(self.store(&key, &object))
            }
            Change::Scale(key, object) => {
                let stored = self.store(&key, &object);
                shown_as_scale(&key, &stored)
            }
            Change::Update(key, object) => Answer::Stored(self.store(&key, &object)),
            Change::Nothing(object) => Answer::Stored(object),
            Change::Remove(key, object) => {
                self.discard(&key);
                self.wake(RULES, Wake::Rules);
                Answer::Deleted(object)
            }
            Change::Release(key, object) => {
                self.discard(&key);
                Answer::Stored(object)
            }
            Change::Mark(key, object) => {
                let stored = self.store(&key, &object);
                if !stored.metadata().finalizers.is_empty() {
                    self.wake(ENDPOINTS, Wake::Garbage);
                }
                Answer::Marked(stored)
            }
            Change::Going(object) => Answer::Marked(object),
            Change::Both(first, asked) => {
                self.commit(*first);
                self.commit(*asked)
            }
            Change::Many { changes, deleted } => {
                for change in changes {
                    self.commit(change);
                }
                Answer::DeletedAll(deleted)
            }
        }
    }

    /// The object with what the cluster gives it at birth.
    fn born(&self, object: Object, chance: &mut Chance) -> Object {
        let resource = self.resource(object.kind());
        let is = |claim: fn(&Resource) -> bool| resource.as_deref().is_some_and(claim);
        let (is_counted, has_status) = (is(defaults::has_generation), is(defaults::has_status));
        let mut metadata = object.metadata().clone();
        metadata.uid = chance.uid();
        metadata.resource_version = String::new();
        metadata.creation_timestamp = jiff::Timestamp::from_second(self.now.as_second()).ok();
        metadata.deletion_timestamp = None;
        metadata.generation = i64::from(is_counted);
        let object = object.with_metadata(metadata);
        match resource.map_or("", |resource| resource.shelf) {
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
                let address = format!("10.96.{}.{}", chance.below(254) + 1, chance.below(254) + 1);
                spec["clusterIP"] = address.clone().into();
                spec["clusterIPs"] = json!([address]);
                object.with_field("spec", spec)
            }
            // What a node is like, only the node can say.
            "Node" => object,
            _ if has_status && object.field("status").is_some() => object.without_field("status"),
            _ => object,
        }
    }
}

fn check_preconditions(call: &Call, named: &Named, object: &Object) -> Result<(), Refusal> {
    let (metadata, wanted) = (object.metadata(), &call.options.preconditions);
    if let Some(uid) = wanted.uid.as_ref().filter(|uid| **uid != metadata.uid) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            metadata.uid
        );
        return Err(Refusal::conflict(named, &why));
    }
    match &wanted.resource_version {
        Some(version) if *version != metadata.resource_version => {
            if matches!(call.deed, Deed::Delete | Deed::Evict) {
                let why = format!(
                    "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
                    metadata.resource_version
                );
                return Err(Refusal::conflict(named, &why));
            }
            Err(Refusal::modified(named))
        }
        Some(_) | None => Ok(()),
    }
}

fn shown_as_scale(key: &Key, object: &Object) -> Answer {
    match update::scale_of(key.kind, object) {
        Some(scale) => Answer::Stored(scale),
        None => Answer::Stored(object.clone()),
    }
}

/// Whether the resource has this subresource.
pub(super) fn has_subresource(resource: &Resource, name: &str) -> bool {
    resource.subresources.iter().any(|known| known == name)
}
