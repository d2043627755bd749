use std::sync::Arc;

use serde_json::{Value, json};

use super::Fixture;
use crate::{
    Agent, Cluster, Consistency, Kind, ListQuery, Mode, NotSent, Object, ObjectRef, Page, Patch,
    Preconditions, Request, Selector, Verb, WriteReply,
};

/// The namespace of one contract test, with helpers for requests in it.
pub(super) struct TestNamespace {
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) admin: Arc<dyn Cluster>,
    pub(super) namespace: String,
}

/// Label of all objects that contract tests create; a cluster may add other objects to the same namespace.
pub(super) const CONTRACT_LABEL: (&str, &str) = ("contract", "mine");

impl TestNamespace {
    /// Creates a new namespace named `contract-{suffix}`, with a number appended if that name exists.
    pub(super) async fn new(fixture: &dyn Fixture, suffix: &str) -> Self {
        let (cluster, admin) = (fixture.cluster(), fixture.admin());
        for attempt in 1..100 {
            let namespace = if attempt == 1 {
                format!("contract-{suffix}")
            } else {
                format!("contract-{suffix}-{attempt}")
            };
            let object = read(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            );
            match create(&*admin, &object, Mode::Commit).await {
                WriteReply::Accepted(_) => return Self { cluster, admin, namespace },
                // The namespace remains from an earlier run.
                WriteReply::Conflict { .. } => {}
                other => panic!("the namespace {namespace} cannot be created: {other:?}"),
            }
        }
        panic!("every namespace contract-{suffix}-… is taken");
    }

    /// Returns a reference to an object of a built-in kind in the namespace.
    pub(super) fn reference(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef::builtin(self.cluster.name(), kind, Some(&self.namespace), name)
    }

    pub(super) fn config_map(&self, name: &str, data: Value) -> Object {
        self.object("ConfigMap", name, json!({"data": data}))
    }

    /// Returns a Deployment with 0 replicas, so that a real cluster creates no pods for it.
    pub(super) fn deployment(&self, name: &str) -> Object {
        let container = json!({"name": "main", "image": "registry.k8s.io/pause:3.10", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
        self.object(
            "Deployment",
            name,
            json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}}}),
        )
    }

    /// Returns an object of a built-in kind in the namespace; `fields` contains its top-level fields except metadata.
    pub(super) fn object(&self, kind: &str, name: &str, fields: Value) -> Object {
        let mut value = json!({"apiVersion": Kind::builtin(kind).expect("contract tests use built-in kinds only").api_version, "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": {CONTRACT_LABEL.0: CONTRACT_LABEL.1}}});
        let fields = fields.as_object().cloned().unwrap_or_default();
        value.as_object_mut().expect("constructed above as an object").extend(fields);
        read(value)
    }

    pub(super) async fn create(&self, object: &Object, mode: Mode) -> WriteReply {
        create(&*self.cluster, object, mode).await
    }

    /// Creates an object as administrator; panics if it is not accepted.
    pub(super) async fn create_as_admin(&self, object: &Object) -> Object {
        accepted(create(&*self.admin, object, Mode::Commit).await)
    }

    pub(super) async fn get(&self, target: &ObjectRef) -> Option<Object> {
        self.cluster
            .get(target, Consistency::Latest)
            .await
            .unwrap_or_else(|failure| panic!("{target} cannot be read: {failure}"))
    }

    /// Reads an existing object; panics if it does not exist.
    pub(super) async fn get_existing(&self, target: &ObjectRef) -> Object {
        self.get(target).await.unwrap_or_else(|| panic!("{target} should exist"))
    }

    pub(super) async fn send(
        &self,
        target: &ObjectRef,
        verb: Verb,
        preconditions: Preconditions,
        mode: Mode,
    ) -> WriteReply {
        send(&*self.cluster, target, verb, preconditions, mode).await
    }

    pub(super) async fn patch(&self, target: &ObjectRef, patch: Patch) -> WriteReply {
        self.send(
            target,
            Verb::Patch { patch, subresource: None },
            Preconditions::default(),
            Mode::Commit,
        )
        .await
    }

    pub(super) async fn merge(&self, target: &ObjectRef, patch: Value) -> WriteReply {
        self.patch(target, Patch::Merge(patch)).await
    }

    pub(super) async fn patch_at(
        &self,
        target: &ObjectRef,
        subresource: &str,
        patch: Value,
        preconditions: Preconditions,
    ) -> WriteReply {
        let verb =
            Verb::Patch { patch: Patch::Merge(patch), subresource: Some(subresource.into()) };
        self.send(target, verb, preconditions, Mode::Commit).await
    }

    pub(super) async fn delete(
        &self,
        target: &ObjectRef,
        preconditions: Preconditions,
        mode: Mode,
    ) -> WriteReply {
        self.send(target, Verb::Delete { grace_seconds: None }, preconditions, mode).await
    }

    /// Lists the objects of `kind` that the test created, as one page.
    pub(super) async fn list(&self, kind: &str) -> Page {
        self.list_by(kind, Selector::of_labels([CONTRACT_LABEL])).await
    }

    pub(super) async fn list_by(&self, kind: &str, selector: Selector) -> Page {
        let kind = Kind::builtin(kind).expect("contract tests use built-in kinds only");
        let query = ListQuery {
            selector: Some(selector),
            ..ListQuery::latest(kind, Some(&self.namespace))
        };
        page(&*self.cluster, &query).await
    }
}

pub(super) fn read(value: Value) -> Object {
    Object::from_value(value).expect("contract tests create valid objects")
}

pub(super) fn json_patch(operations: Value) -> Patch {
    serde_json::from_value(json!({"type": "json", "patch": operations}))
        .expect("contract tests create valid patches")
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

pub(super) async fn create(cluster: &dyn Cluster, object: &Object, mode: Mode) -> WriteReply {
    let target = object.reference(cluster.name()).without_uid();
    send(cluster, &target, Verb::Create(object.clone()), Preconditions::default(), mode).await
}

async fn send(
    cluster: &dyn Cluster,
    target: &ObjectRef,
    verb: Verb,
    preconditions: Preconditions,
    mode: Mode,
) -> WriteReply {
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

/// A uid that belongs to no object.
pub(super) const UNKNOWN_UID: &str = "00000000-0000-4000-8000-000000000000";

#[track_caller]
pub(super) fn accepted(reply: WriteReply) -> Object {
    match reply {
        WriteReply::Accepted(object) => object,
        other => panic!("expected an accepted request, got {other:?}"),
    }
}

#[track_caller]
pub(super) fn conflict(reply: &WriteReply) {
    assert!(matches!(reply, WriteReply::Conflict { .. }), "expected a conflict, got {reply:?}");
}

#[track_caller]
pub(super) fn not_found(reply: &WriteReply) {
    assert!(matches!(reply, WriteReply::NotFound), "expected `NotFound`, got {reply:?}");
}

/// Expects a refusal of the request itself: 400 if it cannot be parsed, 422 if it is not valid. An adapter may detect that
/// without sending it.
#[track_caller]
pub(super) fn refused(reply: &WriteReply) {
    assert!(
        matches!(
            reply,
            WriteReply::Refused { code: 400 | 422, .. }
                | WriteReply::NotSent(NotSent::InvalidRequest { .. })
        ),
        "expected a refusal with 400 or 422, got {reply:?}"
    );
}

/// Expects a refusal of a well-formed but invalid request.
#[track_caller]
pub(super) fn invalid(reply: &WriteReply) {
    assert!(
        matches!(reply, WriteReply::Refused { code: 422, .. }),
        "expected a refusal with 422, got {reply:?}"
    );
}
