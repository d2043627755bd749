//! Tests against a real API server: the contract tests, and conditions that only a real server produces.
//!
//! The environment variable `CHIRON_TEST_KUBECONFIG` contains the path of its kubeconfig.

mod namespace_fixture;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use cluster::{
    ConnectError, KubeCluster, KubeLimits, KubeSource, ListQuery, Mode, Preconditions, Verb,
    WriteReply,
};
use serde_json::{Value, json};

use super::{KubeFixture, check, key};
use namespace_fixture::{NamespaceFixture, refusal_code};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs: kubernetes"]
async fn real_api_server_passes_contract() {
    let fixture = namespace_fixture::connect().await;
    check("kubernetes", 32, || fixture.clone()).await;
}

/// Bad-input row K5: if another client always writes first, the action ends after three new attempts.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn action_fails_after_three_retries_on_conflict() {
    let namespace = NamespaceFixture::new("k5").await;
    let target = namespace.deployment("d").await;
    let competitor = async |n: usize| {
        let patch = json!({"spec": {"minReadySeconds": n}});
        assert!(matches!(namespace.merge(&target, patch).await, WriteReply::Accepted(_)));
    };
    let args = json!({"target": target, "replicas": 2});
    let (end, sent) = namespace.run_action("scale", args, competitor).await;
    assert_eq!(sent, 4, "{end:?}");
    assert_eq!(refusal_code(&end), "conflict");
    assert_eq!(namespace.get_existing(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

/// Bad-input row K6: server-side apply does not take a field from another field manager.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn apply_does_not_take_field_of_other_manager() {
    let namespace = NamespaceFixture::new("k6").await;
    let target = namespace.deployment("d").await;
    let revision = "deployment.kubernetes.io/revision";
    namespace
        .wait_until(&target, |object| object.metadata().annotations.contains_key(revision))
        .await;
    let object = namespace.object("Deployment", "d", json!({}));
    let mut metadata = object.metadata().clone();
    metadata.annotations.insert(revision.into(), "99".into());
    let verb = Verb::Apply(object.with_metadata(metadata));
    let reply = namespace.send(&target, verb, Preconditions::default(), Mode::Commit).await;
    assert!(
        matches!(&reply, WriteReply::Conflict { message } if message.contains("kube-controller-manager")),
        "{reply:?}"
    );
    assert_eq!(namespace.get_existing(&target).await.metadata().annotations[revision], "1");
}

/// Bad-input row K7: a change without permission is refused, so its outcome is known.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn change_with_revoked_permission_is_refused() {
    let namespace = NamespaceFixture::new("k7").await;
    let target = namespace.deployment("d").await;
    namespace.create("ServiceAccount", "robot", json!({})).await;
    let rules =
        json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]}]);
    namespace.create("Role", "robot", json!({"rules": rules})).await;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robot"});
    let subject = json!({"kind": "ServiceAccount", "name": "robot", "namespace": namespace.name});
    let binding = json!({"roleRef": role, "subjects": [subject]});
    let binding = namespace.create("RoleBinding", "robot", binding).await.reference("test");
    let robot = namespace.as_service_account("robot").await;
    let label = |n: usize| {
        namespace_fixture::request(
            &target,
            namespace_fixture::merge(json!({"metadata": {"labels": {"n": n.to_string()}}})),
        )
    };
    namespace
        .wait_for("the role is effective", async || {
            matches!(robot.send(&label(1)).await, WriteReply::Accepted(_))
        })
        .await;
    namespace.delete(&binding).await;
    namespace
        .wait_for("the role binding is deleted", async || {
            matches!(robot.send(&label(2)).await, WriteReply::Refused { code: 403, .. })
        })
        .await;
    let now = namespace.get_existing(&target).await;
    let reply = robot.send(&label(3)).await;
    assert!(
        matches!(&reply, WriteReply::Refused { message, .. } if message.contains("robot")),
        "{reply:?}"
    );
    assert_eq!(namespace.get_existing(&target).await.metadata().labels, now.metadata().labels);
}

/// Bad-input row K8: a change to a deleted object does not affect a new object with the same name.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn recreated_object_is_not_changed() {
    let namespace = NamespaceFixture::new("k8").await;
    let old = namespace.deployment("d").await;
    namespace.delete(&old).await;
    namespace
        .wait_for("the old object is deleted", async || {
            namespace.get(&old.without_uid()).await.is_none()
        })
        .await;
    let new = namespace.deployment("d").await;
    assert_ne!(old.uid, new.uid);
    let preconditions = Preconditions { uid: old.uid.clone(), resource_version: None };
    for verb in [
        namespace_fixture::merge(json!({"spec": {"replicas": 3}})),
        Verb::Patch {
            patch: cluster::Patch::Merge(json!({"spec": {"replicas": 3}})),
            subresource: Some("scale".into()),
        },
        Verb::Delete { grace_seconds: None },
    ] {
        let reply = namespace.send(&old, verb, preconditions.clone(), Mode::Commit).await;
        assert!(matches!(reply, WriteReply::Conflict { .. }), "{reply:?}");
    }
    let args = json!({"target": old, "replicas": 3});
    let (end, sent) = namespace.run_action("scale", args, async |_| {}).await;
    assert_eq!((refusal_code(&end), sent), ("not_found", 0));
    let now = namespace.get_existing(&new).await;
    assert_eq!((now.at("/spec/replicas"), now.metadata().generation), (Some(&json!(0)), 1));
}

/// Bad-input row K9: a pod that has become ready since it was read is not deleted.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn recovered_pod_is_not_deleted() {
    let namespace = NamespaceFixture::new("k9").await;
    let unready = namespace.pod("p", false).await;
    let recovered = namespace.set_ready("p").await;
    let preconditions = Preconditions {
        uid: Some(unready.metadata().uid.clone()),
        resource_version: Some(unready.metadata().resource_version.clone()),
    };
    let target = unready.reference("test");
    for verb in [Verb::Delete { grace_seconds: None }, Verb::Evict] {
        let reply = namespace.send(&target, verb, preconditions.clone(), Mode::Commit).await;
        assert!(matches!(reply, WriteReply::Conflict { .. }), "{reply:?}");
    }
    assert_eq!(namespace.get_existing(&target).await, recovered);
}

/// Bad-input row K10: an eviction that the disruption budget blocks is not replaced by a deletion.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn disruption_budget_blocks_eviction_of_last_pod() {
    let namespace = NamespaceFixture::new("k10").await;
    let pod = namespace.pod("p", true).await.reference("test");
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}});
    let budget = namespace.create("PodDisruptionBudget", "b", json!({"spec": spec})).await;
    let budget = budget.reference("test");
    namespace
        .wait_until(&budget, |budget| budget.at("/status/currentHealthy") == Some(&json!(1)))
        .await;
    let reply = namespace.send(&pod, Verb::Evict, Preconditions::default(), Mode::Commit).await;
    assert!(matches!(reply, WriteReply::Throttled { retry_after_seconds: 1.. }), "{reply:?}");
    let kept = namespace.get_existing(&pod).await;
    assert_eq!(kept.metadata().deletion_timestamp, None);
    namespace.delete(&budget).await;
    namespace
        .wait_for("the budget is deleted", async || {
            namespace.send(&pod, Verb::Evict, Preconditions::default(), Mode::Commit).await
                == WriteReply::Deleted
        })
        .await;
}

/// Bad-input row K12: a dry run detects an admission policy that refuses the change.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn admission_policy_refuses_dry_run_and_action() {
    let namespace = NamespaceFixture::new("k12").await;
    let target = namespace.deployment("d").await;
    namespace.forbid_replicas_above(5).await;
    let six = || namespace_fixture::merge(json!({"spec": {"replicas": 6}}));
    namespace.wait_for("the policy is effective", async || {
        let reply = namespace.send(&target, six(), Preconditions::default(), Mode::DryRun).await;
        matches!(reply, WriteReply::Refused { code: 422, message, .. } if message.contains("no more than 5"))
    })
    .await;
    let args = json!({"target": target, "replicas": 6});
    let (end, _) = namespace.run_action("scale", args, async |_| {}).await;
    assert_eq!(refusal_code(&end), "refused");
    assert_eq!(namespace.get_existing(&target).await.at("/spec/replicas"), Some(&json!(0)));
    let (end, sent) =
        namespace.run_action("scale", json!({"target": target, "replicas": 0}), async |_| {}).await;
    assert!(matches!(end, actions::Next::Done { .. }) && sent == 0, "{end:?}");
}

/// Bad-input row K12: if an admission webhook does not respond, the outcome is unknown until the object is read.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn unresponsive_admission_webhook_leaves_outcome_unknown() {
    let namespace = NamespaceFixture::new("k12-silent").await;
    let target =
        namespace.create("ConfigMap", "c", json!({"data": {"a": "1"}})).await.reference("test");
    // Accepts connections and never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    namespace.add_configmap_webhook(silent.local_addr().unwrap()).await;
    let change = || namespace_fixture::merge(json!({"data": {"a": "2"}}));
    namespace
        .wait_for("the webhook is called", async || {
            let reply =
                namespace.send(&target, change(), Preconditions::default(), Mode::Commit).await;
            matches!(reply, WriteReply::Unknown { .. })
        })
        .await;
    let stored = namespace.get_existing(&target).await;
    let reply = namespace.send(&target, change(), Preconditions::default(), Mode::Commit).await;
    assert!(matches!(reply, WriteReply::Unknown { .. }), "{reply:?}");
    assert_eq!(
        namespace.get_existing(&target).await,
        stored,
        "the read shows that the change was not applied"
    );
}

/// Bad-input row K13: an object whose deletion a finalizer blocks is not changed, and its deletion is not forced.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn terminating_object_is_refused_and_not_forced() {
    let namespace = NamespaceFixture::new("k13").await;
    let target = namespace.deployment("d").await;
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    namespace.merge(&target, hold).await;
    let namespace_ref = cluster::ObjectRef::builtin("test", "Namespace", None, &namespace.name);
    namespace.delete(&namespace_ref).await;
    namespace.wait_until(&target, |object| object.metadata().deletion_timestamp.is_some()).await;
    let (end, sent) =
        namespace.run_action("scale", json!({"target": target, "replicas": 1}), async |_| {}).await;
    assert_eq!((refusal_code(&end), sent), ("terminating", 0));
    let late = namespace.object("ConfigMap", "late", json!({}));
    let reply = namespace
        .send(
            &late.reference("test"),
            Verb::Create(late.clone()),
            Preconditions::default(),
            Mode::Commit,
        )
        .await;
    assert!(
        matches!(&reply, WriteReply::Refused { code: 403, message, .. } if message.contains("terminated")),
        "{reply:?}"
    );
    assert_eq!(namespace.get_existing(&target).await.metadata().finalizers, ["example.com/hold"]);
    namespace.merge(&target, json!({"metadata": {"finalizers": null}})).await;
    namespace
        .wait_for("the namespace is deleted", async || {
            namespace.get(&namespace_ref).await.is_none()
        })
        .await;
}

/// Bad-input row K14: a list of large objects is read in pages within the response limit.
#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn large_objects_are_listed_in_pages_within_limit() {
    let namespace = NamespaceFixture::new("k14").await;
    for n in 0..24 {
        let data = json!({"data": {"a": "x".repeat(200_000)}});
        namespace.create("ConfigMap", &format!("c{n:02}"), data).await;
    }
    let limits = KubeLimits { max_response_bytes: 1 << 20, ..KubeLimits::default() };
    let source = KubeSource::File { path: namespace.fixture.kubeconfig.clone(), context: None };
    let small = KubeCluster::connect("test", &source, key(), limits).await.unwrap();
    let kind = cluster::Kind::builtin("ConfigMap").unwrap();
    let mut query = ListQuery::latest(kind, Some(&namespace.name));
    let (mut found, mut pages) = (0, 0);
    loop {
        let page = cluster::Cluster::list(&small, &query).await.unwrap();
        found += page.items.iter().filter(|object| object.name().starts_with('c')).count();
        pages += 1;
        query.continue_token = page.continue_token;
        if query.continue_token.is_none() {
            break;
        }
    }
    assert_eq!(found, 24);
    assert!(pages >= 5, "{pages} pages of at most 1 MiB");
}

/// Writes a copy of the kubeconfig with its user or cluster changed.
fn changed(kubeconfig: &Path, change: impl Fn(&mut Value, &mut Value)) -> tempfile::NamedTempFile {
    let text = fs::read_to_string(kubeconfig).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let (mut user, mut cluster) =
        (config["users"][0]["user"].take(), config["clusters"][0]["cluster"].take());
    change(&mut user, &mut cluster);
    config["users"][0]["user"] = user;
    config["clusters"][0]["cluster"] = cluster;
    // In the same folder, because the kubeconfig may contain relative paths.
    let file = tempfile::NamedTempFile::new_in(kubeconfig.parent().unwrap()).unwrap();
    fs::write(file.path(), config.to_string()).unwrap();
    file
}

async fn connect(file: &tempfile::NamedTempFile) -> ConnectError {
    let source = KubeSource::File { path: file.path().into(), context: None };
    KubeCluster::connect("test", &source, key(), KubeLimits::default()).await.unwrap_err()
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn unusable_kubeconfig_returns_specific_error() {
    let KubeFixture { kubeconfig, .. } = namespace_fixture::connect().await;
    let stale = changed(&kubeconfig, |user, _| *user = json!({"token": "expired"}));
    let error = connect(&stale).await;
    assert!(matches!(error, ConnectError::Unauthenticated { .. }), "{error}");

    let untrusted = changed(&kubeconfig, |user, cluster| {
        // A certificate that is not the one of the authority.
        for (from, to) in [
            ("client-certificate-data", "certificate-authority-data"),
            ("client-certificate", "certificate-authority"),
        ] {
            if let Some(value) = user.get(from) {
                cluster.as_object_mut().unwrap().retain(|name, _| !name.starts_with("certificate"));
                cluster[to] = value.clone();
            }
        }
    });
    let error = connect(&untrusted).await;
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error}");

    let without_permissions = changed(&kubeconfig, |user, _| {
        user["as"] = "jane".into();
        user["as-groups"] = json!(["system:authenticated"]);
    });
    let error = connect(&without_permissions).await;
    assert!(error.to_string().starts_with("jane is not allowed to list pods"), "{error}");

    // Port 1 is privileged and unused.
    let unreachable =
        changed(&kubeconfig, |_, cluster| cluster["server"] = "https://127.0.0.1:1".into());
    let error = connect(&unreachable).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}
