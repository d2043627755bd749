//! The actions against the simulated cluster: each is run, repeated, and undone.
#![allow(clippy::unwrap_used, reason = "a test may panic on unexpected values")]

use std::sync::{Arc, Mutex};

use actions::{Next, Reply, catalogue, inverse, next, target, was_applied};
use cluster::{Agent, Cluster, Consistency, Mode, Object, ReadReply, Request, WriteReply, read};
use serde_json::{Value, json};
use simulator::{InjectedReply, SimulatedCluster, World, WorldFile};
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

/// Runs an action to its end; a lost response is resolved by one read, as in the run state machine.
async fn run(cluster: &SimulatedCluster, action: &str, args: &Args, key: &str) -> Next {
    let spec = catalogue().get(action).cloned().unwrap();
    let mut replies = Vec::new();
    loop {
        match next(&spec, args, key, &replies) {
            Next::Read(queries) => {
                for query in &queries {
                    replies.push(Reply::Read(read(cluster, query).await));
                }
            }
            Next::Send { target, verb, preconditions } => {
                let agent = Agent { effect_key: key.into(), ..Agent::default() };
                let request = Request { target, verb, preconditions, mode: Mode::Commit, agent };
                let reply = cluster.send(&request).await;
                if !matches!(reply, WriteReply::Unknown { .. }) {
                    replies.push(reply.into());
                    continue;
                }
                let seen = read(cluster, &ObjectQuery::One(request.target.clone())).await;
                match was_applied(&request, &seen) {
                    Applied::Yes => {
                        let ReadReply::Found(object) = seen else { panic!("{seen:?}") };
                        replies.push(WriteReply::Accepted(object).into());
                    }
                    Applied::No => replies.push(reply.into()),
                    Applied::Unknown => panic!("{action}: one read cannot decide"),
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
        of("set-config-key", "ConfigMap", json!({"key": "a", "value": "2"})),
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

/// Also with lost responses and conflicts.
#[tokio::test]
async fn every_action_is_applied_once_and_undone() {
    for injected in [
        InjectedReply::Pass,
        InjectedReply::UnknownBeforeApply,
        InjectedReply::UnknownAfterApply,
        InjectedReply::Conflict,
    ] {
        for (action, args) in cases() {
            let (world, cluster) = world();
            settle(&world);
            let before = object(&cluster, action, &args).await;
            world.lock().unwrap().inject([injected]);
            let end = run(&cluster, action, &args, "step").await;
            assert!(changed(&end).0, "{action} {injected:?}");
            settle(&world);
            assert!(!changed(&run(&cluster, action, &args, "step").await).0, "{action}: repeated");
            assert_eq!(
                world.lock().unwrap().effects().get("step"),
                Some(&1),
                "{action} {injected:?}"
            );

            let spec = catalogue().get(action).cloned().unwrap();
            let undo = inverse(&spec, &args, changed(&end).1);
            assert_eq!(undo.is_some(), spec.has_inverse, "{action}");
            let Some((back, undo)) = undo else { continue };
            assert!(changed(&run(&cluster, &back, &undo, "undo").await).0, "{action}: undone");
            let after = object(&cluster, action, &args).await;
            for field in ["spec", "data"] {
                assert_eq!(after.field(field), before.field(field), "{action} {injected:?}");
            }
        }
    }
}

#[tokio::test]
async fn rollout_undo_and_its_inverse_restore_the_revisions() {
    let (world, cluster) = world();
    settle(&world);
    let of = |value: Value| value.as_object().cloned().unwrap();
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let image = of(json!({"target": cart, "container": "main", "image": "cart:2"}));
    assert!(changed(&run(&cluster, "set-image", &image, "a").await).0);
    settle(&world);
    let undo = of(json!({"target": cart, "revision": 1}));
    let end = run(&cluster, "rollout-undo", &undo, "b").await;
    assert!(changed(&end).0);
    settle(&world);
    let image_now =
        |object: &Object| object.at("/spec/template/spec/containers/0/image").cloned().unwrap();
    assert_eq!(image_now(&object(&cluster, "rollout-undo", &undo).await), "cart:1");
    assert!(!changed(&run(&cluster, "rollout-undo", &undo, "b").await).0, "again");
    let spec = catalogue().get("rollout-undo").cloned().unwrap();
    let (action, back) = inverse(&spec, &undo, changed(&end).1).unwrap();
    assert!(changed(&run(&cluster, &action, &back, "c").await).0);
    assert_eq!(image_now(&object(&cluster, "rollout-undo", &undo).await), "cart:2");
}

#[tokio::test]
async fn default_postconditions_are_true_in_a_healthy_cluster() {
    let (world, cluster) = world();
    settle(&world);
    for (action, args) in cases() {
        let spec = catalogue().get(action).cloned().unwrap();
        for condition in actions::default_postconditions(&spec, &args, None) {
            let (name, read) = condition.read.iter().next().unwrap();
            let workflow::Read::Object { .. } = read else { continue };
            let seen = object(&cluster, action, &args).await.to_value();
            let truth =
                condition.check.evaluate_condition(&[(name.clone(), seen)].into_iter().collect());
            assert_eq!(truth, workflow::Truth::True, "{action}: {:?}", condition.name);
        }
    }
}
