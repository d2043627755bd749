use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, UNKNOWN_UID, accepted, conflict, uid_is};
use crate::{Mode, Object, ObjectRef, Preconditions, Verb, WriteReply};

impl TestNamespace {
    /// Creates a pod as soon as the namespace accepts pods.
    pub(super) async fn pod(&self, fixture: &mut dyn Fixture, name: &str) -> Object {
        let container = json!({"name": "main", "image": "registry.k8s.io/pause:3.10",
            "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}});
        let pod = self.object("Pod", name, json!({"spec": {"containers": [container]}}));
        for _ in 0..60 {
            match super::test_namespace::create(&*self.admin, &pod, Mode::Commit).await {
                WriteReply::Accepted(pod) => return pod,
                // A real cluster creates the default service account of a namespace asynchronously.
                WriteReply::Refused { code: 403, message, .. }
                    if message.contains("serviceaccount") =>
                {
                    fixture.wait(1).await;
                }
                other => panic!("the pod {name} cannot be created: {other:?}"),
            }
        }
        panic!("the namespace {} is not ready for pods after a minute", self.namespace);
    }

    /// Sets the status of a pod to running and ready, as its kubelet would.
    pub(super) async fn mark_pod_ready(&self, pod: &ObjectRef) {
        let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"phase": "Running", "conditions": [condition]}});
        accepted(self.patch_at(pod, "status", status, Preconditions::default()).await);
    }

    /// Creates two ready pods, and a disruption budget with `minAvailable: 1` for them.
    async fn create_pods_with_budget(&self, fixture: &mut dyn Fixture) {
        for name in ["a", "b"] {
            self.pod(fixture, name).await;
            self.mark_pod_ready(&self.reference("Pod", name)).await;
        }
        let selector = json!({"matchLabels": {super::test_namespace::CONTRACT_LABEL.0: super::test_namespace::CONTRACT_LABEL.1}});
        let spec = json!({"spec": {"minAvailable": 1, "selector": selector}});
        self.create_as_admin(&self.object("PodDisruptionBudget", "budget", spec)).await;
        for _ in 0..30 {
            fixture.wait(2).await;
            if self.budget_status("disruptionsAllowed").await == json!(1) {
                return;
            }
        }
        panic!("the budget allows no disruption after one minute");
    }

    async fn budget_status(&self, name: &str) -> Value {
        let budget = self.get_existing(&self.reference("PodDisruptionBudget", "budget")).await;
        budget.at(&format!("/status/{name}")).cloned().unwrap_or_default()
    }

    async fn evict(&self, pod: &str, mode: Mode) -> WriteReply {
        self.send(&self.reference("Pod", pod), Verb::Evict, Preconditions::default(), mode).await
    }
}

pub(super) async fn eviction_deletes_pod(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "evict-pod").await;
    ns.pod(fixture, "a").await;
    assert_eq!(ns.evict("a", Mode::Commit).await, WriteReply::Deleted);
    assert!(super::delete::wait_until_deleted(fixture, &ns, &ns.reference("Pod", "a")).await);
}

pub(super) async fn disruption_budget_reports_allowed_disruptions(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "budget").await;
    ns.create_pods_with_budget(fixture).await;
    assert_eq!(ns.budget_status("currentHealthy").await, json!(2));
    assert_eq!(ns.budget_status("desiredHealthy").await, json!(1));
    assert_eq!(ns.budget_status("expectedPods").await, json!(2));
    let budget = ns.get_existing(&ns.reference("PodDisruptionBudget", "budget")).await;
    assert_eq!(budget.at("/status/observedGeneration"), Some(&json!(1)));
    let allowed = crate::ObjectCondition::of(&budget, "DisruptionAllowed")
        .expect("a budget has the condition `DisruptionAllowed`");
    assert_eq!(allowed.status, Some(true));
}

pub(super) async fn disruption_budget_blocks_eviction_of_last_pod(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "budget-last").await;
    ns.create_pods_with_budget(fixture).await;
    assert_eq!(ns.evict("a", Mode::Commit).await, WriteReply::Deleted);
    let second = ns.evict("b", Mode::Commit).await;
    assert!(
        matches!(second, WriteReply::Throttled { .. }),
        "the budget should block the eviction: {second:?}"
    );
    fixture.wait(5).await;
    let later = ns.evict("b", Mode::Commit).await;
    assert!(
        matches!(later, WriteReply::Throttled { .. }),
        "the budget should still block the eviction: {later:?}"
    );
    assert!(ns.get(&ns.reference("Pod", "b")).await.is_some());
}

pub(super) async fn disruption_budget_does_not_block_delete(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "budget-delete").await;
    ns.create_pods_with_budget(fixture).await;
    for name in ["a", "b"] {
        let reply =
            ns.delete(&ns.reference("Pod", name), Preconditions::default(), Mode::Commit).await;
        assert_eq!(reply, WriteReply::Deleted);
    }
}

pub(super) async fn pending_pod_is_evicted_despite_budget(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "budget-pending").await;
    ns.create_pods_with_budget(fixture).await;
    ns.pod(fixture, "c").await;
    assert_eq!(ns.evict("a", Mode::Commit).await, WriteReply::Deleted);
    assert_eq!(ns.evict("c", Mode::Commit).await, WriteReply::Deleted);
}

pub(super) async fn dry_run_evict_evicts_nothing(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "evict-dry").await;
    ns.pod(fixture, "a").await;
    assert_eq!(ns.evict("a", Mode::DryRun).await, WriteReply::Deleted);
    assert!(ns.get(&ns.reference("Pod", "a")).await.is_some());
}

pub(super) async fn eviction_with_other_uid_is_a_conflict(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "evict-uid").await;
    let pod = ns.pod(fixture, "a").await;
    let target = ns.reference("Pod", "a");
    conflict(&ns.send(&target, Verb::Evict, uid_is(UNKNOWN_UID), Mode::Commit).await);
    assert!(ns.get(&target).await.is_some());
    let right = uid_is(&pod.metadata().uid);
    assert_eq!(ns.send(&target, Verb::Evict, right, Mode::Commit).await, WriteReply::Deleted);
}
