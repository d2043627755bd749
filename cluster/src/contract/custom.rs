use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, MINE, accepted, names, page, read};
use crate::{
    Agent, Kind, ListQuery, Mode, Object, ObjectRef, Patch, Preconditions, ReadFailure, Reply,
    Request, Selector, Verb, WatchEvent,
};

/// A kind of its own for one promise.
struct Custom {
    ground: Ground,
    kind: Kind,
}

impl Custom {
    /// Makes a definition, and waits until its kind is served.
    async fn new(world: &mut dyn Fixture, what: &str) -> Self {
        let ground = Ground::new(world, what).await;
        let group = format!("{}.example.com", ground.namespace);
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
        ground.make(&definition).await;
        let custom = Self { kind: Kind::new(format!("{group}/v1"), "Widget"), ground };
        let mut served = 0;
        for _ in 0..60 {
            let definition = custom.ground.found(&custom.definition()).await;
            let is_established = crate::Condition::of(&definition, "Established")
                .is_some_and(|condition| condition.holds == Some(true));
            let query = ListQuery::latest(custom.kind.clone(), Some(&custom.ground.namespace));
            let is_served = is_established && custom.ground.cluster.list(&query).await.is_ok();
            // An API server makes the storage of a young kind anew, and answers 429 meanwhile: served, a second later too.
            served = if is_served { served + 1 } else { 0 };
            if served == 2 {
                return custom;
            }
            world.settle(1).await;
        }
        panic!("a minute later the kind is still not served");
    }

    fn definition(&self) -> ObjectRef {
        let name = format!("widgets.{}.example.com", self.ground.namespace);
        ObjectRef::builtin(self.ground.cluster.name(), "CustomResourceDefinition", None, &name)
    }

    fn widget(&self, name: &str, fields: Value) -> Object {
        let mut value = json!({"apiVersion": self.kind.api_version, "kind": "Widget",
            "metadata": {"name": name, "namespace": self.ground.namespace, "labels": {MINE.0: MINE.1}}});
        let fields = fields.as_object().cloned().unwrap_or_default();
        value.as_object_mut().expect("written above as an object").extend(fields);
        read(value)
    }

    fn name(&self, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: self.kind.api_version.clone(),
            kind: "Widget".into(),
            ..self.ground.name("ConfigMap", name)
        }
    }

    async fn make(&self, name: &str, size: u32) -> Object {
        self.ground.make(&self.widget(name, json!({"spec": {"size": size}}))).await
    }

    /// A cluster need not keep the kinds of promises.
    async fn forget(self) {
        let request = Request {
            target: self.definition(),
            verb: Verb::Delete { grace_seconds: None },
            preconditions: Preconditions::default(),
            mode: Mode::Apply,
            agent: Agent::default(),
        };
        assert_eq!(self.ground.admin.send(&request).await, Reply::Deleted);
    }
}

pub(super) async fn a_definition_makes_a_kind(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom").await;
    let made = custom.make("w", 1).await;
    assert_eq!(made.metadata().generation, 1);
    assert!(!made.metadata().uid.is_empty());
    assert_eq!(custom.ground.found(&custom.name("w")).await, made);
    assert_eq!(made.kind(), &custom.kind);
    custom.forget().await;
}

pub(super) async fn custom_objects_are_listed_and_told(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom-list").await;
    let query = ListQuery {
        selector: Some(Selector::of_labels([MINE])),
        ..ListQuery::latest(custom.kind.clone(), Some(&custom.ground.namespace))
    };
    let begin = page(&*custom.ground.cluster, &query).await.resource_version;
    custom.make("b", 1).await;
    custom.make("a", 1).await;
    assert_eq!(names(&page(&*custom.ground.cluster, &query).await.items), ["a", "b"]);
    world.settle(1).await;
    let told =
        custom.ground.cluster.changes(&custom.kind, Some(&custom.ground.namespace), &begin).await;
    let told = told.unwrap_or_else(|failure| panic!("changes of a custom kind: {failure}"));
    let added: Vec<&str> = told
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Added(object) => Some(object.name()),
            WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => None,
        })
        .collect();
    assert_eq!(added, ["b", "a"]);
    custom.forget().await;
}

pub(super) async fn custom_objects_count_changes_of_all_but_their_status(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom-generation").await;
    custom.make("w", 1).await;
    let target = custom.name("w");
    let after = accepted(custom.ground.merge(&target, json!({"spec": {"size": 2}})).await);
    assert_eq!(after.metadata().generation, 2);
    let after =
        accepted(custom.ground.merge(&target, json!({"metadata": {"labels": {"x": "y"}}})).await);
    assert_eq!(after.metadata().generation, 2);
    custom.forget().await;
}

pub(super) async fn the_status_of_a_custom_object_is_its_subresource(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom-status").await;
    let object = custom.widget("w", json!({"spec": {"size": 1}, "status": {"ready": true}}));
    let made = custom.ground.make(&object).await;
    assert_eq!(made.field("status"), None, "a client cannot say at birth how it is");
    let target = custom.name("w");
    let patch = json!({"status": {"ready": true}, "spec": {"size": 9}});
    let after =
        custom.ground.patch_at(&target, "status", patch.clone(), Preconditions::default()).await;
    let after = accepted(after);
    assert_eq!(after.at("/status/ready"), Some(&json!(true)));
    assert_eq!(after.at("/spec/size"), Some(&json!(1)));
    assert_eq!(after.metadata().generation, 1);
    let after = accepted(
        custom
            .ground
            .merge(&target, json!({"status": {"ready": false}, "spec": {"size": 9}}))
            .await,
    );
    assert_eq!(after.at("/status/ready"), Some(&json!(true)));
    assert_eq!(after.at("/spec/size"), Some(&json!(9)));
    custom.forget().await;
}

pub(super) async fn custom_objects_take_no_strategic_patch(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom-strategic").await;
    custom.make("w", 1).await;
    let reply = custom
        .ground
        .patch(&custom.name("w"), Patch::Strategic(json!({"spec": {"size": 2}})))
        .await;
    assert!(matches!(reply, Reply::Refused { code: 415, .. }), "{reply:?}");
    custom.forget().await;
}

pub(super) async fn custom_objects_are_applied(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom-apply").await;
    let made = accepted(
        custom.ground.apply(&custom.widget("w", json!({"spec": {"size": 1, "hue": "red"}}))).await,
    );
    assert_eq!(made.metadata().generation, 1);
    let after =
        accepted(custom.ground.apply(&custom.widget("w", json!({"spec": {"size": 2}}))).await);
    assert_eq!(after.field("spec"), Some(&json!({"size": 2})));
    custom.forget().await;
}

pub(super) async fn custom_objects_own_and_are_owned(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom-owner").await;
    let owner = custom.make("w", 1).await;
    let child = custom.ground.config_map("child", json!({}));
    let mut metadata = child.metadata().clone();
    metadata.owner_references = vec![super::delete::owned_by(&owner, None)];
    custom.ground.make(&child.with_metadata(metadata)).await;
    let reply =
        custom.ground.delete(&custom.name("w"), Preconditions::default(), Mode::Apply).await;
    assert_eq!(reply, Reply::Deleted);
    let child = custom.ground.name("ConfigMap", "child");
    assert!(
        super::delete::gone(world, &custom.ground, &child).await,
        "the child should go with its owner"
    );
    custom.forget().await;
}

pub(super) async fn a_kind_without_a_definition_takes_nothing(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "custom-none").await;
    let custom = Custom { kind: Kind::new("nowhere.example.com/v1", "Widget"), ground };
    let reply = custom.ground.create(&custom.widget("w", json!({})), Mode::Apply).await;
    assert!(matches!(reply, Reply::Absent | Reply::Refused { code: 404, .. }), "{reply:?}");
}

pub(super) async fn objects_go_with_their_definition(world: &mut dyn Fixture) {
    let custom = Custom::new(world, "custom-gone").await;
    custom.make("w", 1).await;
    let (target, definition) = (custom.name("w"), custom.definition());
    let ground = Ground {
        cluster: custom.ground.cluster.clone(),
        admin: custom.ground.admin.clone(),
        namespace: custom.ground.namespace.clone(),
    };
    custom.forget().await;
    assert!(super::delete::gone(world, &ground, &definition).await, "the definition should go");
    let found = ground.cluster.get(&target, crate::Consistency::Latest).await;
    assert!(
        matches!(found, Ok(None) | Err(ReadFailure::Refused { .. })),
        "its objects should be gone: {found:?}"
    );
}
