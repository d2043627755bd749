use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, accepted};
use crate::{Mode, Object, Preconditions, Reply};

impl Ground {
    /// A quota, once the cluster knows what of it is used.
    async fn quota(&self, world: &mut dyn Fixture, hard: Value) {
        self.make(&self.object("ResourceQuota", "quota", json!({"spec": {"hard": hard}}))).await;
        for _ in 0..30 {
            world.settle(2).await;
            let quota = self.found(&self.name("ResourceQuota", "quota")).await;
            if quota.at("/status/hard") == Some(&hard) {
                return;
            }
        }
        panic!("a minute later the quota is still not in force");
    }

    fn secret(&self, name: &str) -> Object {
        self.object("Secret", name, json!({"type": "Opaque", "stringData": {"a": "1"}}))
    }

    async fn used(&self, name: &str) -> Value {
        let quota = self.found(&self.name("ResourceQuota", "quota")).await;
        quota.field("status").map(|status| status["used"][name].clone()).unwrap_or_default()
    }
}

/// The words of a refusal for want of permission or of room.
#[track_caller]
fn forbidden(reply: Reply) -> String {
    match reply {
        Reply::Refused { code: 403, reason, message } => {
            assert_eq!(reason, "Forbidden");
            message
        }
        other => panic!("should be refused with 403, but the answer is {other:?}"),
    }
}

pub(super) async fn a_quota_tells_what_is_used(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "quota").await;
    ground.quota(world, json!({"secrets": "5"})).await;
    assert_eq!(ground.used("secrets").await, json!("0"));
    ground.make(&ground.secret("a")).await;
    for _ in 0..30 {
        if ground.used("secrets").await == json!("1") {
            return;
        }
        world.settle(2).await;
    }
    panic!("a minute later the quota still does not count the secret");
}

pub(super) async fn a_quota_refuses_what_exceeds_it(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "quota-exceeded").await;
    ground.quota(world, json!({"secrets": "1"})).await;
    ground.make(&ground.secret("a")).await;
    let message = forbidden(ground.create(&ground.secret("b"), Mode::Apply).await);
    assert_eq!(
        message,
        "secrets \"b\" is forbidden: exceeded quota: quota, requested: secrets=1, used: secrets=1, limited: secrets=1"
    );
    assert_eq!(ground.get(&ground.name("Secret", "b")).await, None);
}

pub(super) async fn a_quota_leaves_changes_and_other_kinds_alone(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "quota-other").await;
    ground.quota(world, json!({"secrets": "1"})).await;
    ground.make(&ground.secret("a")).await;
    accepted(ground.create(&ground.config_map("b", json!({})), Mode::Apply).await);
    let change = json!({"stringData": {"a": "2"}});
    accepted(ground.merge(&ground.name("Secret", "a"), change).await);
}

pub(super) async fn a_quota_has_room_again_after_a_deletion(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "quota-room").await;
    ground.quota(world, json!({"secrets": "1"})).await;
    ground.make(&ground.secret("a")).await;
    let target = ground.name("Secret", "a");
    assert_eq!(ground.delete(&target, Preconditions::default(), Mode::Apply).await, Reply::Deleted);
    for _ in 0..30 {
        if let Reply::Accepted(_) = ground.create(&ground.secret("b"), Mode::Apply).await {
            return;
        }
        world.settle(2).await;
    }
    panic!("a minute after the deletion there is still no room");
}

pub(super) async fn a_quota_counts_objects_of_any_kind(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "quota-count").await;
    ground.quota(world, json!({"count/deployments.apps": "1"})).await;
    ground.make(&ground.deployment("a")).await;
    let message = forbidden(ground.create(&ground.deployment("b"), Mode::Apply).await);
    assert!(
        message.starts_with("deployments.apps \"b\" is forbidden: exceeded quota: quota"),
        "{message}"
    );
}

pub(super) async fn a_quota_adds_up_what_pods_ask_for(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "quota-cpu").await;
    ground.pod(world, "a").await;
    ground.quota(world, json!({"requests.cpu": "150m"})).await;
    assert_eq!(ground.used("requests.cpu").await, json!("100m"));
    let second = ground.object(
        "Pod",
        "b",
        json!({"spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10",
            "resources": {"requests": {"cpu": "100m"}}}]}}),
    );
    let message = forbidden(ground.create(&second, Mode::Apply).await);
    assert_eq!(
        message,
        "pods \"b\" is forbidden: exceeded quota: quota, requested: requests.cpu=100m, used: requests.cpu=100m, limited: requests.cpu=150m"
    );
}

pub(super) async fn a_pod_must_say_what_a_quota_counts(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "quota-unsaid").await;
    ground.pod(world, "a").await;
    ground.quota(world, json!({"requests.memory": "1Gi"})).await;
    let silent = ground.object(
        "Pod",
        "b",
        json!({"spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}}),
    );
    let message = forbidden(ground.create(&silent, Mode::Apply).await);
    assert_eq!(
        message,
        "pods \"b\" is forbidden: failed quota: quota: must specify requests.memory for: main"
    );
}
