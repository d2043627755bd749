use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, accepted, conflict, refused, version_is};
use crate::{Mode, Object, ObjectRef, Preconditions, Reply, Verb};

impl Ground {
    pub(super) async fn apply(&self, object: &Object) -> Reply {
        let target = object.reference(self.cluster.name()).without_uid();
        let verb = Verb::Apply(object.clone());
        self.send(&target, verb, Preconditions::default(), Mode::Apply).await
    }

    fn config(&self) -> ObjectRef {
        self.name("ConfigMap", "c")
    }
}

pub(super) async fn apply_makes_what_is_not_there(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-new").await;
    let made = accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    assert!(!made.metadata().uid.is_empty());
    assert_eq!(ground.found(&ground.config()).await, made);
}

pub(super) async fn apply_sets_what_it_names_and_leaves_the_rest(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-sets").await;
    ground.make(&ground.config_map("c", json!({"a": "1", "b": "2"}))).await;
    let after = accepted(ground.apply(&ground.config_map("c", json!({"c": "3"}))).await);
    assert_eq!(after.field("data"), Some(&json!({"a": "1", "b": "2", "c": "3"})));
}

pub(super) async fn apply_of_what_another_owns_is_a_conflict(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-conflict").await;
    let made = ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    conflict(&ground.apply(&ground.config_map("c", json!({"a": "2", "b": "2"}))).await);
    assert_eq!(ground.found(&ground.config()).await, made, "nothing of it is applied");
}

pub(super) async fn a_conflict_of_apply_names_fields_and_managers(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-names").await;
    ground.make(&ground.config_map("c", json!({"a": "1", "b": "1"}))).await;
    let one = message(ground.apply(&ground.config_map("c", json!({"a": "2"}))).await);
    assert_eq!(one, "Apply failed with 1 conflict: conflict with \"chiron\" using v1: .data.a");
    let two = message(ground.apply(&ground.config_map("c", json!({"a": "2", "b": "2"}))).await);
    assert_eq!(
        two,
        "Apply failed with 2 conflicts: conflicts with \"chiron\" using v1:\n- .data.a\n- .data.b"
    );
}

#[track_caller]
fn message(reply: Reply) -> String {
    match reply {
        Reply::Conflict { message } => message,
        other => panic!("should be a conflict, but the answer is {other:?}"),
    }
}

pub(super) async fn apply_of_the_same_value_is_no_conflict(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-same").await;
    ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    // Now both own it, and the other one changes it.
    accepted(ground.merge(&ground.config(), json!({"data": {"a": "2"}})).await);
    conflict(&ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
}

pub(super) async fn what_is_no_longer_applied_goes(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-less").await;
    accepted(ground.apply(&ground.config_map("c", json!({"a": "1", "b": "2"}))).await);
    accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    assert_eq!(ground.found(&ground.config()).await.field("data"), Some(&json!({"a": "1"})));
}

pub(super) async fn what_is_no_longer_applied_stays_where_another_owns_it(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-shared").await;
    ground.make(&ground.config_map("c", json!({"b": "2"}))).await;
    accepted(ground.apply(&ground.config_map("c", json!({"a": "1", "b": "2"}))).await);
    accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    let after = ground.found(&ground.config()).await;
    assert_eq!(after.field("data"), Some(&json!({"a": "1", "b": "2"})));
}

pub(super) async fn apply_again_changes_nothing(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-again").await;
    let first = accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    let again = accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    assert_eq!(again.metadata().resource_version, first.metadata().resource_version);
}

fn with_container(deployment: &Object, container: Value) -> Object {
    let mut spec = deployment.field("spec").cloned().unwrap_or_default();
    spec["template"]["spec"]["containers"] = json!([container]);
    deployment.with_field("spec", spec)
}

pub(super) async fn apply_tells_containers_and_variables_apart_by_name(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-containers").await;
    ground.make(&ground.deployment("d")).await;
    let side = json!({"name": "side", "image": "registry.k8s.io/pause:3.9"});
    accepted(ground.apply(&with_container(&ground.deployment("d"), side)).await);
    let main = json!({"name": "main", "image": "registry.k8s.io/pause:3.10", "env": [{"name": "C", "value": "3"}]});
    let after = accepted(ground.apply(&with_container(&ground.deployment("d"), main)).await);
    let containers = after.at("/spec/template/spec/containers").and_then(Value::as_array);
    let names: Vec<_> = containers.into_iter().flatten().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["main"], "what was applied before and is not any more is gone");
    let env = after.at("/spec/template/spec/containers/0/env").and_then(Value::as_array);
    let names: Vec<_> = env.into_iter().flatten().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["A", "B", "C"], "the variables of others stay");
}

pub(super) async fn a_conflict_within_a_list_names_the_element(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-element").await;
    ground.make(&ground.deployment("d")).await;
    let main = json!({"name": "main", "image": "registry.k8s.io/pause:3.1"});
    let said = message(ground.apply(&with_container(&ground.deployment("d"), main)).await);
    assert!(said.ends_with(".spec.template.spec.containers[name=\"main\"].image"), "{said}");
}

pub(super) async fn an_applied_change_counts_in_the_generation(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-generation").await;
    let mut spec = ground.deployment("d").field("spec").cloned().unwrap_or_default();
    let first = accepted(ground.apply(&ground.deployment("d")).await);
    assert_eq!(first.metadata().generation, 1);
    spec["minReadySeconds"] = json!(5);
    accepted(ground.apply(&ground.deployment("d").with_field("spec", spec)).await);
    assert_eq!(ground.found(&ground.name("Deployment", "d")).await.metadata().generation, 2);
}

pub(super) async fn apply_leaves_the_status_alone(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-status").await;
    let object =
        ground.deployment("d").with_field("status", json!({"readyReplicas": 7, "replicas": 7}));
    let made = accepted(ground.apply(&object).await);
    assert!(made.at("/status/readyReplicas").is_none_or(|ready| ready == 0));
}

pub(super) async fn a_dry_run_of_apply_stores_nothing(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-dry").await;
    let verb = || Verb::Apply(ground.config_map("c", json!({"a": "1"})));
    let dry = ground.send(&ground.config(), verb(), Preconditions::default(), Mode::DryRun).await;
    assert_eq!(accepted(dry).at("/data/a"), Some(&json!("1")));
    assert_eq!(ground.get(&ground.config()).await, None);
    let made = ground.make(&ground.config_map("c", json!({"a": "9"}))).await;
    conflict(&ground.send(&ground.config(), verb(), Preconditions::default(), Mode::DryRun).await);
    assert_eq!(ground.found(&ground.config()).await, made);
}

pub(super) async fn apply_holds_preconditions(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-stale").await;
    let first = accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    accepted(ground.merge(&ground.config(), json!({"data": {"b": "2"}})).await);
    let verb = || Verb::Apply(ground.config_map("c", json!({"a": "2"})));
    let stale = version_is(&first.metadata().resource_version);
    conflict(&ground.send(&ground.config(), verb(), stale, Mode::Apply).await);
    let now = version_is(&ground.found(&ground.config()).await.metadata().resource_version);
    accepted(ground.send(&ground.config(), verb(), now, Mode::Apply).await);
}

pub(super) async fn apply_refuses_what_is_not_valid(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "apply-invalid").await;
    refused(&ground.apply(&ground.config_map("c", json!({"white space": "1"}))).await);
    let mut spec = ground.deployment("d").field("spec").cloned().unwrap_or_default();
    spec["replicas"] = json!(-1);
    refused(&ground.apply(&ground.deployment("d").with_field("spec", spec)).await);
}
