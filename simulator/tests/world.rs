//! The simulated cluster as a whole: determinism, replay, effect counts, controllers and kubelet.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]

use std::collections::BTreeMap;

use cluster::{
    Agent, JsonOp, Kind, Mode, Object, ObjectRef, Patch, Pod, Preconditions, Request, Verb,
    WriteReply,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::scenario::prepare;
use simulator::{AlertMode, Emission, InjectedReply, ScenarioFile, World, WorldFile};

fn text(path: &str) -> String {
    std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets").join(path),
    )
    .unwrap()
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn shop(seed: u64) -> World {
    World::new(&WorldFile::parse(&text("worlds/shop.yaml")).unwrap(), seed, start()).unwrap()
}

/// Returns the shop after all pods became ready.
fn settled() -> World {
    let mut world = shop(1);
    advance(&mut world, 120);
    world
}

fn advance(world: &mut World, seconds: i64) {
    let until = world.now() + SignedDuration::from_secs(seconds);
    world.advance_fully(until);
}

fn name(kind: &str, name: &str) -> ObjectRef {
    ObjectRef::builtin("sim", kind, Some("shop"), name)
}

fn request(target: ObjectRef, verb: Verb, key: &str) -> Request {
    let agent = Agent { effect_key: key.into(), ..Agent::default() };
    Request { target, verb, preconditions: Preconditions::default(), mode: Mode::Commit, agent }
}

fn merge(target: ObjectRef, patch: Value, key: &str) -> Request {
    request(target, Verb::Patch { patch: Patch::Merge(patch), subresource: None }, key)
}

fn container(workload: &str, body: Value) -> Request {
    let mut body = body;
    body["name"] = workload.into();
    let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [body]}}}}));
    request(name("Deployment", workload), Verb::Patch { patch, subresource: None }, "")
}

fn accepted(world: &mut World, request: &Request) {
    let reply = world.send(request);
    assert!(matches!(reply, WriteReply::Accepted(_)), "{reply:?}");
}

fn get(world: &World, kind: &str, name: &str) -> Object {
    world
        .objects()
        .find(|object| object.kind().kind == kind && object.name() == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
        .clone()
}

fn pods_of(world: &World, workload: &str) -> Vec<Object> {
    let is_own = |object: &&Object| {
        object.kind().kind == "Pod" && object.name().starts_with(&format!("{workload}-"))
    };
    world.objects().filter(is_own).cloned().collect()
}

fn events(world: &World, reason: &str) -> Vec<Object> {
    let is_wanted = |object: &&Object| {
        object.kind().kind == "Event" && object.field("reason") == Some(&reason.into())
    };
    world.objects().filter(is_wanted).cloned().collect()
}

/// Returns of the first container: reason of the waiting state, reason of the last termination, restart count.
fn state(pod: &Object) -> (String, String, u64) {
    let status = pod.at("/status/containerStatuses/0").cloned().unwrap_or_default();
    let reason = |pointer: &str| {
        status.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string()
    };
    (
        reason("/state/waiting/reason"),
        reason("/lastState/terminated/reason"),
        status["restartCount"].as_u64().unwrap_or(0),
    )
}

#[test]
fn world_becomes_ready_and_then_idle() {
    let mut world = settled();
    for object in world.objects().filter(|object| object.kind().kind == "Deployment") {
        let replicas = object.at("/spec/replicas");
        for field in ["replicas", "readyReplicas", "availableReplicas", "updatedReplicas"] {
            assert_eq!(
                object.at(&format!("/status/{field}")),
                replicas,
                "{} {field}",
                object.name()
            );
        }
        assert_eq!(object.metadata().annotations["deployment.kubernetes.io/revision"], "1");
    }
    let until = world.now() + SignedDuration::from_hours(24);
    let (before, next) = (world.digest(), world.next_event());
    assert!(next.is_none_or(|next| next > until), "{next:?}");
    world.advance_fully(until);
    assert_ne!(world.digest(), before, "the digest includes the time");
    assert!(world.firing_alert_names().is_empty());
}

#[test]
fn digest_of_a_day_with_faults_depends_only_on_the_seed() {
    let day = |seed| {
        let file = WorldFile::parse(&text("worlds/shop.yaml")).unwrap();
        let scenario =
            ScenarioFile::parse(&text("scenarios/starter/memory-limit-too-low.yaml")).unwrap();
        let mut world = prepare(&scenario, &file, seed, start()).unwrap().world;
        let emitted = world.advance_fully(start() + SignedDuration::from_hours(24));
        (world.digest(), format!("{emitted:?}"))
    };
    assert_eq!(day(5), day(5));
    assert_ne!(day(5).0, day(6).0);
}

#[test]
fn digest_does_not_depend_on_the_length_of_advances() {
    let file = WorldFile::parse(&text("worlds/shop.yaml")).unwrap();
    let scenario = ScenarioFile::parse(&text("scenarios/starter/bad-image.yaml")).unwrap();
    let prepared = prepare(&scenario, &file, 9, start()).unwrap();
    let until = prepared.oracle.fault_at() + SignedDuration::from_mins(10);
    let mut one_advance = prepared.world.clone();
    one_advance.advance_fully(until);
    let mut many_advances = prepared.world;
    while many_advances.now() < until {
        let next = (many_advances.now() + SignedDuration::from_millis(7_777)).min(until);
        many_advances.advance_fully(next);
    }
    assert_eq!(one_advance.digest(), many_advances.digest());
}

#[test]
fn replay_of_stored_requests_gives_the_same_world() {
    let mut world = shop(3);
    advance(&mut world, 90);
    let first = container("cart", json!({"image": "registry.example/shop/cart:no.such.tag"}));
    accepted(&mut world, &first);
    // A second request at the same time, and a rejected one.
    accepted(
        &mut world,
        &merge(name("Deployment", "email"), json!({"spec": {"replicas": 3}}), "k1"),
    );
    assert!(!matches!(
        world.send(&merge(name("Deployment", "absent"), json!({}), "k2")),
        WriteReply::Accepted(_)
    ));
    let until = world.now() + SignedDuration::from_millis(400_123);
    while world.now() < until {
        world.advance(until);
    }
    let wrong_selector = json!({"spec": {"selector": {"app": "absent"}}});
    accepted(&mut world, &merge(name("Service", "search"), wrong_selector, "k3"));
    advance(&mut world, 600);

    let mut again = shop(3);
    for logged in world.requests() {
        assert_eq!(again.replay(logged.at, &logged.request), *logged.reply);
    }
    again.advance_fully(world.now());
    assert_eq!(again.digest(), world.digest());
    assert_eq!(again.effects(), world.effects());
}

#[test]
fn effect_counts_include_only_requests_that_changed_an_object() {
    let mut world = settled();
    let scale = |replicas: u32, key: &str| {
        merge(name("Deployment", "email"), json!({"spec": {"replicas": replicas}}), key)
    };
    accepted(&mut world, &scale(2, "a"));
    accepted(&mut world, &scale(2, "a"));
    world.inject([InjectedReply::UnknownAfterApply, InjectedReply::UnknownBeforeApply]);
    assert!(matches!(world.send(&scale(3, "b")), WriteReply::Unknown { .. }));
    assert!(matches!(world.send(&scale(4, "c")), WriteReply::Unknown { .. }));
    let mut dry = scale(5, "d");
    dry.mode = Mode::DryRun;
    accepted(&mut world, &dry);
    assert!(!matches!(
        world.send(&merge(name("Deployment", "email"), json!({"spec": {"replicas": -1}}), "e")),
        WriteReply::Accepted(_)
    ));
    let expected: BTreeMap<String, u32> = [("a".to_string(), 1), ("b".to_string(), 1)].into();
    assert_eq!(*world.effects(), expected);
    assert_eq!(get(&world, "Deployment", "email").at("/spec/replicas"), Some(&json!(3)));
}

#[test]
fn each_injected_reply_applies_to_one_request() {
    let mut world = settled();
    let scale = merge(name("Deployment", "email"), json!({"spec": {"replicas": 2}}), "a");
    world.inject([
        InjectedReply::Conflict,
        InjectedReply::Throttled { retry_after_seconds: 3 },
        InjectedReply::Forbidden,
        InjectedReply::Pass,
    ]);
    assert!(matches!(world.send(&scale), WriteReply::Conflict { .. }));
    assert_eq!(world.send(&scale), WriteReply::Throttled { retry_after_seconds: 3 });
    assert!(matches!(world.send(&scale), WriteReply::Refused { code: 403, .. }));
    accepted(&mut world, &scale);
    world.forbid("patch", "Deployment", Some("shop"));
    assert!(matches!(world.send(&scale), WriteReply::Refused { code: 403, .. }));
}

#[test]
fn failed_rollout_keeps_old_pods_and_can_be_rolled_back() {
    let mut world = settled();
    let image = |world: &World| {
        get(world, "Deployment", "catalog")
            .at("/spec/template/spec/containers/0/image")
            .cloned()
            .unwrap()
    };
    let old = image(&world);
    let new = get(&world, "Deployment", "ad")
        .at("/spec/template/spec/containers/0/image")
        .cloned()
        .unwrap();
    // The image of another program can be pulled, but the program crashes because its environment variables are
    // missing.
    accepted(&mut world, &container("catalog", json!({"image": new})));
    advance(&mut world, 60);
    let deployment = get(&world, "Deployment", "catalog");
    assert_eq!(deployment.metadata().annotations["deployment.kubernetes.io/revision"], "2");
    assert_eq!(
        deployment.at("/status/availableReplicas"),
        Some(&json!(3)),
        "old pods are kept until new pods are ready"
    );
    assert_eq!(deployment.at("/status/updatedReplicas"), Some(&json!(1)));
    advance(&mut world, 120);
    let deployment = get(&world, "Deployment", "catalog");
    let progressing = cluster::ObjectCondition::of(&deployment, "Progressing").unwrap();
    assert_eq!((progressing.status, progressing.reason), (Some(false), "ProgressDeadlineExceeded"));
    accepted(&mut world, &container("catalog", json!({"image": old})));
    advance(&mut world, 60);
    let deployment = get(&world, "Deployment", "catalog");
    assert_eq!(
        deployment.metadata().annotations["deployment.kubernetes.io/revision"],
        "3",
        "the ReplicaSet of an equal template is reused with a new revision"
    );
    assert_eq!(deployment.at("/status/updatedReplicas"), Some(&json!(3)));
    let progressing = cluster::ObjectCondition::of(&deployment, "Progressing").unwrap();
    assert_eq!((progressing.status, progressing.reason), (Some(true), "NewReplicaSetAvailable"));
    let sets = world.objects().filter(|object| {
        object.kind().kind == "ReplicaSet" && object.name().starts_with("catalog-")
    });
    assert_eq!(sets.count(), 2);
}

#[test]
fn rollout_respects_max_unavailable() {
    let mut world = settled();
    let stamp = json!({"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}});
    accepted(&mut world, &merge(name("Deployment", "frontend"), stamp, ""));
    for _ in 0..600 {
        advance(&mut world, 0);
        let next = world.now() + SignedDuration::from_millis(100);
        world.advance_fully(next);
        let ready = pods_of(&world, "frontend")
            .iter()
            .filter(|pod| Pod::of(pod).unwrap().is_ready())
            .count();
        assert!(ready >= 3, "maxUnavailable of 25 % of 3 is 0, but {ready} are ready");
    }
    assert_eq!(
        get(&world, "Deployment", "frontend").at("/status/updatedReplicas"),
        Some(&json!(3))
    );
    assert_eq!(pods_of(&world, "frontend").len(), 3);
}

#[test]
fn missing_image_backs_off_exponentially() {
    let mut world = settled();
    accepted(&mut world, &container("cart", json!({"image": "registry.example/shop/cart:none"})));
    advance(&mut world, 60);
    let pods = pods_of(&world, "cart");
    let waiting = pods.iter().find(|pod| !Pod::of(pod).unwrap().is_ready()).unwrap();
    assert_eq!(state(waiting).0, "ImagePullBackOff");
    assert_eq!(events(&world, "Failed").len(), 2);
    let count = |world: &World| {
        events(world, "Failed")
            .iter()
            .map(|event| event.field("count").unwrap().as_u64().unwrap())
            .max()
            .unwrap()
    };
    let after_a_minute = count(&world);
    advance(&mut world, 3600);
    // 10 + 20 + 40 + 80 + 160 s, then every 300 s.
    assert!((12..=18).contains(&count(&world)), "{after_a_minute} then {}", count(&world));
}

#[test]
fn low_memory_limit_causes_oom_kills_and_crash_loop() {
    let mut world = settled();
    accepted(
        &mut world,
        &container(
            "cart",
            json!({"resources": {"requests": {"memory": "10Mi"}, "limits": {"memory": "16Mi"}}}),
        ),
    );
    advance(&mut world, 120);
    let pods = pods_of(&world, "cart");
    let states: Vec<_> = pods.iter().map(state).collect();
    assert!(
        states.iter().any(|(waiting, ended, restarts)| waiting == "CrashLoopBackOff"
            && ended == "OOMKilled"
            && *restarts >= 2),
        "{states:?}"
    );
}

#[test]
fn missing_config_key_affects_only_starting_containers() {
    let mut world = settled();
    let key = get(&world, "ConfigMap", "cart")
        .field("data")
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let value = get(&world, "ConfigMap", "cart").at(&format!("/data/{key}")).cloned().unwrap();
    accepted(
        &mut world,
        &merge(name("ConfigMap", "cart"), json!({"data": {(key.clone()): null}}), ""),
    );
    advance(&mut world, 300);
    assert!(
        pods_of(&world, "cart").iter().all(|pod| Pod::of(pod).unwrap().is_ready()),
        "running containers keep their environment"
    );
    world.kill_pods("shop", "cart", Some(1));
    advance(&mut world, 60);
    let pods = pods_of(&world, "cart");
    assert_eq!(pods.iter().filter(|pod| state(pod).0 == "CreateContainerConfigError").count(), 1);
    accepted(&mut world, &merge(name("ConfigMap", "cart"), json!({"data": {key: value}}), ""));
    advance(&mut world, 60);
    assert!(pods_of(&world, "cart").iter().all(|pod| Pod::of(pod).unwrap().is_ready()));
}

#[test]
fn invalid_env_value_crashes_with_a_message() {
    let mut world = settled();
    let env = get(&world, "Deployment", "cart")
        .at("/spec/template/spec/containers/0/env/0/name")
        .cloned()
        .unwrap();
    accepted(&mut world, &container("cart", json!({"env": [{"name": env, "value": "soon"}]})));
    advance(&mut world, 90);
    let pods = pods_of(&world, "cart");
    let crashed = pods.iter().find(|pod| state(pod).0 == "CrashLoopBackOff").unwrap();
    assert_eq!(state(crashed).1, "Error");
    let message = crashed
        .at("/status/containerStatuses/0/lastState/terminated/message")
        .unwrap()
        .as_str()
        .unwrap();
    assert!(message.contains("is not an integer"), "{message}");
}

/// The Event is updated with decreasing frequency; its count includes the occurrences between two updates.
#[test]
fn failing_probe_updates_one_event() {
    let mut world = settled();
    accepted(
        &mut world,
        &container("cart", json!({"readinessProbe": {"httpGet": {"path": "/nowhere"}}})),
    );
    advance(&mut world, 1800);
    let unhealthy = events(&world, "Unhealthy");
    assert_eq!(unhealthy.len(), 1);
    assert!(unhealthy[0].field("message").unwrap().as_str().unwrap().contains("statuscode: 404"));
    let count = unhealthy[0].field("count").unwrap().as_u64().unwrap();
    assert!((300..=365).contains(&count), "every 5 s for half an hour: {count}");
}

#[test]
fn deleted_deployment_is_garbage_collected_with_dependents() {
    let mut world = settled();
    assert_eq!(
        world.send(&request(name("Deployment", "cart"), Verb::Delete { grace_seconds: None }, "")),
        WriteReply::Deleted
    );
    advance(&mut world, 60);
    assert_eq!(pods_of(&world, "cart").len(), 0);
    assert!(
        !world
            .objects()
            .any(|object| object.kind().kind == "ReplicaSet" && object.name().starts_with("cart-"))
    );
    let slice = world
        .objects()
        .find(|object| object.kind().kind == "EndpointSlice" && object.name().starts_with("cart-"))
        .unwrap();
    assert_eq!(slice.field("endpoints"), Some(&json!([])));
}

#[test]
fn evicted_pod_terminates_gracefully_and_is_replaced() {
    let mut world = settled();
    let pod = pods_of(&world, "email").remove(0);
    assert_eq!(world.send(&request(name("Pod", pod.name()), Verb::Evict, "")), WriteReply::Deleted);
    let terminating = get(&world, "Pod", pod.name());
    assert!(Pod::of(&terminating).unwrap().is_terminating());
    advance(&mut world, 30);
    let pods = pods_of(&world, "email");
    assert_eq!(pods.len(), 1);
    assert_ne!(pods[0].name(), pod.name());
    assert!(Pod::of(&pods[0]).unwrap().is_ready());
}

#[test]
fn disruption_budget_blocks_eviction() {
    let mut world = settled();
    let label =
        get(&world, "Deployment", "email").at("/spec/selector/matchLabels").cloned().unwrap();
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "email", "namespace": "shop"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": label}}});
    let budget = Object::from_value(budget).unwrap();
    accepted(&mut world, &request(name("PodDisruptionBudget", "email"), Verb::Create(budget), ""));
    let pod = pods_of(&world, "email").remove(0);
    assert!(matches!(
        world.send(&request(name("Pod", pod.name()), Verb::Evict, "")),
        WriteReply::Throttled { .. }
    ));
}

#[test]
fn wrong_selector_fires_error_rate_alert_with_service_labels() {
    let mut world = settled();
    let patch =
        Patch::Json(vec![JsonOp::Add { path: "/spec/selector/tier".into(), value: "gold".into() }]);
    accepted(
        &mut world,
        &request(name("Service", "catalog"), Verb::Patch { patch, subresource: None }, ""),
    );
    advance(&mut world, 90);
    assert!(
        world.firing_alert_names().contains("HighRequestErrorRate"),
        "{:?}",
        world.firing_alert_names()
    );
    let labels = |alert: &simulator::FiringAlert| alert.labels.clone();
    let alert = world
        .firing_alerts()
        .iter()
        .map(labels)
        .find(|labels| labels["alertname"] == "HighRequestErrorRate")
        .unwrap();
    let expected = [
        ("alertname", "HighRequestErrorRate"),
        ("namespace", "shop"),
        ("service", "catalog"),
        ("severity", "critical"),
    ];
    assert_eq!(alert, expected.map(|(name, value)| (name.to_string(), value.to_string())).into());
}

#[test]
fn external_alert_mode_lists_alerts_without_notifications() {
    let mut world = settled();
    world.set_alert_mode(AlertMode::External);
    accepted(
        &mut world,
        &merge(name("Deployment", "catalog"), json!({"spec": {"replicas": 0}}), ""),
    );
    let until = world.now() + SignedDuration::from_mins(5);
    assert_eq!(world.advance_fully(until), Vec::<Emission>::new());
    let alerts = world.firing_alerts();
    assert!(
        alerts.iter().any(|alert| alert.labels["alertname"] == "HighRequestErrorRate"
            && alert.ends_at > world.now())
    );
    let wire = serde_json::to_value(&alerts[0]).unwrap();
    for field in ["labels", "annotations", "startsAt", "endsAt", "generatorURL"] {
        assert!(wire.get(field).is_some(), "{wire}");
    }
    accepted(
        &mut world,
        &merge(name("Deployment", "catalog"), json!({"spec": {"replicas": 3}}), ""),
    );
    advance(&mut world, 300);
    assert!(world.firing_alert_names().is_empty());
    assert!(
        world.firing_alerts().iter().all(|alert| alert.ends_at <= world.now()),
        "resolved alerts are listed with their end time"
    );
    assert!(!world.firing_alerts().is_empty());
}

#[test]
fn notification_is_valid_for_the_alertmanager_parser() {
    let mut world = settled();
    accepted(
        &mut world,
        &merge(name("Deployment", "catalog"), json!({"spec": {"replicas": 0}}), ""),
    );
    let until = world.now() + SignedDuration::from_mins(5);
    let advance = world.advance(until);
    assert!(advance.now < until, "an advance ends at the first emission");
    let Emission::Alerts(webhook) = &advance.emitted[0];
    let body = serde_json::to_vec(webhook).unwrap();
    let delivery =
        workflow::alertmanager::parse(&body, &workflow::Limits::default(), world.now()).unwrap();
    assert_eq!(delivery.alerts.len(), webhook.alerts.len());
    assert_eq!(delivery.defects, []);
    assert!(delivery.alerts.iter().all(|alert| alert.defects.is_empty()));
    assert_eq!(delivery.alerts[0].starts_at.to_string(), webhook.alerts[0].starts_at);
}

#[test]
fn watch_from_compacted_version_fails() {
    let mut world = settled();
    world.compact();
    let cluster =
        simulator::SimulatedCluster::new(std::sync::Arc::new(std::sync::Mutex::new(world)), "sim");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let changes = runtime.block_on(cluster::Cluster::watch_since(
        &cluster,
        &Kind::new("v1", "Pod"),
        Some("shop"),
        "1",
    ));
    assert_eq!(changes, Err(cluster::ReadFailure::Gone));
}

#[test]
fn clone_is_independent_of_the_original() {
    let mut world = settled();
    let copy = world.clone();
    let digest = copy.digest();
    assert_eq!(world.digest(), digest);
    accepted(
        &mut world,
        &merge(name("Deployment", "catalog"), json!({"spec": {"replicas": 0}}), ""),
    );
    advance(&mut world, 60);
    assert_eq!(copy.digest(), digest);
    assert_ne!(world.digest(), digest);
}

/// Advances by a day, minute by minute as a client would. Returns the number of fired timers.
fn timers_of_a_day(file: &WorldFile) -> u64 {
    let mut world = World::new(file, 1, start()).unwrap();
    world.set_alert_mode(AlertMode::Internal);
    advance(&mut world, 120);
    let before = world.timers_fired();
    for _ in 0..24 * 60 {
        advance(&mut world, 60);
    }
    world.timers_fired() - before
}

#[test]
fn idle_day_needs_fewer_events_than_busy_day() {
    let shop = WorldFile::parse(&text("worlds/shop.yaml")).unwrap();
    let busy = WorldFile::parse(&text("worlds/shop-busy.yaml")).unwrap().extend(&shop).unwrap();
    let (idle, busy) = (timers_of_a_day(&shop), timers_of_a_day(&busy));
    assert!(idle * 5 < busy, "an idle day took {idle} events, a busy day {busy}");
}

#[test]
fn invalid_world_file_error_names_the_location() {
    let unknown = text("worlds/shop.yaml").replace("  traffic:", "  trafic:");
    let error = WorldFile::parse(&unknown).unwrap_err().to_string();
    assert!(error.contains("trafic") && error.contains("line"), "{error}");
    let kind = text("worlds/shop.yaml").replace("kind: World", "kind: Word");
    assert!(
        WorldFile::parse(&kind)
            .unwrap_err()
            .to_string()
            .contains("expected apiVersion chiron.dev/v1alpha1 and kind World")
    );
    let mut file = WorldFile::parse(&text("worlds/shop.yaml")).unwrap();
    file.spec.objects.remove(6);
    let error = World::new(&file, 1, start()).unwrap_err().to_string();
    assert!(error.contains("spec.objects[6]"), "{error}");
}
