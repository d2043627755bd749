use cluster::Object;
use serde_json::Value;

use super::call::{Answer, Options};
use super::change::Change;
use super::managed::{self, Actor, Operation};
use super::refusal::{Named, Refusal};
use super::resource::Resource;
use super::{admission, defaults};
use crate::objects::Key;
use crate::world::World;

impl World {
    /// Makes an object as somebody with every right, unseen by the log of requests.
    pub(crate) fn make(&mut self, object: Object) -> Result<Object, Refusal> {
        let resource = self.resource(object.kind()).ok_or_else(Refusal::unknown_resource)?;
        let options = Options::default();
        let change = self.admit_create(&resource, None, object, &options, Operation::Update)?;
        match self.commit(change) {
            Answer::Created(object) | Answer::Stored(object) => Ok(object),
            Answer::Refused(refusal) => Err(refusal),
            Answer::Marked(_)
            | Answer::Deleted(_)
            | Answer::DeletedAll(_)
            | Answer::Lost { .. } => unreachable!("a creation creates"),
        }
    }

    pub(super) fn admit_create(
        &self,
        resource: &Resource,
        key: Option<&Key>,
        object: Object,
        options: &Options,
        operation: Operation,
    ) -> Result<Change, Refusal> {
        if *object.kind() != resource.kind {
            let message = format!(
                "{} in version {:?} cannot be handled as a {}: no kind {:?} is registered for version {:?}",
                object.kind().kind,
                object.kind().api_version,
                resource.kind.kind,
                object.kind().kind,
                object.kind().api_version
            );
            return Err(Refusal::bad_request(message));
        }
        let asked = (operation == Operation::Apply)
            .then(|| managed::owned_fields(&object.to_value(), false));
        let mut object = defaults::fill(object);
        if object.name().is_empty()
            && let Some(Value::String(prefix)) = object.metadata().rest.get("generateName").cloned()
        {
            let mut metadata = object.metadata().clone();
            metadata.name = format!("{prefix}{}", self.chance.clone().suffix(5));
            object = object.with_metadata(metadata);
        }
        if let Some(key) = key {
            if resource.namespaced && object.namespace().is_none() {
                let mut metadata = object.metadata().clone();
                metadata.namespace = Some(key.namespace.to_string());
                object = object.with_metadata(metadata);
            }
            if object.namespace().unwrap_or_default() != &*key.namespace {
                return Err(Refusal::misplaced());
            }
            if !key.name.is_empty() && *key.name != *object.name() {
                return Err(Refusal::misnamed(object.name(), &key.name));
            }
        }
        if resource.shelf == "Namespace" && key.is_some() {
            // Every namespace that a client makes carries its name as a label, for selectors to find it by.
            let mut metadata = object.metadata().clone();
            metadata.labels.insert("kubernetes.io/metadata.name".into(), object.name().into());
            object = object.with_metadata(metadata);
        }
        let own = Key::new(resource.shelf, object.namespace().unwrap_or_default(), object.name());
        let named = Named::new(Some(resource), &resource.kind, object.name());
        if resource.namespaced {
            let home = self.objects.get(&Key::new("Namespace", "", &own.namespace));
            let Some(home) = home else {
                let kind = cluster::Kind::new("v1", "Namespace");
                let home = Named::new(self.resource(&kind).as_deref(), &kind, &own.namespace);
                return Err(Refusal::absent(&home));
            };
            if home.metadata().deletion_timestamp.is_some() {
                let why = format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    own.namespace
                );
                return Err(Refusal::forbidden(&named, &why));
            }
        }
        admission::check(resource, &object)?;
        if self.objects.get(&own).is_some() {
            return Err(Refusal::exists(&named));
        }
        self.check_quotas(resource, &named, &object)?;
        let actor = Actor { name: &options.manager, subresource: None, now: self.now };
        if actor.name.is_empty() {
            return Ok(Change::Create(own, object));
        }
        let fields = asked.unwrap_or_else(|| managed::owned_fields(&object.to_value(), true));
        Ok(Change::Create(own, managed::made(&object, &actor, operation, fields)))
    }
}
