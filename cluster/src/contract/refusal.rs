use serde_json::json;

use super::Fixture;
use super::ground::{Ground, accepted, refused, version_is};
use crate::{Mode, Patch, Preconditions, Reply, Verb};

pub(super) async fn what_is_not_valid_is_told_with_field_and_reason(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "told-invalid").await;
    ground.make(&ground.deployment("d")).await;
    let target = ground.name("Deployment", "d");
    let Reply::Refused { code: 422, reason, message } =
        ground.merge(&target, json!({"spec": {"replicas": -1}})).await
    else {
        panic!("a negative number of replicas should be refused with 422");
    };
    assert_eq!(reason, "Invalid");
    assert_eq!(
        message,
        "Deployment.apps \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let Reply::Refused { code: 422, reason, message } =
        ground.create(&ground.config_map("BAD", json!({})), Mode::Apply).await
    else {
        panic!("a name in capitals should be refused with 422");
    };
    assert_eq!(reason, "Invalid");
    let begin = "ConfigMap \"BAD\" is invalid: metadata.name: Invalid value: \"BAD\": a lowercase RFC 1123 subdomain must";
    assert!(message.starts_with(begin), "{message}");
}

pub(super) async fn a_taken_name_is_told(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "told-taken").await;
    ground.make(&ground.deployment("d")).await;
    let reply = ground.create(&ground.deployment("d"), Mode::Apply).await;
    assert_eq!(reply, Reply::Conflict { message: "deployments.apps \"d\" already exists".into() });
}

pub(super) async fn a_stale_version_is_told(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "told-stale").await;
    let made = ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
    let target = ground.name("ConfigMap", "c");
    accepted(ground.merge(&target, json!({"data": {"a": "2"}})).await);
    let stale = version_is(&made.metadata().resource_version);
    let verb = Verb::Patch { patch: Patch::Merge(json!({"data": {"a": "3"}})), subresource: None };
    let reply = ground.send(&target, verb, stale, Mode::Apply).await;
    let message = "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(reply, Reply::Conflict { message: message.into() });
}

pub(super) async fn an_unreadable_object_is_a_bad_request_or_not_valid(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "told-unreadable").await;
    let wrong = ground.object("Deployment", "d", json!({"spec": {"replicas": "many"}}));
    refused(&ground.create(&wrong, Mode::Apply).await);
    ground.make(&ground.deployment("d")).await;
    let verb =
        Verb::Patch { patch: Patch::Merge(json!({"spec": {"template": 7}})), subresource: None };
    let reply = ground
        .send(&ground.name("Deployment", "d"), verb, Preconditions::default(), Mode::Apply)
        .await;
    refused(&reply);
}
