//! A few objects and a minimal API server for testing actions.

use cluster::{
    Agent, ListQuery, Mode, Object, ObjectRef, Patch, PatchError, Preconditions, ReadReply,
    Request, Verb, WriteReply,
};
use serde_json::Value;
use workflow::run::ObjectQuery;

#[derive(Clone)]
pub(super) struct World(Vec<Object>);

impl World {
    pub(super) fn new(objects: Vec<Value>) -> Self {
        let numbered = objects.into_iter().map(|mut object| {
            let uid = format!(
                "uid-{}-{}",
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            );
            object["metadata"]["uid"] = uid.into();
            object["metadata"]["resourceVersion"] = "1".into();
            // Services and ConfigMaps have no generation.
            if object["apiVersion"] == "apps/v1" {
                object["metadata"]["generation"] = 1.into();
            }
            Object::from_value(object).unwrap()
        });
        Self(numbered.collect())
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        self.0.clone()
    }

    fn index(&self, target: &ObjectRef) -> Option<usize> {
        self.0.iter().position(|object| object.reference(&target.cluster).is_same(target))
    }

    pub(super) fn read(&self, query: &ObjectQuery) -> ReadReply {
        match query {
            ObjectQuery::One(target) => self
                .index(target)
                .map_or(ReadReply::NotFound, |index| ReadReply::Found(self.0[index].clone())),
            ObjectQuery::Many(ListQuery { kind, namespace, .. }) => {
                let is_listed = |object: &&Object| {
                    object.kind() == kind && object.namespace() == namespace.as_deref()
                };
                ReadReply::Listed(self.0.iter().filter(is_listed).cloned().collect())
            }
        }
    }

    pub(super) fn send(&mut self, request: &Request) -> WriteReply {
        let Some(index) = self.index(&request.target) else { return WriteReply::NotFound };
        let object = self.0[index].clone();
        let Verb::Patch { patch, .. } = &request.verb else { panic!("actions patch: {request:?}") };
        let expected = &request.preconditions;
        let is_other = |expected: &Option<String>, found: &String| {
            expected.as_ref().is_some_and(|expected| expected != found)
        };
        if is_other(&expected.uid, &object.metadata().uid)
            || is_other(&expected.resource_version, &object.metadata().resource_version)
        {
            return WriteReply::Conflict { message: "the object has been modified".into() };
        }
        match patch.apply(&object) {
            Ok(after) => {
                self.0[index] = stored(&object, after);
                WriteReply::Accepted(self.0[index].clone())
            }
            Err(PatchError::TestFailed { .. } | PatchError::Invalid { .. }) => {
                WriteReply::Refused {
                    code: 422,
                    reason: "Invalid".into(),
                    message: "the patch does not fit".into(),
                }
            }
        }
    }

    /// Merges `patch` into `object` as another client.
    pub(super) fn write(&mut self, object: &Object, patch: &Value) {
        let index = self.index(&object.reference("")).unwrap();
        let after = Patch::Strategic(patch.clone()).apply(&self.0[index]).unwrap();
        self.0[index] = stored(&self.0[index], after);
    }
}

fn stored(before: &Object, after: Object) -> Object {
    let mut metadata = after.metadata().clone();
    let version: u64 = metadata.resource_version.parse().unwrap();
    metadata.resource_version = (version + 1).to_string();
    if metadata.generation > 0 && before.field("spec") != after.field("spec") {
        metadata.generation += 1;
    }
    after.with_metadata(metadata)
}

pub(super) fn request(target: ObjectRef, verb: Verb, preconditions: Preconditions) -> Request {
    Request { target, verb, preconditions, mode: Mode::Commit, agent: Agent::default() }
}
