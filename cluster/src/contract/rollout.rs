use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, accepted};
use crate::{Mode, Object, Preconditions, Reply};

impl Ground {
    async fn rolled_out(&self, world: &mut dyn Fixture, replicas: u32) {
        // Once a pod can be made, a controller can make pods too.
        self.pod(world, "first").await;
        let mut spec = self.deployment("d").field("spec").cloned().unwrap_or_default();
        spec["replicas"] = replicas.into();
        self.make(&self.deployment("d").with_field("spec", spec)).await;
        self.observed(world).await;
        for _ in 0..60 {
            if self.replicas().await.len() == replicas as usize {
                return;
            }
            world.settle(1).await;
        }
        panic!("a minute later there are still not {replicas} pods");
    }

    /// Waits until the Deployment's controller has seen its latest spec.
    async fn observed(&self, world: &mut dyn Fixture) -> Object {
        for _ in 0..30 {
            world.settle(2).await;
            let now = self.found(&self.name("Deployment", "d")).await;
            if now.at("/status/observedGeneration") == Some(&now.metadata().generation.into()) {
                return now;
            }
        }
        panic!("a minute later the controller has still not seen the Deployment");
    }

    async fn sets(&self) -> Vec<Object> {
        let selector = crate::Selector::of_labels([("app", "d")]);
        self.list_by("ReplicaSet", selector).await.items
    }

    async fn replicas(&self) -> Vec<Object> {
        self.list_by("Pod", crate::Selector::of_labels([("app", "d")])).await.items
    }
}

fn revision(object: &Object) -> Option<&str> {
    object.metadata().annotations.get("deployment.kubernetes.io/revision").map(String::as_str)
}

pub(super) async fn a_deployment_gets_a_replica_set_of_its_template(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "rollout").await;
    ground.rolled_out(world, 0).await;
    let deployment = ground.found(&ground.name("Deployment", "d")).await;
    assert_eq!(revision(&deployment), Some("1"));
    let sets = ground.sets().await;
    assert_eq!(sets.len(), 1);
    let hash =
        sets[0].metadata().labels.get("pod-template-hash").expect("its label tells the template");
    assert_eq!(sets[0].name(), format!("d-{hash}"));
    assert_eq!(revision(&sets[0]), Some("1"));
    let owner = sets[0].controller().expect("the Deployment controls it");
    assert_eq!(
        (owner.uid.as_str(), owner.block_owner_deletion),
        (deployment.metadata().uid.as_str(), Some(true))
    );
}

pub(super) async fn another_template_is_another_revision(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "rollout-again").await;
    ground.rolled_out(world, 0).await;
    let first = ground.sets().await.remove(0);
    let target = ground.name("Deployment", "d");
    let annotate =
        |value: &str| json!({"spec": {"template": {"metadata": {"annotations": {"x": value}}}}});
    accepted(ground.merge(&target, annotate("1")).await);
    let now = ground.observed(world).await;
    assert_eq!(revision(&now), Some("2"));
    assert_eq!(ground.sets().await.len(), 2);
    let back = json!({"spec": {"template": {"metadata": {"annotations": {"x": null}}}}});
    accepted(ground.merge(&target, back).await);
    ground.observed(world).await;
    let sets = ground.sets().await;
    assert_eq!(sets.len(), 2, "a template that was there before needs no new set");
    let again = sets.iter().find(|set| set.metadata().uid == first.metadata().uid);
    assert_eq!(again.and_then(revision), Some("3"), "it is the latest revision now");
}

pub(super) async fn a_deployment_makes_pods_that_its_set_owns(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "rollout-pods").await;
    ground.rolled_out(world, 2).await;
    let set = ground.sets().await.remove(0);
    let pods = ground.replicas().await;
    assert_eq!(pods.len(), 2);
    for pod in &pods {
        assert!(pod.name().starts_with(&format!("{}-", set.name())));
        assert_eq!(
            pod.controller().map(|owner| owner.uid.as_str()),
            Some(set.metadata().uid.as_str())
        );
        assert_eq!(
            pod.metadata().labels.get("pod-template-hash"),
            set.metadata().labels.get("pod-template-hash")
        );
    }
}

pub(super) async fn pods_that_serve_make_a_deployment_available(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "rollout-serve").await;
    ground.rolled_out(world, 2).await;
    let is_available =
        |now: &Object| crate::Condition::of(now, "Available").and_then(|one| one.holds);
    let target = ground.name("Deployment", "d");
    assert_eq!(is_available(&ground.found(&target).await), Some(false));
    for pod in ground.replicas().await {
        ground.serve(&ground.name("Pod", pod.name())).await;
    }
    for _ in 0..30 {
        world.settle(1).await;
        let now = ground.found(&target).await;
        if now.at("/status/availableReplicas") == Some(&json!(2)) {
            assert_eq!(is_available(&now), Some(true));
            return;
        }
    }
    panic!("its pods serve, and half a minute later it is still not available");
}

pub(super) async fn a_deployment_that_goes_takes_its_pods(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "rollout-gone").await;
    ground.rolled_out(world, 1).await;
    let target = ground.name("Deployment", "d");
    assert_eq!(ground.delete(&target, Preconditions::default(), Mode::Apply).await, Reply::Deleted);
    for _ in 0..60 {
        world.settle(2).await;
        if ground.sets().await.is_empty() && ground.replicas().await.is_empty() {
            return;
        }
    }
    panic!("two minutes later something of it is still there");
}

pub(super) async fn a_lost_pod_is_replaced(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "rollout-lost").await;
    ground.rolled_out(world, 1).await;
    let lost = ground.replicas().await.remove(0);
    let target = ground.name("Pod", lost.name());
    assert_eq!(ground.delete(&target, Preconditions::default(), Mode::Apply).await, Reply::Deleted);
    for _ in 0..30 {
        world.settle(1).await;
        let pods = ground.replicas().await;
        if pods.iter().any(|pod| pod.metadata().uid != lost.metadata().uid) {
            return;
        }
    }
    panic!("half a minute later the lost pod is still not replaced");
}

pub(super) async fn the_pods_of_a_service_become_its_endpoints(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "rollout-endpoints").await;
    ground.pod(world, "a").await;
    let selector = json!({super::ground::MINE.0: super::ground::MINE.1});
    // Without nodes, a real cluster lists only pods of a Service that wants even those that are not ready.
    let spec = json!({"selector": selector, "publishNotReadyAddresses": true, "ports": [{"port": 80, "targetPort": 8080}]});
    let service = json!({"spec": spec});
    ground.make(&ground.object("Service", "s", service)).await;
    let condition =
        json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"phase": "Running", "podIP": "10.244.7.7", "podIPs": [{"ip": "10.244.7.7"}], "conditions": [condition]}});
    accepted(
        ground.patch_at(&ground.name("Pod", "a"), "status", status, Preconditions::default()).await,
    );
    let label = crate::Selector::of_labels([("kubernetes.io/service-name", "s")]);
    for _ in 0..30 {
        world.settle(1).await;
        let slices = ground.list_by("EndpointSlice", label.clone()).await.items;
        let endpoints =
            slices.iter().filter_map(|slice| slice.field("endpoints")?.as_array()).flatten();
        let mut addresses = endpoints.filter_map(|endpoint| endpoint["addresses"][0].as_str());
        if addresses.any(|address| address == "10.244.7.7") {
            let ports: Vec<&Value> =
                slices.iter().filter_map(|slice| slice.at("/ports/0/port")).collect();
            assert_eq!(ports, [&json!(8080)]);
            return;
        }
    }
    panic!("half a minute later the pod is still no endpoint");
}
