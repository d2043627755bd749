use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted, conflict, refused, version_is};
use crate::{Mode, Object, ObjectRef, Preconditions, Verb, WriteReply};

impl TestNamespace {
    pub(super) async fn apply(&self, object: &Object) -> WriteReply {
        let target = object.reference(self.cluster.name()).without_uid();
        let verb = Verb::Apply(object.clone());
        self.send(&target, verb, Preconditions::default(), Mode::Commit).await
    }

    fn config_ref(&self) -> ObjectRef {
        self.reference("ConfigMap", "c")
    }
}

pub(super) async fn apply_creates_missing_object(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-new").await;
    let created = accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    assert!(!created.metadata().uid.is_empty());
    assert_eq!(ns.get_existing(&ns.config_ref()).await, created);
}

pub(super) async fn apply_keeps_fields_of_other_managers(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-sets").await;
    ns.create_as_admin(&ns.config_map("c", json!({"a": "1", "b": "2"}))).await;
    let after = accepted(ns.apply(&ns.config_map("c", json!({"c": "3"}))).await);
    assert_eq!(after.field("data"), Some(&json!({"a": "1", "b": "2", "c": "3"})));
}

pub(super) async fn apply_of_field_with_other_manager_is_a_conflict(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-conflict").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    conflict(&ns.apply(&ns.config_map("c", json!({"a": "2", "b": "2"}))).await);
    assert_eq!(ns.get_existing(&ns.config_ref()).await, created, "nothing should be applied");
}

pub(super) async fn apply_conflict_names_fields_and_managers(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-names").await;
    ns.create_as_admin(&ns.config_map("c", json!({"a": "1", "b": "1"}))).await;
    let one = conflict_message(ns.apply(&ns.config_map("c", json!({"a": "2"}))).await);
    assert_eq!(one, "Apply failed with 1 conflict: conflict with \"chiron\" using v1: .data.a");
    let two = conflict_message(ns.apply(&ns.config_map("c", json!({"a": "2", "b": "2"}))).await);
    assert_eq!(
        two,
        "Apply failed with 2 conflicts: conflicts with \"chiron\" using v1:\n- .data.a\n- .data.b"
    );
}

#[track_caller]
fn conflict_message(reply: WriteReply) -> String {
    match reply {
        WriteReply::Conflict { message } => message,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

pub(super) async fn apply_of_same_value_shares_ownership(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-same").await;
    ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    // Both managers own the field now, and the other manager changes it.
    accepted(ns.merge(&ns.config_ref(), json!({"data": {"a": "2"}})).await);
    conflict(&ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
}

pub(super) async fn apply_removes_fields_no_longer_applied(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-less").await;
    accepted(ns.apply(&ns.config_map("c", json!({"a": "1", "b": "2"}))).await);
    accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    assert_eq!(ns.get_existing(&ns.config_ref()).await.field("data"), Some(&json!({"a": "1"})));
}

pub(super) async fn apply_keeps_unapplied_field_of_other_manager(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-shared").await;
    ns.create_as_admin(&ns.config_map("c", json!({"b": "2"}))).await;
    accepted(ns.apply(&ns.config_map("c", json!({"a": "1", "b": "2"}))).await);
    accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    let after = ns.get_existing(&ns.config_ref()).await;
    assert_eq!(after.field("data"), Some(&json!({"a": "1", "b": "2"})));
}

pub(super) async fn apply_is_idempotent(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-again").await;
    let first = accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    let again = accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    assert_eq!(again.metadata().resource_version, first.metadata().resource_version);
}

fn with_container(deployment: &Object, container: Value) -> Object {
    let mut spec = deployment.field("spec").cloned().unwrap_or_default();
    spec["template"]["spec"]["containers"] = json!([container]);
    deployment.with_field("spec", spec)
}

pub(super) async fn apply_merges_lists_by_name(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-containers").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let side = json!({"name": "side", "image": "registry.k8s.io/pause:3.9"});
    accepted(ns.apply(&with_container(&ns.deployment("d"), side)).await);
    let main = json!({"name": "main", "image": "registry.k8s.io/pause:3.10", "env": [{"name": "C", "value": "3"}]});
    let after = accepted(ns.apply(&with_container(&ns.deployment("d"), main)).await);
    let containers = after.at("/spec/template/spec/containers").and_then(Value::as_array);
    let names: Vec<_> = containers.into_iter().flatten().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["main"], "a container that is no longer applied should be removed");
    let env = after.at("/spec/template/spec/containers/0/env").and_then(Value::as_array);
    let names: Vec<_> = env.into_iter().flatten().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["A", "B", "C"], "variables of other managers should be kept");
}

pub(super) async fn apply_conflict_in_list_names_element(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-element").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let main = json!({"name": "main", "image": "registry.k8s.io/pause:3.1"});
    let message = conflict_message(ns.apply(&with_container(&ns.deployment("d"), main)).await);
    assert!(message.ends_with(".spec.template.spec.containers[name=\"main\"].image"), "{message}");
}

pub(super) async fn apply_increments_generation(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-generation").await;
    let mut spec = ns.deployment("d").field("spec").cloned().unwrap_or_default();
    let first = accepted(ns.apply(&ns.deployment("d")).await);
    assert_eq!(first.metadata().generation, 1);
    spec["minReadySeconds"] = json!(5);
    accepted(ns.apply(&ns.deployment("d").with_field("spec", spec)).await);
    assert_eq!(ns.get_existing(&ns.reference("Deployment", "d")).await.metadata().generation, 2);
}

pub(super) async fn apply_ignores_status(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-status").await;
    let object =
        ns.deployment("d").with_field("status", json!({"readyReplicas": 7, "replicas": 7}));
    let created = accepted(ns.apply(&object).await);
    assert!(created.at("/status/readyReplicas").is_none_or(|ready| ready == 0));
}

pub(super) async fn dry_run_apply_stores_nothing(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-dry").await;
    let verb = || Verb::Apply(ns.config_map("c", json!({"a": "1"})));
    let dry = ns.send(&ns.config_ref(), verb(), Preconditions::default(), Mode::DryRun).await;
    assert_eq!(accepted(dry).at("/data/a"), Some(&json!("1")));
    assert_eq!(ns.get(&ns.config_ref()).await, None);
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "9"}))).await;
    conflict(&ns.send(&ns.config_ref(), verb(), Preconditions::default(), Mode::DryRun).await);
    assert_eq!(ns.get_existing(&ns.config_ref()).await, created);
}

pub(super) async fn apply_checks_preconditions(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-stale").await;
    let first = accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    accepted(ns.merge(&ns.config_ref(), json!({"data": {"b": "2"}})).await);
    let verb = || Verb::Apply(ns.config_map("c", json!({"a": "2"})));
    let stale = version_is(&first.metadata().resource_version);
    conflict(&ns.send(&ns.config_ref(), verb(), stale, Mode::Commit).await);
    let now = version_is(&ns.get_existing(&ns.config_ref()).await.metadata().resource_version);
    accepted(ns.send(&ns.config_ref(), verb(), now, Mode::Commit).await);
}

pub(super) async fn apply_rejects_invalid_objects(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "apply-invalid").await;
    refused(&ns.apply(&ns.config_map("c", json!({"white space": "1"}))).await);
    let mut spec = ns.deployment("d").field("spec").cloned().unwrap_or_default();
    spec["replicas"] = json!(-1);
    refused(&ns.apply(&ns.deployment("d").with_field("spec", spec)).await);
}
