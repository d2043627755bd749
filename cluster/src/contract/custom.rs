use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{CONTRACT_LABEL, TestNamespace, accepted, names, page, read};
use crate::{
    Agent, Kind, ListQuery, Mode, Object, ObjectRef, Patch, Preconditions, ReadFailure, Request,
    Selector, Verb, WatchEvent, WriteReply,
};

/// A custom resource kind for one test.
struct CustomResource {
    ns: TestNamespace,
    kind: Kind,
}

impl CustomResource {
    /// Creates a CustomResourceDefinition and waits until its kind is served.
    async fn new(fixture: &mut dyn Fixture, what: &str) -> Self {
        let ns = TestNamespace::new(fixture, what).await;
        let group = format!("{}.example.com", ns.namespace);
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"type": "object", "properties": {"spec": any, "status": any}});
        let definition = read(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema}}],
            },
        }));
        ns.create_as_admin(&definition).await;
        let custom = Self { kind: Kind::new(format!("{group}/v1"), "Widget"), ns };
        let mut served = 0;
        for _ in 0..60 {
            let definition = custom.ns.get_existing(&custom.crd()).await;
            let is_established = crate::ObjectCondition::of(&definition, "Established")
                .is_some_and(|condition| condition.status == Some(true));
            let query = ListQuery::latest(custom.kind.clone(), Some(&custom.ns.namespace));
            let is_served = is_established && custom.ns.cluster.list(&query).await.is_ok();
            // An API server re-creates the storage of a new kind and replies 429 meanwhile, so two successful lists in a
            // row are required.
            served = if is_served { served + 1 } else { 0 };
            if served == 2 {
                return custom;
            }
            fixture.wait(1).await;
        }
        panic!("the kind is not served after one minute");
    }

    fn crd(&self) -> ObjectRef {
        let name = format!("widgets.{}.example.com", self.ns.namespace);
        ObjectRef::builtin(self.ns.cluster.name(), "CustomResourceDefinition", None, &name)
    }

    fn widget(&self, name: &str, fields: Value) -> Object {
        let mut value = json!({"apiVersion": self.kind.api_version, "kind": "Widget",
            "metadata": {"name": name, "namespace": self.ns.namespace, "labels": {CONTRACT_LABEL.0: CONTRACT_LABEL.1}}});
        let fields = fields.as_object().cloned().unwrap_or_default();
        value.as_object_mut().expect("constructed above as an object").extend(fields);
        read(value)
    }

    fn widget_ref(&self, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: self.kind.api_version.clone(),
            kind: "Widget".into(),
            ..self.ns.reference("ConfigMap", name)
        }
    }

    async fn create_widget(&self, name: &str, size: u32) -> Object {
        self.ns.create_as_admin(&self.widget(name, json!({"spec": {"size": size}}))).await
    }

    /// Deletes the CustomResourceDefinition, so that the cluster does not accumulate test kinds.
    async fn delete_crd(self) {
        let request = Request {
            target: self.crd(),
            verb: Verb::Delete { grace_seconds: None },
            preconditions: Preconditions::default(),
            mode: Mode::Commit,
            agent: Agent::default(),
        };
        assert_eq!(self.ns.admin.send(&request).await, WriteReply::Deleted);
    }
}

pub(super) async fn crd_defines_a_kind(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom").await;
    let created = custom.create_widget("w", 1).await;
    assert_eq!(created.metadata().generation, 1);
    assert!(!created.metadata().uid.is_empty());
    assert_eq!(custom.ns.get_existing(&custom.widget_ref("w")).await, created);
    assert_eq!(created.kind(), &custom.kind);
    custom.delete_crd().await;
}

pub(super) async fn custom_resources_are_listed_and_watched(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom-list").await;
    let query = ListQuery {
        selector: Some(Selector::of_labels([CONTRACT_LABEL])),
        ..ListQuery::latest(custom.kind.clone(), Some(&custom.ns.namespace))
    };
    let begin = page(&*custom.ns.cluster, &query).await.resource_version;
    custom.create_widget("b", 1).await;
    custom.create_widget("a", 1).await;
    assert_eq!(names(&page(&*custom.ns.cluster, &query).await.items), ["a", "b"]);
    fixture.wait(1).await;
    let events =
        custom.ns.cluster.watch_since(&custom.kind, Some(&custom.ns.namespace), &begin).await;
    let events = events.unwrap_or_else(|failure| panic!("watch of a custom resource: {failure}"));
    let added: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Added(object) => Some(object.name()),
            WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => None,
        })
        .collect();
    assert_eq!(added, ["b", "a"]);
    custom.delete_crd().await;
}

pub(super) async fn custom_resource_generation_counts_spec_changes(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom-generation").await;
    custom.create_widget("w", 1).await;
    let target = custom.widget_ref("w");
    let after = accepted(custom.ns.merge(&target, json!({"spec": {"size": 2}})).await);
    assert_eq!(after.metadata().generation, 2);
    let after =
        accepted(custom.ns.merge(&target, json!({"metadata": {"labels": {"x": "y"}}})).await);
    assert_eq!(after.metadata().generation, 2);
    custom.delete_crd().await;
}

pub(super) async fn custom_resource_status_is_a_subresource(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom-status").await;
    let object = custom.widget("w", json!({"spec": {"size": 1}, "status": {"ready": true}}));
    let created = custom.ns.create_as_admin(&object).await;
    assert_eq!(created.field("status"), None, "a client cannot set the status on creation");
    let target = custom.widget_ref("w");
    let patch = json!({"status": {"ready": true}, "spec": {"size": 9}});
    let after =
        custom.ns.patch_at(&target, "status", patch.clone(), Preconditions::default()).await;
    let after = accepted(after);
    assert_eq!(after.at("/status/ready"), Some(&json!(true)));
    assert_eq!(after.at("/spec/size"), Some(&json!(1)));
    assert_eq!(after.metadata().generation, 1);
    let after = accepted(
        custom.ns.merge(&target, json!({"status": {"ready": false}, "spec": {"size": 9}})).await,
    );
    assert_eq!(after.at("/status/ready"), Some(&json!(true)));
    assert_eq!(after.at("/spec/size"), Some(&json!(9)));
    custom.delete_crd().await;
}

pub(super) async fn custom_resource_rejects_strategic_patch(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom-strategic").await;
    custom.create_widget("w", 1).await;
    let reply = custom
        .ns
        .patch(&custom.widget_ref("w"), Patch::Strategic(json!({"spec": {"size": 2}})))
        .await;
    assert!(matches!(reply, WriteReply::Refused { code: 415, .. }), "{reply:?}");
    custom.delete_crd().await;
}

pub(super) async fn custom_resource_supports_server_side_apply(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom-apply").await;
    let created = accepted(
        custom.ns.apply(&custom.widget("w", json!({"spec": {"size": 1, "hue": "red"}}))).await,
    );
    assert_eq!(created.metadata().generation, 1);
    let after = accepted(custom.ns.apply(&custom.widget("w", json!({"spec": {"size": 2}}))).await);
    assert_eq!(after.field("spec"), Some(&json!({"size": 2})));
    custom.delete_crd().await;
}

pub(super) async fn custom_resource_can_own_objects(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom-owner").await;
    let owner = custom.create_widget("w", 1).await;
    let child = custom.ns.config_map("child", json!({}));
    let mut metadata = child.metadata().clone();
    metadata.owner_references = vec![super::delete::owned_by(&owner, None)];
    custom.ns.create_as_admin(&child.with_metadata(metadata)).await;
    let reply =
        custom.ns.delete(&custom.widget_ref("w"), Preconditions::default(), Mode::Commit).await;
    assert_eq!(reply, WriteReply::Deleted);
    let child = custom.ns.reference("ConfigMap", "child");
    assert!(
        super::delete::wait_until_deleted(fixture, &custom.ns, &child).await,
        "the child should be deleted with its owner"
    );
    custom.delete_crd().await;
}

pub(super) async fn kind_without_crd_is_not_found(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "custom-none").await;
    let custom = CustomResource { kind: Kind::new("nowhere.example.com/v1", "Widget"), ns };
    let reply = custom.ns.create(&custom.widget("w", json!({})), Mode::Commit).await;
    assert!(
        matches!(reply, WriteReply::NotFound | WriteReply::Refused { code: 404, .. }),
        "{reply:?}"
    );
}

pub(super) async fn crd_deletion_deletes_custom_resources(fixture: &mut dyn Fixture) {
    let custom = CustomResource::new(fixture, "custom-deleted").await;
    custom.create_widget("w", 1).await;
    let (target, definition) = (custom.widget_ref("w"), custom.crd());
    let ns = TestNamespace {
        cluster: custom.ns.cluster.clone(),
        admin: custom.ns.admin.clone(),
        namespace: custom.ns.namespace.clone(),
    };
    custom.delete_crd().await;
    assert!(
        super::delete::wait_until_deleted(fixture, &ns, &definition).await,
        "the CRD should be deleted"
    );
    let found = ns.cluster.get(&target, crate::Consistency::Latest).await;
    assert!(
        matches!(found, Ok(None) | Err(ReadFailure::Refused { .. })),
        "its objects should be deleted: {found:?}"
    );
}
