use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{Object, Pod};

use crate::objects::Key;
use crate::world::World;

/// What changed since the last evaluation of rules and routes. Only this is measured and routed again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    /// Deployments and pods whose series may have changed.
    pub(crate) objects: BTreeSet<Key>,
    /// Namespaces whose routes or failure rates may have changed.
    pub(crate) namespaces: BTreeSet<Arc<str>>,
    /// Whether the request rate of every route changed.
    pub(crate) rates: bool,
    /// Whether the flow of some route changed since the last evaluation of rules.
    pub(crate) flows: bool,
    /// Whether the changes are unknown, so that every rule is evaluated on everything.
    pub(crate) all_rules: bool,
}

impl World {
    /// Marks what the change of an object affects.
    pub(crate) fn mark_dirty(
        &mut self,
        key: &Key,
        before: Option<&Object>,
        after: Option<&Object>,
    ) {
        match key.kind {
            "Deployment" => drop(self.dirty.objects.insert(key.clone())),
            "Pod" => {
                self.dirty.objects.insert(key.clone());
                if routing_state(before) != routing_state(after) {
                    self.mark_routes_dirty(key);
                }
            }
            "Service" | "EndpointSlice" => self.mark_routes_dirty(key),
            // A pod belongs to a Deployment through its ReplicaSet, and the Deployment's name is the client of its
            // requests.
            "ReplicaSet" => {
                let owner = |object: Option<&Object>| {
                    object.and_then(Object::controller).map(|owner| owner.name.clone())
                };
                if before.is_none() || after.is_none() || owner(before) != owner(after) {
                    self.mark_routes_dirty(key);
                }
            }
            _ => {}
        }
    }

    /// Marks the routes in the namespace of an object.
    pub(crate) fn mark_routes_dirty(&mut self, key: &Key) {
        if !self.dirty.namespaces.contains(&key.namespace) {
            self.dirty.namespaces.insert(key.namespace.clone());
        }
    }
}

/// Returns the state of a pod that its routes depend on: uid, owner, readiness, and whether it is terminating.
fn routing_state(pod: Option<&Object>) -> Option<(&str, Option<&str>, bool, bool)> {
    let view = Pod::of(pod?)?;
    let object = view.object();
    let owner = object.controller().map(|owner| owner.name.as_str());
    Some((&object.metadata().uid, owner, view.is_ready(), view.is_terminating()))
}
