use std::sync::Arc;

use serde_json::{Value, json};

use super::Fixture;
use crate::{
    Agent, Cluster, Consistency, Kind, ListQuery, Mode, Object, ObjectRef, Page, Patch,
    Preconditions, Reply, Request, Selector, Verb,
};

/// A namespace of its own for one promise, and short words for what promises do in it.
pub(super) struct Ground {
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) admin: Arc<dyn Cluster>,
    pub(super) namespace: String,
}

/// The label of all that promises make, since a cluster may keep objects of its own in the same place.
pub(super) const MINE: (&str, &str) = ("contract", "mine");

impl Ground {
    /// Makes a namespace that was not there before, named after `what`.
    pub(super) async fn new(world: &dyn Fixture, what: &str) -> Self {
        let (cluster, admin) = (world.cluster(), world.admin());
        for attempt in 1..100 {
            let namespace = if attempt == 1 {
                format!("contract-{what}")
            } else {
                format!("contract-{what}-{attempt}")
            };
            let object = read(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            );
            match create(&*admin, &object, Mode::Apply).await {
                Reply::Accepted(_) => return Self { cluster, admin, namespace },
                // Left behind by an earlier run.
                Reply::Conflict { .. } => {}
                other => panic!("the namespace {namespace} cannot be made: {other:?}"),
            }
        }
        panic!("every namespace contract-{what}-… is taken");
    }

    /// Names an object of a built-in kind in the namespace.
    pub(super) fn name(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef::builtin(self.cluster.name(), kind, Some(&self.namespace), name)
    }

    pub(super) fn config_map(&self, name: &str, data: Value) -> Object {
        self.object("ConfigMap", name, json!({"data": data}))
    }

    /// A Deployment of no replicas, so that a real cluster leaves it alone.
    pub(super) fn deployment(&self, name: &str) -> Object {
        let container = json!({"name": "main", "image": "registry.k8s.io/pause:3.10", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
        self.object(
            "Deployment",
            name,
            json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}}}),
        )
    }

    /// An object of a built-in kind in the namespace, with `fields` beside its metadata.
    pub(super) fn object(&self, kind: &str, name: &str, fields: Value) -> Object {
        let mut value = json!({"apiVersion": Kind::builtin(kind).expect("promises speak of built-in kinds").api_version, "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": {MINE.0: MINE.1}}});
        let fields = fields.as_object().cloned().unwrap_or_default();
        value.as_object_mut().expect("written above as an object").extend(fields);
        read(value)
    }

    pub(super) async fn create(&self, object: &Object, mode: Mode) -> Reply {
        create(&*self.cluster, object, mode).await
    }

    /// Makes an object that must be accepted.
    pub(super) async fn make(&self, object: &Object) -> Object {
        accepted(create(&*self.admin, object, Mode::Apply).await)
    }

    pub(super) async fn get(&self, target: &ObjectRef) -> Option<Object> {
        self.cluster
            .get(target, Consistency::Latest)
            .await
            .unwrap_or_else(|failure| panic!("{target} cannot be read: {failure}"))
    }

    /// Reads an object that must be there.
    pub(super) async fn found(&self, target: &ObjectRef) -> Object {
        self.get(target).await.unwrap_or_else(|| panic!("{target} should be there"))
    }

    pub(super) async fn send(
        &self,
        target: &ObjectRef,
        verb: Verb,
        preconditions: Preconditions,
        mode: Mode,
    ) -> Reply {
        send(&*self.cluster, target, verb, preconditions, mode).await
    }

    pub(super) async fn patch(&self, target: &ObjectRef, patch: Patch) -> Reply {
        self.send(
            target,
            Verb::Patch { patch, subresource: None },
            Preconditions::default(),
            Mode::Apply,
        )
        .await
    }

    pub(super) async fn merge(&self, target: &ObjectRef, patch: Value) -> Reply {
        self.patch(target, Patch::Merge(patch)).await
    }

    pub(super) async fn patch_at(
        &self,
        target: &ObjectRef,
        subresource: &str,
        patch: Value,
        preconditions: Preconditions,
    ) -> Reply {
        let verb =
            Verb::Patch { patch: Patch::Merge(patch), subresource: Some(subresource.into()) };
        self.send(target, verb, preconditions, Mode::Apply).await
    }

    pub(super) async fn delete(
        &self,
        target: &ObjectRef,
        preconditions: Preconditions,
        mode: Mode,
    ) -> Reply {
        self.send(target, Verb::Delete { grace_seconds: None }, preconditions, mode).await
    }

    /// All that the promise made of `kind`, in one page.
    pub(super) async fn list(&self, kind: &str) -> Page {
        self.list_by(kind, Selector::of_labels([MINE])).await
    }

    pub(super) async fn list_by(&self, kind: &str, selector: Selector) -> Page {
        let kind = Kind::builtin(kind).expect("promises speak of built-in kinds");
        let query = ListQuery {
            selector: Some(selector),
            ..ListQuery::latest(kind, Some(&self.namespace))
        };
        page(&*self.cluster, &query).await
    }
}

pub(super) fn read(value: Value) -> Object {
    Object::from_value(value).expect("promises write objects")
}

pub(super) fn json_patch(operations: Value) -> Patch {
    serde_json::from_value(json!({"type": "json", "patch": operations}))
        .expect("promises write patches")
}

pub(super) async fn page(cluster: &dyn Cluster, query: &ListQuery) -> Page {
    cluster
        .list(query)
        .await
        .unwrap_or_else(|failure| panic!("{query:?} cannot be listed: {failure}"))
}

pub(super) fn names(objects: &[Object]) -> Vec<&str> {
    objects.iter().map(Object::name).collect()
}

pub(super) async fn create(cluster: &dyn Cluster, object: &Object, mode: Mode) -> Reply {
    let target = object.reference(cluster.name()).without_uid();
    send(cluster, &target, Verb::Create(object.clone()), Preconditions::default(), mode).await
}

async fn send(
    cluster: &dyn Cluster,
    target: &ObjectRef,
    verb: Verb,
    preconditions: Preconditions,
    mode: Mode,
) -> Reply {
    let request =
        Request { target: target.clone(), verb, preconditions, mode, agent: Agent::default() };
    cluster.send(&request).await
}

pub(super) fn uid_is(uid: &str) -> Preconditions {
    Preconditions { uid: Some(uid.into()), resource_version: None }
}

pub(super) fn version_is(version: &str) -> Preconditions {
    Preconditions { uid: None, resource_version: Some(version.into()) }
}

/// A uid that no object has.
pub(super) const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

#[track_caller]
pub(super) fn accepted(reply: Reply) -> Object {
    match reply {
        Reply::Accepted(object) => object,
        other => panic!("should be accepted, but the answer is {other:?}"),
    }
}

#[track_caller]
pub(super) fn conflict(reply: &Reply) {
    assert!(
        matches!(reply, Reply::Conflict { .. }),
        "should be a conflict, but the answer is {reply:?}"
    );
}

#[track_caller]
pub(super) fn absent(reply: &Reply) {
    assert!(matches!(reply, Reply::Absent), "should meet absence, but the answer is {reply:?}");
}

/// The request is wrong in itself: 400 where it cannot be read, 422 where it can and is not valid.
#[track_caller]
pub(super) fn refused(reply: &Reply) {
    assert!(
        matches!(reply, Reply::Refused { code: 400 | 422, .. }),
        "should be refused with 400 or 422, but the answer is {reply:?}"
    );
}

/// The request is well written and not valid.
#[track_caller]
pub(super) fn invalid(reply: &Reply) {
    assert!(
        matches!(reply, Reply::Refused { code: 422, .. }),
        "should be refused with 422, but the answer is {reply:?}"
    );
}
