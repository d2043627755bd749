use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted};
use crate::{Mode, Object, Preconditions, WriteReply};

impl TestNamespace {
    /// Creates a quota and waits until its status is up to date.
    async fn create_quota(&self, fixture: &mut dyn Fixture, hard: Value) {
        self.create_as_admin(&self.object(
            "ResourceQuota",
            "quota",
            json!({"spec": {"hard": hard}}),
        ))
        .await;
        for _ in 0..30 {
            fixture.wait(2).await;
            let quota = self.get_existing(&self.reference("ResourceQuota", "quota")).await;
            if quota.at("/status/hard") == Some(&hard) {
                return;
            }
        }
        panic!("the quota is not active after one minute");
    }

    fn secret(&self, name: &str) -> Object {
        self.object("Secret", name, json!({"type": "Opaque", "stringData": {"a": "1"}}))
    }

    async fn quota_usage(&self, name: &str) -> Value {
        let quota = self.get_existing(&self.reference("ResourceQuota", "quota")).await;
        quota.field("status").map(|status| status["used"][name].clone()).unwrap_or_default()
    }
}

/// Expects a refusal with 403 and returns its message.
#[track_caller]
fn forbidden(reply: WriteReply) -> String {
    match reply {
        WriteReply::Refused { code: 403, reason, message } => {
            assert_eq!(reason, "Forbidden");
            message
        }
        other => panic!("expected a refusal with 403, got {other:?}"),
    }
}

pub(super) async fn quota_reports_usage(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "quota").await;
    ns.create_quota(fixture, json!({"secrets": "5"})).await;
    assert_eq!(ns.quota_usage("secrets").await, json!("0"));
    ns.create_as_admin(&ns.secret("a")).await;
    for _ in 0..30 {
        if ns.quota_usage("secrets").await == json!("1") {
            return;
        }
        fixture.wait(2).await;
    }
    panic!("the quota does not count the Secret after one minute");
}

pub(super) async fn quota_rejects_excess_objects(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "quota-exceeded").await;
    ns.create_quota(fixture, json!({"secrets": "1"})).await;
    ns.create_as_admin(&ns.secret("a")).await;
    let message = forbidden(ns.create(&ns.secret("b"), Mode::Commit).await);
    assert_eq!(
        message,
        "secrets \"b\" is forbidden: exceeded quota: quota, requested: secrets=1, used: secrets=1, limited: secrets=1"
    );
    assert_eq!(ns.get(&ns.reference("Secret", "b")).await, None);
}

pub(super) async fn quota_ignores_updates_and_other_kinds(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "quota-other").await;
    ns.create_quota(fixture, json!({"secrets": "1"})).await;
    ns.create_as_admin(&ns.secret("a")).await;
    accepted(ns.create(&ns.config_map("b", json!({})), Mode::Commit).await);
    let change = json!({"stringData": {"a": "2"}});
    accepted(ns.merge(&ns.reference("Secret", "a"), change).await);
}

pub(super) async fn quota_is_released_by_deletion(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "quota-released").await;
    ns.create_quota(fixture, json!({"secrets": "1"})).await;
    ns.create_as_admin(&ns.secret("a")).await;
    let target = ns.reference("Secret", "a");
    assert_eq!(
        ns.delete(&target, Preconditions::default(), Mode::Commit).await,
        WriteReply::Deleted
    );
    for _ in 0..30 {
        if let WriteReply::Accepted(_) = ns.create(&ns.secret("b"), Mode::Commit).await {
            return;
        }
        fixture.wait(2).await;
    }
    panic!("the quota is not released one minute after the deletion");
}

pub(super) async fn quota_counts_objects_of_any_kind(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "quota-count").await;
    ns.create_quota(fixture, json!({"count/deployments.apps": "1"})).await;
    ns.create_as_admin(&ns.deployment("a")).await;
    let message = forbidden(ns.create(&ns.deployment("b"), Mode::Commit).await);
    assert!(
        message.starts_with("deployments.apps \"b\" is forbidden: exceeded quota: quota"),
        "{message}"
    );
}

pub(super) async fn quota_sums_pod_requests(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "quota-cpu").await;
    ns.pod(fixture, "a").await;
    ns.create_quota(fixture, json!({"requests.cpu": "150m"})).await;
    assert_eq!(ns.quota_usage("requests.cpu").await, json!("100m"));
    let second = ns.object(
        "Pod",
        "b",
        json!({"spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10",
            "resources": {"requests": {"cpu": "100m"}}}]}}),
    );
    let message = forbidden(ns.create(&second, Mode::Commit).await);
    assert_eq!(
        message,
        "pods \"b\" is forbidden: exceeded quota: quota, requested: requests.cpu=100m, used: requests.cpu=100m, limited: requests.cpu=150m"
    );
}

pub(super) async fn quota_requires_pod_requests(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "quota-requests").await;
    ns.pod(fixture, "a").await;
    ns.create_quota(fixture, json!({"requests.memory": "1Gi"})).await;
    let without_requests = ns.object(
        "Pod",
        "b",
        json!({"spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}}),
    );
    let message = forbidden(ns.create(&without_requests, Mode::Commit).await);
    assert_eq!(
        message,
        "pods \"b\" is forbidden: failed quota: quota: must specify requests.memory for: main"
    );
}
