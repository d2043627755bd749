use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted};
use crate::{Mode, Object, Preconditions, WriteReply};

impl TestNamespace {
    async fn roll_out(&self, fixture: &mut dyn Fixture, replicas: u32) {
        // If this client can create a pod in the namespace, so can a controller.
        self.pod(fixture, "first").await;
        let mut spec = self.deployment("d").field("spec").cloned().unwrap_or_default();
        spec["replicas"] = replicas.into();
        self.create_as_admin(&self.deployment("d").with_field("spec", spec)).await;
        self.wait_until_observed(fixture).await;
        for _ in 0..60 {
            if self.deployment_pods().await.len() == replicas as usize {
                return;
            }
            fixture.wait(1).await;
        }
        panic!("the Deployment does not have {replicas} pods after one minute");
    }

    /// Waits until the controller has observed the latest generation of the Deployment.
    async fn wait_until_observed(&self, fixture: &mut dyn Fixture) -> Object {
        for _ in 0..30 {
            fixture.wait(2).await;
            let now = self.get_existing(&self.reference("Deployment", "d")).await;
            if now.at("/status/observedGeneration") == Some(&now.metadata().generation.into()) {
                return now;
            }
        }
        panic!("the controller has not observed the Deployment after one minute");
    }

    async fn replica_sets(&self) -> Vec<Object> {
        let selector = crate::Selector::of_labels([("app", "d")]);
        self.list_by("ReplicaSet", selector).await.items
    }

    async fn deployment_pods(&self) -> Vec<Object> {
        self.list_by("Pod", crate::Selector::of_labels([("app", "d")])).await.items
    }
}

fn revision(object: &Object) -> Option<&str> {
    object.metadata().annotations.get("deployment.kubernetes.io/revision").map(String::as_str)
}

pub(super) async fn deployment_creates_replica_set(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "rollout").await;
    ns.roll_out(fixture, 0).await;
    let deployment = ns.get_existing(&ns.reference("Deployment", "d")).await;
    assert_eq!(revision(&deployment), Some("1"));
    let sets = ns.replica_sets().await;
    assert_eq!(sets.len(), 1);
    let hash = sets[0]
        .metadata()
        .labels
        .get("pod-template-hash")
        .expect("a ReplicaSet has the label `pod-template-hash`");
    assert_eq!(sets[0].name(), format!("d-{hash}"));
    assert_eq!(revision(&sets[0]), Some("1"));
    let owner = sets[0].controller().expect("the Deployment is the controller of its ReplicaSet");
    assert_eq!(
        (owner.uid.as_str(), owner.block_owner_deletion),
        (deployment.metadata().uid.as_str(), Some(true))
    );
}

pub(super) async fn template_change_creates_revision(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "rollout-again").await;
    ns.roll_out(fixture, 0).await;
    let first = ns.replica_sets().await.remove(0);
    let target = ns.reference("Deployment", "d");
    let annotate =
        |value: &str| json!({"spec": {"template": {"metadata": {"annotations": {"x": value}}}}});
    accepted(ns.merge(&target, annotate("1")).await);
    let now = ns.wait_until_observed(fixture).await;
    assert_eq!(revision(&now), Some("2"));
    assert_eq!(ns.replica_sets().await.len(), 2);
    let back = json!({"spec": {"template": {"metadata": {"annotations": {"x": null}}}}});
    accepted(ns.merge(&target, back).await);
    ns.wait_until_observed(fixture).await;
    let sets = ns.replica_sets().await;
    assert_eq!(sets.len(), 2, "a previous template reuses its ReplicaSet");
    let again = sets.iter().find(|set| set.metadata().uid == first.metadata().uid);
    assert_eq!(
        again.and_then(revision),
        Some("3"),
        "the reused ReplicaSet gets the latest revision"
    );
}

pub(super) async fn replica_set_creates_and_owns_pods(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "rollout-pods").await;
    ns.roll_out(fixture, 2).await;
    let set = ns.replica_sets().await.remove(0);
    let pods = ns.deployment_pods().await;
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

pub(super) async fn ready_pods_make_deployment_available(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "rollout-serve").await;
    ns.roll_out(fixture, 2).await;
    let is_available =
        |now: &Object| crate::ObjectCondition::of(now, "Available").and_then(|one| one.status);
    let target = ns.reference("Deployment", "d");
    assert_eq!(is_available(&ns.get_existing(&target).await), Some(false));
    for pod in ns.deployment_pods().await {
        ns.mark_pod_ready(&ns.reference("Pod", pod.name())).await;
    }
    for _ in 0..30 {
        fixture.wait(1).await;
        let now = ns.get_existing(&target).await;
        if now.at("/status/availableReplicas") == Some(&json!(2)) {
            assert_eq!(is_available(&now), Some(true));
            return;
        }
    }
    panic!("the Deployment is not available 30 seconds after its pods are ready");
}

pub(super) async fn deployment_deletion_deletes_its_pods(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "rollout-deleted").await;
    ns.roll_out(fixture, 1).await;
    let target = ns.reference("Deployment", "d");
    assert_eq!(
        ns.delete(&target, Preconditions::default(), Mode::Commit).await,
        WriteReply::Deleted
    );
    for _ in 0..60 {
        fixture.wait(2).await;
        if ns.replica_sets().await.is_empty() && ns.deployment_pods().await.is_empty() {
            return;
        }
    }
    panic!("ReplicaSets or pods of the Deployment remain after two minutes");
}

pub(super) async fn deleted_pod_is_replaced(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "rollout-replaced").await;
    ns.roll_out(fixture, 1).await;
    let deleted = ns.deployment_pods().await.remove(0);
    let target = ns.reference("Pod", deleted.name());
    assert_eq!(
        ns.delete(&target, Preconditions::default(), Mode::Commit).await,
        WriteReply::Deleted
    );
    for _ in 0..30 {
        fixture.wait(1).await;
        let pods = ns.deployment_pods().await;
        if pods.iter().any(|pod| pod.metadata().uid != deleted.metadata().uid) {
            return;
        }
    }
    panic!("the deleted pod is not replaced after 30 seconds");
}

pub(super) async fn service_pods_become_endpoints(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "rollout-endpoints").await;
    ns.pod(fixture, "a").await;
    let selector =
        json!({super::test_namespace::CONTRACT_LABEL.0: super::test_namespace::CONTRACT_LABEL.1});
    // Without nodes no pod becomes ready, so a real cluster lists the pod only for a Service with
    // `publishNotReadyAddresses`.
    let spec = json!({"selector": selector, "publishNotReadyAddresses": true, "ports": [{"port": 80, "targetPort": 8080}]});
    let service = json!({"spec": spec});
    ns.create_as_admin(&ns.object("Service", "s", service)).await;
    let condition =
        json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"phase": "Running", "podIP": "10.244.7.7", "podIPs": [{"ip": "10.244.7.7"}], "conditions": [condition]}});
    accepted(
        ns.patch_at(&ns.reference("Pod", "a"), "status", status, Preconditions::default()).await,
    );
    let label = crate::Selector::of_labels([("kubernetes.io/service-name", "s")]);
    for _ in 0..30 {
        fixture.wait(1).await;
        let slices = ns.list_by("EndpointSlice", label.clone()).await.items;
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
    panic!("the pod is not an endpoint after 30 seconds");
}
