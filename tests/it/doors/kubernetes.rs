//! What needs a real API server, whose kubeconfig the environment names: the third door, and bad input that only a real
//! server can give.

mod place;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use cluster::{
    ConnectError, KubeCluster, KubeLimits, KubeSource, ListQuery, Mode, Preconditions, Reply, Verb,
};
use serde_json::{Value, json};

use super::{Reached, check, key};
use place::{Place, refused_code};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs: kubernetes"]
async fn a_real_api_server_keeps_every_promise() {
    let reached = place::real().await;
    check("kubernetes", 32, || reached.clone()).await;
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k5_a_writer_who_is_always_first_ends_the_attempt_after_three_looks_again() {
    let place = Place::new("k5").await;
    let target = place.deployment("d").await;
    let competitor = async |n: usize| {
        let patch = json!({"spec": {"minReadySeconds": n}});
        assert!(matches!(place.merge(&target, patch).await, Reply::Accepted(_)));
    };
    let args = json!({"target": target, "replicas": 2});
    let (end, sent) = place.follow("scale", args, competitor).await;
    assert_eq!(sent, 4, "{end:?}");
    assert_eq!(refused_code(&end), "conflict");
    assert_eq!(place.found(&target).await.at("/spec/replicas"), Some(&json!(0)));
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k6_a_field_of_another_manager_is_not_taken_from_it() {
    let place = Place::new("k6").await;
    let target = place.deployment("d").await;
    let revision = "deployment.kubernetes.io/revision";
    place.until(&target, |object| object.metadata().annotations.contains_key(revision)).await;
    let ours = place.object("Deployment", "d", json!({}));
    let mut metadata = ours.metadata().clone();
    metadata.annotations.insert(revision.into(), "99".into());
    let verb = Verb::Apply(ours.with_metadata(metadata));
    let reply = place.send(&target, verb, Preconditions::default(), Mode::Apply).await;
    assert!(
        matches!(&reply, Reply::Conflict { message } if message.contains("kube-controller-manager")),
        "{reply:?}"
    );
    assert_eq!(place.found(&target).await.metadata().annotations[revision], "1");
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k7_a_permission_that_is_taken_away_is_a_definite_failure() {
    let place = Place::new("k7").await;
    let target = place.deployment("d").await;
    place.make("ServiceAccount", "robot", json!({})).await;
    let rules =
        json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]}]);
    place.make("Role", "robot", json!({"rules": rules})).await;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robot"});
    let subject = json!({"kind": "ServiceAccount", "name": "robot", "namespace": place.namespace});
    let binding = json!({"roleRef": role, "subjects": [subject]});
    let binding = place.make("RoleBinding", "robot", binding).await.reference("test");
    let robot = place.account("robot").await;
    let label = |n: usize| {
        place::request(&target, place::merge(json!({"metadata": {"labels": {"n": n.to_string()}}})))
    };
    place
        .within("the role is in force", async || {
            matches!(robot.send(&label(1)).await, Reply::Accepted(_))
        })
        .await;
    place.delete(&binding).await;
    place
        .within("the role is gone", async || {
            matches!(robot.send(&label(2)).await, Reply::Refused { code: 403, .. })
        })
        .await;
    let now = place.found(&target).await;
    let reply = robot.send(&label(3)).await;
    assert!(
        matches!(&reply, Reply::Refused { message, .. } if message.contains("robot")),
        "{reply:?}"
    );
    assert_eq!(place.found(&target).await.metadata().labels, now.metadata().labels);
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k8_an_object_made_again_under_the_same_name_is_not_touched() {
    let place = Place::new("k8").await;
    let old = place.deployment("d").await;
    place.delete(&old).await;
    place.within("the name is free", async || place.get(&old.without_uid()).await.is_none()).await;
    let new = place.deployment("d").await;
    assert_ne!(old.uid, new.uid);
    let demand = Preconditions { uid: old.uid.clone(), resource_version: None };
    for verb in [
        place::merge(json!({"spec": {"replicas": 3}})),
        Verb::Patch {
            patch: cluster::Patch::Merge(json!({"spec": {"replicas": 3}})),
            subresource: Some("scale".into()),
        },
        Verb::Delete { grace_seconds: None },
    ] {
        let reply = place.send(&old, verb, demand.clone(), Mode::Apply).await;
        assert!(matches!(reply, Reply::Conflict { .. }), "{reply:?}");
    }
    let args = json!({"target": old, "replicas": 3});
    let (end, sent) = place.follow("scale", args, async |_| {}).await;
    assert_eq!((refused_code(&end), sent), ("not-found", 0));
    let now = place.found(&new).await;
    assert_eq!((now.at("/spec/replicas"), now.metadata().generation), (Some(&json!(0)), 1));
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k9_a_pod_that_recovered_since_it_was_seen_is_not_deleted() {
    let place = Place::new("k9").await;
    let seen = place.pod("p", false).await;
    let recovered = place.ready("p").await;
    let demand = Preconditions {
        uid: Some(seen.metadata().uid.clone()),
        resource_version: Some(seen.metadata().resource_version.clone()),
    };
    let target = seen.reference("test");
    for verb in [Verb::Delete { grace_seconds: None }, Verb::Evict] {
        let reply = place.send(&target, verb, demand.clone(), Mode::Apply).await;
        assert!(matches!(reply, Reply::Conflict { .. }), "{reply:?}");
    }
    assert_eq!(place.found(&target).await, recovered);
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k10_a_disruption_budget_keeps_the_last_pod_and_nothing_is_deleted_instead() {
    let place = Place::new("k10").await;
    let pod = place.pod("p", true).await.reference("test");
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}});
    let budget = place.make("PodDisruptionBudget", "b", json!({"spec": spec})).await;
    let budget = budget.reference("test");
    place.until(&budget, |budget| budget.at("/status/currentHealthy") == Some(&json!(1))).await;
    let reply = place.send(&pod, Verb::Evict, Preconditions::default(), Mode::Apply).await;
    assert!(matches!(reply, Reply::Throttled { retry_after_seconds: 1.. }), "{reply:?}");
    let kept = place.found(&pod).await;
    assert_eq!(kept.metadata().deletion_timestamp, None);
    place.delete(&budget).await;
    place
        .within("the budget is gone", async || {
            place.send(&pod, Verb::Evict, Preconditions::default(), Mode::Apply).await
                == Reply::Deleted
        })
        .await;
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k12_an_admission_policy_that_refuses_is_met_in_the_dry_run_and_changes_nothing() {
    let place = Place::new("k12").await;
    let target = place.deployment("d").await;
    place.forbid_replicas_above(5).await;
    let six = || place::merge(json!({"spec": {"replicas": 6}}));
    place.within("the policy is in force", async || {
        let reply = place.send(&target, six(), Preconditions::default(), Mode::DryRun).await;
        matches!(reply, Reply::Refused { code: 422, message, .. } if message.contains("no more than 5"))
    })
    .await;
    let args = json!({"target": target, "replicas": 6});
    let (end, _) = place.follow("scale", args, async |_| {}).await;
    assert_eq!(refused_code(&end), "refused");
    assert_eq!(place.found(&target).await.at("/spec/replicas"), Some(&json!(0)));
    let (end, sent) =
        place.follow("scale", json!({"target": target, "replicas": 0}), async |_| {}).await;
    assert!(matches!(end, actions::Next::Done { .. }) && sent == 0, "{end:?}");
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k12_an_admission_webhook_that_never_answers_leaves_the_outcome_unknown() {
    let place = Place::new("k12-silent").await;
    let target = place.make("ConfigMap", "c", json!({"data": {"a": "1"}})).await.reference("test");
    // Connections are taken, and nothing is ever said.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    place.ask_before_configmaps(silent.local_addr().unwrap()).await;
    let change = || place::merge(json!({"data": {"a": "2"}}));
    place
        .within("the webhook is asked", async || {
            let reply = place.send(&target, change(), Preconditions::default(), Mode::Apply).await;
            matches!(reply, Reply::Unknown { .. })
        })
        .await;
    let stored = place.found(&target).await;
    let reply = place.send(&target, change(), Preconditions::default(), Mode::Apply).await;
    assert!(matches!(reply, Reply::Unknown { .. }), "{reply:?}");
    assert_eq!(place.found(&target).await, stored, "a read tells that it was not applied");
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k13_a_deletion_that_is_held_is_seen_and_never_forced() {
    let place = Place::new("k13").await;
    let target = place.deployment("d").await;
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    place.merge(&target, hold).await;
    let namespace = cluster::ObjectRef::builtin("test", "Namespace", None, &place.namespace);
    place.delete(&namespace).await;
    place.until(&target, |object| object.metadata().deletion_timestamp.is_some()).await;
    let (end, sent) =
        place.follow("scale", json!({"target": target, "replicas": 1}), async |_| {}).await;
    assert_eq!((refused_code(&end), sent), ("terminating", 0));
    let late = place.object("ConfigMap", "late", json!({}));
    let reply = place
        .send(
            &late.reference("test"),
            Verb::Create(late.clone()),
            Preconditions::default(),
            Mode::Apply,
        )
        .await;
    assert!(
        matches!(&reply, Reply::Refused { code: 403, message, .. } if message.contains("terminated")),
        "{reply:?}"
    );
    assert_eq!(place.found(&target).await.metadata().finalizers, ["example.com/hold"]);
    place.merge(&target, json!({"metadata": {"finalizers": null}})).await;
    place.within("the namespace goes", async || place.get(&namespace).await.is_none()).await;
}

#[tokio::test]
#[ignore = "needs: kubernetes"]
async fn k14_a_list_of_large_objects_is_read_in_pages_that_fit() {
    let place = Place::new("k14").await;
    for n in 0..24 {
        let data = json!({"data": {"a": "x".repeat(200_000)}});
        place.make("ConfigMap", &format!("c{n:02}"), data).await;
    }
    let limits = KubeLimits { answer_bytes: 1 << 20, ..KubeLimits::default() };
    let source = KubeSource::File { path: place.reached.kubeconfig.clone(), context: None };
    let small = KubeCluster::connect("test", &source, key(), limits).await.unwrap();
    let kind = cluster::Kind::builtin("ConfigMap").unwrap();
    let mut query = ListQuery::latest(kind, Some(&place.namespace));
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
    assert!(pages >= 5, "{pages} pages of at most a mebibyte");
}

/// The kubeconfig with its one user or its one cluster changed.
fn changed(kubeconfig: &Path, change: impl Fn(&mut Value, &mut Value)) -> tempfile::NamedTempFile {
    let text = fs::read_to_string(kubeconfig).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let (mut user, mut cluster) =
        (config["users"][0]["user"].take(), config["clusters"][0]["cluster"].take());
    change(&mut user, &mut cluster);
    config["users"][0]["user"] = user;
    config["clusters"][0]["cluster"] = cluster;
    // Beside the first, for it may name files by relative paths.
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
async fn a_kubeconfig_that_does_not_fit_the_cluster_is_said_with_the_way_out() {
    let Reached { kubeconfig, .. } = place::real().await;
    let stale = changed(&kubeconfig, |user, _| *user = json!({"token": "expired"}));
    let error = connect(&stale).await;
    assert!(matches!(error, ConnectError::Unauthenticated { .. }), "{error}");

    let foreign = changed(&kubeconfig, |user, cluster| {
        // Some certificate, and not the authority's.
        for (ours, theirs) in [
            ("client-certificate-data", "certificate-authority-data"),
            ("client-certificate", "certificate-authority"),
        ] {
            if let Some(value) = user.get(ours) {
                cluster.as_object_mut().unwrap().retain(|name, _| !name.starts_with("certificate"));
                cluster[theirs] = value.clone();
            }
        }
    });
    let error = connect(&foreign).await;
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error}");

    let nobody = changed(&kubeconfig, |user, _| {
        user["as"] = "jane".into();
        user["as-groups"] = json!(["system:authenticated"]);
    });
    let error = connect(&nobody).await;
    assert!(error.to_string().starts_with("jane may not even list pods"), "{error}");

    // Nobody but root listens on the first port, and nobody does.
    let away = changed(&kubeconfig, |_, cluster| cluster["server"] = "https://127.0.0.1:1".into());
    let error = connect(&away).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}
