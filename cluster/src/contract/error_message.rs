use serde_json::json;

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted, refused, version_is};
use crate::{Mode, Patch, Preconditions, Verb, WriteReply};

pub(super) async fn invalid_error_names_field_and_cause(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "error-invalid").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let target = ns.reference("Deployment", "d");
    let WriteReply::Refused { code: 422, reason, message } =
        ns.merge(&target, json!({"spec": {"replicas": -1}})).await
    else {
        panic!("negative replicas should be refused with 422");
    };
    assert_eq!(reason, "Invalid");
    assert_eq!(
        message,
        "Deployment.apps \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let WriteReply::Refused { code: 422, reason, message } =
        ns.create(&ns.config_map("BAD", json!({})), Mode::Commit).await
    else {
        panic!("an upper-case name should be refused with 422");
    };
    assert_eq!(reason, "Invalid");
    let prefix = "ConfigMap \"BAD\" is invalid: metadata.name: Invalid value: \"BAD\": a lowercase RFC 1123 subdomain must";
    assert!(message.starts_with(prefix), "{message}");
}

pub(super) async fn already_exists_error_names_object(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "error-taken").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let reply = ns.create(&ns.deployment("d"), Mode::Commit).await;
    assert_eq!(
        reply,
        WriteReply::Conflict { message: "deployments.apps \"d\" already exists".into() }
    );
}

pub(super) async fn version_conflict_error_names_object(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "error-stale").await;
    let created = ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
    let target = ns.reference("ConfigMap", "c");
    accepted(ns.merge(&target, json!({"data": {"a": "2"}})).await);
    let stale = version_is(&created.metadata().resource_version);
    let verb = Verb::Patch { patch: Patch::Merge(json!({"data": {"a": "3"}})), subresource: None };
    let reply = ns.send(&target, verb, stale, Mode::Commit).await;
    let message = "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(reply, WriteReply::Conflict { message: message.into() });
}

pub(super) async fn malformed_object_is_bad_request_or_invalid(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "error-unreadable").await;
    let wrong = ns.object("Deployment", "d", json!({"spec": {"replicas": "many"}}));
    refused(&ns.create(&wrong, Mode::Commit).await);
    ns.create_as_admin(&ns.deployment("d")).await;
    let verb =
        Verb::Patch { patch: Patch::Merge(json!({"spec": {"template": 7}})), subresource: None };
    let reply = ns
        .send(&ns.reference("Deployment", "d"), verb, Preconditions::default(), Mode::Commit)
        .await;
    refused(&reply);
}
