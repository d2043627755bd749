use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{Object, Pod};

use crate::objects::Key;
use crate::world::World;

/// What changed since rules and traffic last looked: all that need be measured and routed anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stale {
    /// Deployments and pods whose series may be different.
    pub(crate) measured: BTreeSet<Key>,
    /// Namespaces in which somebody may ask somebody else than before, or fare otherwise.
    pub(crate) routed: BTreeSet<Arc<str>>,
    /// Whether more or less is asked on every route.
    pub(crate) rates: bool,
    /// Whether what flows on some route changed since rules last looked.
    pub(crate) flows: bool,
    /// Whether rules cannot tell what changed, and look at everything.
    pub(crate) rules: bool,
}

impl World {
    /// Notes what the change of an object makes stale.
    pub(crate) fn note(&mut self, key: &Key, before: Option<&Object>, after: Option<&Object>) {
        match key.kind {
            "Deployment" => drop(self.stale.measured.insert(key.clone())),
            "Pod" => {
                self.stale.measured.insert(key.clone());
                if answers(before) != answers(after) {
                    self.note_routes(key);
                }
            }
            "Service" | "EndpointSlice" => self.note_routes(key),
            // Through its ReplicaSet a pod belongs to a Deployment, under whose name it asks others.
            "ReplicaSet" => {
                let owner = |object: Option<&Object>| {
                    object.and_then(Object::controller).map(|owner| owner.name.clone())
                };
                if before.is_none() || after.is_none() || owner(before) != owner(after) {
                    self.note_routes(key);
                }
            }
            _ => {}
        }
    }

    /// Notes that in the namespace of an object somebody may ask somebody else than before, or fare otherwise.
    pub(crate) fn note_routes(&mut self, key: &Key) {
        if !self.stale.routed.contains(&key.namespace) {
            self.stale.routed.insert(key.namespace.clone());
        }
    }
}

/// What of a pod decides whether it asks others and is asked: which one it is, whose, and whether it is ready and stays.
fn answers(pod: Option<&Object>) -> Option<(&str, Option<&str>, bool, bool)> {
    let view = Pod::of(pod?)?;
    let object = view.object();
    let owner = object.controller().map(|owner| owner.name.as_str());
    Some((&object.metadata().uid, owner, view.is_ready(), view.is_terminating()))
}
