use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, NOBODY, accepted, conflict, uid_is};
use crate::{Mode, Object, ObjectRef, Preconditions, Reply, Verb};

impl Ground {
    /// Makes a pod, as soon as the namespace is ready for pods.
    pub(super) async fn pod(&self, world: &mut dyn Fixture, name: &str) -> Object {
        let container = json!({"name": "main", "image": "registry.k8s.io/pause:3.10",
            "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}});
        let pod = self.object("Pod", name, json!({"spec": {"containers": [container]}}));
        for _ in 0..60 {
            match super::ground::create(&*self.admin, &pod, Mode::Apply).await {
                Reply::Accepted(pod) => return pod,
                // A real cluster gives each namespace a service account first.
                Reply::Refused { code: 403, message, .. } if message.contains("serviceaccount") => {
                    world.settle(1).await;
                }
                other => panic!("the pod {name} cannot be made: {other:?}"),
            }
        }
        panic!("the namespace {} is not ready for pods after a minute", self.namespace);
    }

    /// Writes that a pod runs and serves, as its node would.
    pub(super) async fn serve(&self, pod: &ObjectRef) {
        let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"phase": "Running", "conditions": [condition]}});
        accepted(self.patch_at(pod, "status", status, Preconditions::default()).await);
    }

    /// Two pods that serve, and a budget that keeps one of them.
    async fn guarded(&self, world: &mut dyn Fixture) {
        for name in ["a", "b"] {
            self.pod(world, name).await;
            self.serve(&self.name("Pod", name)).await;
        }
        let selector = json!({"matchLabels": {super::ground::MINE.0: super::ground::MINE.1}});
        let spec = json!({"spec": {"minAvailable": 1, "selector": selector}});
        self.make(&self.object("PodDisruptionBudget", "budget", spec)).await;
        for _ in 0..30 {
            world.settle(2).await;
            if self.figure("disruptionsAllowed").await == json!(1) {
                return;
            }
        }
        panic!("a minute later the budget still allows nothing");
    }

    async fn figure(&self, name: &str) -> Value {
        let budget = self.found(&self.name("PodDisruptionBudget", "budget")).await;
        budget.at(&format!("/status/{name}")).cloned().unwrap_or_default()
    }

    async fn evict(&self, pod: &str, mode: Mode) -> Reply {
        self.send(&self.name("Pod", pod), Verb::Evict, Preconditions::default(), mode).await
    }
}

pub(super) async fn eviction_takes_a_pod(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "evict-pod").await;
    ground.pod(world, "a").await;
    assert_eq!(ground.evict("a", Mode::Apply).await, Reply::Deleted);
    assert!(super::delete::gone(world, &ground, &ground.name("Pod", "a")).await);
}

pub(super) async fn a_budget_tells_how_many_pods_may_go(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "budget").await;
    ground.guarded(world).await;
    assert_eq!(ground.figure("currentHealthy").await, json!(2));
    assert_eq!(ground.figure("desiredHealthy").await, json!(1));
    assert_eq!(ground.figure("expectedPods").await, json!(2));
    let budget = ground.found(&ground.name("PodDisruptionBudget", "budget")).await;
    assert_eq!(budget.at("/status/observedGeneration"), Some(&json!(1)));
    let allowed =
        crate::Condition::of(&budget, "DisruptionAllowed").expect("it says so in a condition");
    assert_eq!(allowed.holds, Some(true));
}

pub(super) async fn a_budget_keeps_the_last_pod(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "budget-last").await;
    ground.guarded(world).await;
    assert_eq!(ground.evict("a", Mode::Apply).await, Reply::Deleted);
    let second = ground.evict("b", Mode::Apply).await;
    assert!(matches!(second, Reply::Throttled { .. }), "the budget should keep it: {second:?}");
    world.settle(5).await;
    let later = ground.evict("b", Mode::Apply).await;
    assert!(matches!(later, Reply::Throttled { .. }), "the budget should still keep it: {later:?}");
    assert!(ground.get(&ground.name("Pod", "b")).await.is_some());
}

pub(super) async fn a_budget_keeps_nothing_from_being_deleted(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "budget-delete").await;
    ground.guarded(world).await;
    for name in ["a", "b"] {
        let reply =
            ground.delete(&ground.name("Pod", name), Preconditions::default(), Mode::Apply).await;
        assert_eq!(reply, Reply::Deleted);
    }
}

pub(super) async fn a_pod_that_never_ran_is_evicted_past_its_budget(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "budget-pending").await;
    ground.guarded(world).await;
    ground.pod(world, "c").await;
    assert_eq!(ground.evict("a", Mode::Apply).await, Reply::Deleted);
    assert_eq!(ground.evict("c", Mode::Apply).await, Reply::Deleted);
}

pub(super) async fn a_dry_run_evicts_nothing(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "evict-dry").await;
    ground.pod(world, "a").await;
    assert_eq!(ground.evict("a", Mode::DryRun).await, Reply::Deleted);
    assert!(ground.get(&ground.name("Pod", "a")).await.is_some());
}

pub(super) async fn eviction_with_a_stale_uid_is_a_conflict(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "evict-uid").await;
    let pod = ground.pod(world, "a").await;
    let target = ground.name("Pod", "a");
    conflict(&ground.send(&target, Verb::Evict, uid_is(NOBODY), Mode::Apply).await);
    assert!(ground.get(&target).await.is_some());
    let right = uid_is(&pod.metadata().uid);
    assert_eq!(ground.send(&target, Verb::Evict, right, Mode::Apply).await, Reply::Deleted);
}
