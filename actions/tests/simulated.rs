//! The actions against the simulated cluster: each is taken, taken again, and turned back.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::sync::{Arc, Mutex};

use actions::{Next, catalogue, inverse, next, target, was_applied};
use cluster::{Agent, Cluster, Consistency, Mode, Object, Reply, Request};
use serde_json::{Value, json};
use simulator::{Interference, SimulatedCluster, World, WorldFile};
use workflow::Args;
use workflow::run::{Applied, ObjectQuery};

const WORLD: &str = r#"
apiVersion: chiron.dev/v1alpha1
kind: World
metadata: {name: actions}
spec:
  objects:
  - {apiVersion: v1, kind: Node, metadata: {name: node-1}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: cart, namespace: shop}, data: {a: "1"}}
  - apiVersion: v1
    kind: Service
    metadata: {name: cart, namespace: shop}
    spec: {selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: cart, namespace: shop}
    spec:
      replicas: 2
      selector: {matchLabels: {app: cart}}
      template:
        metadata: {labels: {app: cart}}
        spec:
          containers:
          - name: main
            image: "cart:1"
            resources: {limits: {memory: 128Mi}}
            readinessProbe: {httpGet: {path: /, port: 8080}}
  images:
    "cart:1": {listens: [{port: 8080, paths: [/]}]}
    "cart:2": {listens: [{port: 8080, paths: [/]}]}
"#;

fn world() -> (Arc<Mutex<World>>, SimulatedCluster) {
    let file = WorldFile::parse(WORLD).unwrap();
    let world = World::new(&file, 1, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
    let world = Arc::new(Mutex::new(world));
    let cluster = SimulatedCluster::new(world.clone(), "sim");
    (world, cluster)
}

fn settle(world: &Arc<Mutex<World>>) {
    let mut world = world.lock().unwrap();
    let until = world.now() + std::time::Duration::from_secs(120);
    world.advance_fully(until);
}

async fn read(cluster: &SimulatedCluster, query: &ObjectQuery) -> Reply {
    match query {
        ObjectQuery::One(object) => cluster
            .get(object, Consistency::Latest)
            .await
            .unwrap()
            .map_or(Reply::Absent, Reply::Found),
        ObjectQuery::Many(query) => Reply::Listed(cluster.list(query).await.unwrap().items),
    }
}

/// Takes an action to its end; an answer that was lost is settled by one read, as the run machine does.
async fn take(cluster: &SimulatedCluster, action: &str, args: &Args, key: &str) -> Next {
    let spec = catalogue().get(action).cloned().unwrap();
    let mut replies = Vec::new();
    loop {
        match next(&spec, args, key, &replies) {
            Next::Read(queries) => {
                for query in &queries {
                    replies.push(read(cluster, query).await);
                }
            }
            Next::Send { target, verb, preconditions } => {
                let agent = Agent { effect_key: key.into(), ..Agent::default() };
                let request = Request { target, verb, preconditions, mode: Mode::Apply, agent };
                let answer = cluster.send(&request).await;
                if !matches!(answer, Reply::Unknown { .. }) {
                    replies.push(answer);
                    continue;
                }
                let seen = read(cluster, &ObjectQuery::One(request.target.clone())).await;
                match was_applied(&request, &seen) {
                    Applied::Yes => replies.push(seen),
                    Applied::No => replies.push(answer),
                    Applied::Unknown => panic!("{action}: the read does not tell"),
                }
            }
            end => return end,
        }
    }
}

fn cases() -> Vec<(&'static str, Args)> {
    let of = |action: &'static str, kind: &str, more: Value| {
        let mut args = Args::from_iter([(
            "target".to_string(),
            json!({"kind": kind, "namespace": "shop", "name": "cart"}),
        )]);
        args.extend(more.as_object().cloned().unwrap());
        (action, args)
    };
    vec![
        of("scale", "Deployment", json!({"replicas": 3})),
        of("set-image", "Deployment", json!({"container": "main", "image": "cart:2"})),
        of("set-env", "Deployment", json!({"container": "main", "name": "A", "value": "1"})),
        of(
            "set-resources",
            "Deployment",
            json!({"container": "main", "limits": {"memory": "256Mi"}}),
        ),
        of(
            "set-probe",
            "Deployment",
            json!({"container": "main", "which": "readiness", "probe": null}),
        ),
        of("rollout-restart", "Deployment", json!({})),
        of("restore-config-key", "ConfigMap", json!({"key": "a", "value": "2"})),
        of("set-service-selector", "Service", json!({"selector": {"app": "cart", "tier": "web"}})),
        of("set-service-port", "Service", json!({"port": "http", "targetPort": 9090})),
    ]
}

async fn object(cluster: &SimulatedCluster, action: &str, args: &Args) -> Object {
    let spec = catalogue().get(action).cloned().unwrap();
    let target = target(&spec, args, "sim").unwrap();
    cluster.get(&target, Consistency::Latest).await.unwrap().unwrap()
}

fn changed(end: &Next) -> (bool, &Value) {
    match end {
        Next::Done { output, prior } => (output["changed"] == true, prior),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_action_is_taken_once_and_turned_back_whatever_becomes_of_the_answer() {
    for interference in [
        Interference::Pass,
        Interference::UnknownBeforeApply,
        Interference::UnknownAfterApply,
        Interference::Conflict,
    ] {
        for (action, args) in cases() {
            let (world, cluster) = world();
            settle(&world);
            let before = object(&cluster, action, &args).await;
            world.lock().unwrap().inject([interference]);
            let end = take(&cluster, action, &args, "step").await;
            assert!(changed(&end).0, "{action} {interference:?}");
            settle(&world);
            assert!(!changed(&take(&cluster, action, &args, "step").await).0, "{action}: again");
            assert_eq!(
                world.lock().unwrap().effects().get("step"),
                Some(&1),
                "{action} {interference:?}"
            );

            let spec = catalogue().get(action).cloned().unwrap();
            let undo = inverse(&spec, &args, changed(&end).1);
            assert_eq!(undo.is_some(), spec.has_inverse, "{action}");
            let Some((back, undo)) = undo else { continue };
            assert!(changed(&take(&cluster, &back, &undo, "undo").await).0, "{action}: back");
            let after = object(&cluster, action, &args).await;
            for field in ["spec", "data"] {
                assert_eq!(after.field(field), before.field(field), "{action} {interference:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_rollout_is_undone_to_an_explicit_revision_and_the_undo_is_undone() {
    let (world, cluster) = world();
    settle(&world);
    let of = |value: Value| value.as_object().cloned().unwrap();
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let image = of(json!({"target": cart, "container": "main", "image": "cart:2"}));
    assert!(changed(&take(&cluster, "set-image", &image, "a").await).0);
    settle(&world);
    let undo = of(json!({"target": cart, "revision": 1}));
    let end = take(&cluster, "rollout-undo", &undo, "b").await;
    assert!(changed(&end).0);
    settle(&world);
    let image_now =
        |object: &Object| object.at("/spec/template/spec/containers/0/image").cloned().unwrap();
    assert_eq!(image_now(&object(&cluster, "rollout-undo", &undo).await), "cart:1");
    assert!(!changed(&take(&cluster, "rollout-undo", &undo, "b").await).0, "again");
    let spec = catalogue().get("rollout-undo").cloned().unwrap();
    let (action, back) = inverse(&spec, &undo, changed(&end).1).unwrap();
    assert!(changed(&take(&cluster, &action, &back, "c").await).0);
    assert_eq!(image_now(&object(&cluster, "rollout-undo", &undo).await), "cart:2");
}

#[tokio::test]
async fn default_postconditions_hold_in_the_simulated_cluster_once_it_is_well() {
    let (world, cluster) = world();
    settle(&world);
    for (action, args) in cases() {
        let spec = catalogue().get(action).cloned().unwrap();
        for condition in actions::default_postconditions(&spec, &args, None) {
            let (name, read) = condition.read.iter().next().unwrap();
            let workflow::Read::Object { .. } = read else { continue };
            let seen = object(&cluster, action, &args).await.to_value();
            let verdict = condition.check.judge(&[(name.clone(), seen)].into_iter().collect());
            assert_eq!(verdict, workflow::Verdict::True, "{action}: {:?}", condition.name);
        }
    }
}
