//! Properties of the world after random sequences of API calls and time steps, generated from a fixed seed.
//!
//! A failure prints the seed and the shortest failing sequence. `PROPERTY_SEED=n` generates other sequences.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use cluster::{Agent, Kind, Object, Patch, Preconditions, WatchEvent};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use serde_json::{Value, json};
use simulator::api::{ApiCall, CallOptions, CallResult, Operation, Propagation, Selection};
use simulator::{Trace, World, WorldFile};

const WORLD: &str = r"
apiVersion: chiron.dev/v1alpha1
kind: World
metadata: {name: small}
spec:
  objects:
  - {apiVersion: v1, kind: Node, metadata: {name: node-1}}
  - {apiVersion: v1, kind: Node, metadata: {name: node-2}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: one}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: two}}
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: one}, data: {mode: plain}}
  - {apiVersion: v1, kind: Service, metadata: {name: web, namespace: one}, spec: {selector: {app: web}, ports: [{port: 80}]}}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: one}
    spec:
      replicas: 2
      progressDeadlineSeconds: 60
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers:
          - name: web
            image: web:1
            env: [{name: MODE, valueFrom: {configMapKeyRef: {name: web, key: mode}}}]
  images:
    web:1: {listens: [{port: 80}], startup: 1s}
    web:2: {listens: [{port: 80}], startup: 2s, calls: [{service: web, port: 80, requestsPerMinute: 10}]}
  traffic: [{client: ingress, namespace: one, service: web, port: 80, requestsPerMinute: 60}]
";

const NAMESPACES: [&str; 2] = ["one", "two"];
const NAMES: [&str; 3] = ["web", "a", "b"];
/// The kinds that the tests read. They include every kind that the calls below can affect.
const KINDS: [&str; 12] = [
    "ConfigMap",
    "Deployment",
    "EndpointSlice",
    "Event",
    "Namespace",
    "Node",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "ResourceQuota",
    "Secret",
    "Service",
];

/// One step of a sequence: an API call, a time step, or a compaction.
#[derive(Clone, Debug)]
enum WorldStep {
    AdvanceTime {
        millis: u32,
    },
    Create {
        kind: usize,
        namespace: usize,
        name: usize,
        owner: Option<(Index, bool)>,
        has_finalizer: bool,
    },
    Apply {
        namespace: usize,
        name: usize,
        replicas: u32,
    },
    Label {
        of: Index,
        value: bool,
    },
    Update {
        of: Index,
        is_outdated: bool,
    },
    AddFinalizer {
        of: Index,
    },
    RemoveFinalizers {
        of: Index,
    },
    Scale {
        of: Index,
        replicas: u32,
    },
    Image {
        of: Index,
        image: &'static str,
    },
    Pause {
        of: Index,
        is_paused: bool,
    },
    SetSelector {
        of: Index,
        app: &'static str,
    },
    Cordon {
        of: Index,
        is_cordoned: bool,
    },
    Delete {
        of: Index,
        propagation: Option<Propagation>,
        grace: Option<u32>,
    },
    DeleteAll {
        kind: usize,
        namespace: usize,
    },
    Evict {
        of: Index,
    },
    Compact,
}

fn step() -> impl Strategy<Value = WorldStep> {
    let index = any::<Index>;
    let propagation = prop_oneof![
        Just(None),
        Just(Some(Propagation::Background)),
        Just(Some(Propagation::Foreground)),
        Just(Some(Propagation::Orphan)),
    ];
    let grace = prop_oneof![Just(None), Just(Some(0)), Just(Some(5))];
    let owner = prop_oneof![Just(None), (index(), any::<bool>()).prop_map(Some)];
    prop_oneof![
        6 => (0_u32..40_000).prop_map(|millis| WorldStep::AdvanceTime { millis }),
        4 => (0_usize..8, 0_usize..2, 0_usize..3, owner, any::<bool>()).prop_map(
            |(kind, namespace, name, owner, has_finalizer)| WorldStep::Create { kind, namespace, name, owner, has_finalizer }
        ),
        1 => (0_usize..2, 0_usize..3, 0_u32..3)
            .prop_map(|(namespace, name, replicas)| WorldStep::Apply { namespace, name, replicas }),
        2 => (index(), any::<bool>()).prop_map(|(of, value)| WorldStep::Label { of, value }),
        1 => (index(), any::<bool>()).prop_map(|(of, is_outdated)| WorldStep::Update { of, is_outdated }),
        1 => index().prop_map(|of| WorldStep::AddFinalizer { of }),
        2 => index().prop_map(|of| WorldStep::RemoveFinalizers { of }),
        2 => (index(), 0_u32..4).prop_map(|(of, replicas)| WorldStep::Scale { of, replicas }),
        2 => (index(), prop_oneof![Just("web:1"), Just("web:2"), Just("web:3")])
            .prop_map(|(of, image)| WorldStep::Image { of, image }),
        1 => (index(), any::<bool>()).prop_map(|(of, is_paused)| WorldStep::Pause { of, is_paused }),
        1 => (index(), prop_oneof![Just("web"), Just("a")])
            .prop_map(|(of, app)| WorldStep::SetSelector { of, app }),
        1 => (index(), any::<bool>()).prop_map(|(of, is_cordoned)| WorldStep::Cordon { of, is_cordoned }),
        4 => (index(), propagation, grace).prop_map(|(of, propagation, grace)| WorldStep::Delete { of, propagation, grace }),
        1 => (0_usize..8, 0_usize..2).prop_map(|(kind, namespace)| WorldStep::DeleteAll { kind, namespace }),
        1 => index().prop_map(|of| WorldStep::Evict { of }),
        1 => Just(WorldStep::Compact),
    ]
}

/// Names of the steps that make a call.
const CALLS: [&str; 14] = [
    "Create",
    "Apply",
    "Label",
    "Update",
    "AddFinalizer",
    "RemoveFinalizers",
    "Scale",
    "Image",
    "Pause",
    "SetSelector",
    "Cordon",
    "Delete",
    "DeleteAll",
    "Evict",
];

/// Returns the name of a step in [`CALLS`], or `None` if it makes no call.
fn named(step: &WorldStep) -> Option<&'static str> {
    Some(match step {
        WorldStep::AdvanceTime { .. } | WorldStep::Compact => return None,
        WorldStep::Create { .. } => "Create",
        WorldStep::Apply { .. } => "Apply",
        WorldStep::Label { .. } => "Label",
        WorldStep::Update { .. } => "Update",
        WorldStep::AddFinalizer { .. } => "AddFinalizer",
        WorldStep::RemoveFinalizers { .. } => "RemoveFinalizers",
        WorldStep::Scale { .. } => "Scale",
        WorldStep::Image { .. } => "Image",
        WorldStep::Pause { .. } => "Pause",
        WorldStep::SetSelector { .. } => "SetSelector",
        WorldStep::Cordon { .. } => "Cordon",
        WorldStep::Delete { .. } => "Delete",
        WorldStep::DeleteAll { .. } => "DeleteAll",
        WorldStep::Evict { .. } => "Evict",
    })
}

/// Returns the manifest of a new object; `kind` is an index into [`CREATED_KINDS`].
fn manifest(kind: usize, namespace: &str, name: &str) -> Value {
    let metadata = json!({"name": name, "namespace": namespace, "labels": {"app": name}});
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let selector = json!({"matchLabels": {"app": name}});
    match CREATED_KINDS[kind] {
        "ConfigMap" => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mode": "plain"}})
        }
        "Secret" => {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"word": "c2VjcmV0"}})
        }
        "Service" => {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})
        }
        "Pod" => {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
        }
        "Deployment" => json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"replicas": 1, "selector": selector, "template": template}}),
        "ReplicaSet" => json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata,
            "spec": {"replicas": 1, "selector": selector, "template": template}}),
        "ResourceQuota" => {
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata,
            "spec": {"hard": {"pods": "3", "configmaps": "2", "count/deployments.apps": "2", "secrets": "1"}}})
        }
        _ => json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
            "spec": {"minAvailable": 1, "selector": selector}}),
    }
}

const CREATED_KINDS: [&str; 8] = [
    "ConfigMap",
    "Secret",
    "Service",
    "Pod",
    "Deployment",
    "ReplicaSet",
    "ResourceQuota",
    "PodDisruptionBudget",
];

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn small() -> World {
    let mut world = World::new(&WorldFile::parse(WORLD).unwrap(), 1, start()).unwrap();
    world.advance_fully(start() + SignedDuration::from_secs(20));
    world
}

fn call_on(object: &Object, operation: Operation) -> ApiCall {
    let (kind, namespace) = (object.kind().clone(), object.namespace().map(Into::into));
    let options = CallOptions { manager: "tester".into(), ..CallOptions::default() };
    ApiCall {
        kind,
        namespace,
        name: object.name().into(),
        subresource: None,
        operation,
        options,
        agent: Agent::default(),
    }
}

/// Selects an object of one of `kinds`, or of any kind but Event if `kinds` is empty.
fn pick(world: &World, of: &Index, kinds: &[&str]) -> Option<Object> {
    let is_meant = |object: &&Object| match kinds {
        [] => object.kind().kind != "Event",
        kinds => kinds.contains(&object.kind().kind.as_str()),
    };
    let all: Vec<&Object> = world.objects().filter(is_meant).collect();
    (!all.is_empty()).then(|| (*of.get(&all)).clone())
}

/// Returns the call of a step, or `None` if it makes no call or no suitable object exists.
fn call(world: &World, step: &WorldStep) -> Option<ApiCall> {
    let merge =
        |object: &Object, patch: Value| call_on(object, Operation::Patch(Patch::Merge(patch)));
    let labelled = |object: &Object, value: &str| {
        let mut metadata = object.metadata().clone();
        metadata.labels.insert("touched".into(), value.into());
        object.with_metadata(metadata)
    };
    Some(match step {
        WorldStep::AdvanceTime { .. } | WorldStep::Compact => return None,
        WorldStep::Create { kind, namespace, name, owner, has_finalizer } => {
            let mut value = manifest(*kind, NAMESPACES[*namespace], NAMES[*name]);
            if let Some((of, is_real)) = owner {
                let owner = pick(world, of, &["Deployment", "ReplicaSet", "ConfigMap", "Pod"])?;
                let uid = if *is_real { owner.metadata().uid.as_str() } else { "no-such-uid" };
                value["metadata"]["ownerReferences"] = json!([{"apiVersion": owner.kind().api_version,
                    "kind": owner.kind().kind, "name": owner.name(), "uid": uid, "blockOwnerDeletion": true}]);
            }
            if *has_finalizer && owner.is_some() {
                value["metadata"]["finalizers"] = json!(["example.com/cleanup"]);
            }
            let object = Object::from_value(value).unwrap();
            call_on(&object, Operation::Create(object.clone()))
        }
        WorldStep::Apply { namespace, name, replicas } => {
            let mut value = manifest(4, NAMESPACES[*namespace], NAMES[*name]);
            value["spec"]["replicas"] = (*replicas).into();
            let object = Object::from_value(value).unwrap();
            call_on(&object, Operation::Apply(object.clone()))
        }
        WorldStep::Label { of, value } => merge(
            &pick(world, of, &[])?,
            json!({"metadata": {"labels": {"touched": value.to_string()}}}),
        ),
        WorldStep::Update { of, is_outdated } => {
            let object = pick(world, of, &[])?;
            let mut update = labelled(&object, "put");
            if *is_outdated {
                let mut metadata = update.metadata().clone();
                metadata.resource_version = "1".into();
                update = update.with_metadata(metadata);
            }
            call_on(&object, Operation::Update(update))
        }
        WorldStep::AddFinalizer { of } => merge(
            &pick(world, of, &CREATED_KINDS)?,
            json!({"metadata": {"finalizers": ["example.com/cleanup"]}}),
        ),
        WorldStep::RemoveFinalizers { of } => {
            merge(&pick(world, of, &CREATED_KINDS)?, json!({"metadata": {"finalizers": null}}))
        }
        WorldStep::Scale { of, replicas } => {
            let object = pick(world, of, &["Deployment", "ReplicaSet"])?;
            let mut call = merge(&object, json!({"spec": {"replicas": replicas}}));
            call.subresource = Some("scale".into());
            call
        }
        WorldStep::Image { of, image } => {
            let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
            call_on(&pick(world, of, &["Deployment"])?, Operation::Patch(Patch::Strategic(patch)))
        }
        WorldStep::Pause { of, is_paused } => {
            merge(&pick(world, of, &["Deployment"])?, json!({"spec": {"paused": is_paused}}))
        }
        WorldStep::SetSelector { of, app } => {
            merge(&pick(world, of, &["Service"])?, json!({"spec": {"selector": {"app": app}}}))
        }
        WorldStep::Cordon { of, is_cordoned } => {
            merge(&pick(world, of, &["Node"])?, json!({"spec": {"unschedulable": is_cordoned}}))
        }
        WorldStep::Delete { of, propagation, grace } => {
            let object = pick(world, of, &[])?;
            if object.kind().kind == "Node" {
                return None;
            }
            let mut call = call_on(&object, Operation::Delete);
            call.options.propagation = *propagation;
            call.options.grace_seconds = *grace;
            call.options.preconditions =
                Preconditions { uid: Some(object.metadata().uid.clone()), ..Default::default() };
            call
        }
        WorldStep::DeleteAll { kind, namespace } => {
            let like = Object::from_value(manifest(*kind, NAMESPACES[*namespace], "")).unwrap();
            call_on(&like, Operation::DeleteAll(Selection::default()))
        }
        WorldStep::Evict { of } => call_on(&pick(world, of, &["Pod"])?, Operation::Evict),
    })
}

/// Executes a step. Returns the result if the step manifest a call.
fn execute(world: &mut World, step: &WorldStep) -> Option<CallResult> {
    match step {
        WorldStep::AdvanceTime { millis } => {
            let until = world.now() + SignedDuration::from_millis(i64::from(*millis));
            world.advance_fully(until);
            None
        }
        WorldStep::Compact => {
            world.compact();
            None
        }
        _ => call(world, step).map(|call| world.call(&call)),
    }
}

/// Describes the steps with their objects and results.
fn describe(steps: &[WorldStep]) -> String {
    let mut world = small();
    let mut lines = Vec::new();
    for step in steps {
        let call = call(&world, step);
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| execute(&mut world, step)));
        let result = match result {
            Ok(None) => "no call".into(),
            Ok(Some(CallResult::Refused(error))) => format!("{} {}", error.code, error.message),
            Ok(Some(result)) => format!("{result:?}").chars().take(7).collect(),
            Err(_) => "a panic".to_string(),
        };
        lines.push(match call {
            Some(call) => format!(
                "{}/{}/{} {:?} {:?} => {result}",
                call.kind.kind,
                call.namespace.as_deref().unwrap_or_default(),
                call.name,
                call.operation,
                call.options.propagation
            ),
            None => format!("{step:?}"),
        });
        if result == "a panic" {
            break;
        }
    }
    lines.join("\n")
}

fn settle(world: &mut World, minutes: i64) {
    let until = world.now() + SignedDuration::from_mins(minutes);
    world.advance_fully(until);
}

/// Runs `check` on `cases` random sequences.
fn check_property(cases: u32, check: impl Fn(&[WorldStep]) -> Result<(), TestCaseError>) {
    let seed = std::env::var("PROPERTY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    // A panic inside the world fails the sequence, so that proptest shrinks it and reports only the shortest.
    let check = |steps: &[WorldStep]| {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(steps)));
        checked.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(TestCaseError::fail(message.unwrap_or_else(|| "it panicked".into())))
        })
    };
    match runner.run(&prop::collection::vec(step(), 1..10), |steps| check(&steps)) {
        Ok(()) => {}
        Err(TestError::Fail(message, steps)) => {
            panic!("PROPERTY_SEED={seed}: {message}\nafter {steps:?}\n{}", describe(&steps))
        }
        Err(TestError::Abort(message)) => panic!("PROPERTY_SEED={seed}: {message}"),
    }
}

type ObjectId = (String, String, String);

fn id_of(object: &Object) -> ObjectId {
    let namespace = object.namespace().unwrap_or_default();
    (object.kind().kind.clone(), namespace.into(), object.name().into())
}

fn version(object: &Object) -> u64 {
    object.metadata().resource_version.parse().unwrap()
}

/// Also checks that no observed generation is above the generation.
#[test]
fn uids_are_unique_and_versions_never_decrease() {
    let base = small();
    // By step: the number of calls, and the number of calls that were not rejected.
    let calls: RefCell<BTreeMap<&str, [u32; 2]>> = RefCell::default();
    check_property(2_000, |steps| {
        let mut world = base.clone();
        let mut uids: BTreeMap<String, ObjectId> = BTreeMap::new();
        let mut versions: BTreeMap<ObjectId, Object> = BTreeMap::new();
        let mut last = 0;
        for step in steps {
            let result = execute(&mut world, step);
            if let (Some(name), Some(result)) = (named(step), result) {
                let mut calls = calls.borrow_mut();
                let [all, done] = calls.entry(name).or_default();
                *all += 1;
                *done += u32::from(!matches!(result, CallResult::Refused(_)));
            }
            prop_assert!(world.version() >= last, "the version decreased from {last}");
            last = world.version();
            let mut live = BTreeSet::new();
            for object in world.objects() {
                let (id_of, metadata) = (id_of(object), object.metadata());
                prop_assert!(!metadata.uid.is_empty(), "{id_of:?} has no uid");
                prop_assert!(live.insert(&metadata.uid), "{id_of:?} shares its uid");
                let first = uids.entry(metadata.uid.clone()).or_insert_with(|| id_of.clone());
                prop_assert_eq!(&*first, &id_of, "a uid was reused");
                prop_assert!(
                    version(object) <= last,
                    "{:?} has a version above that of the world",
                    id_of
                );
                if let Some(before) = versions.get(&id_of) {
                    prop_assert!(
                        version(object) >= version(before),
                        "the version of {:?} decreased",
                        id_of
                    );
                    prop_assert!(
                        version(object) > version(before) || object == before,
                        "{:?} changed without a new version",
                        id_of
                    );
                }
                if let Some(observed) =
                    object.at("/status/observedGeneration").and_then(Value::as_i64)
                {
                    prop_assert!(
                        observed <= metadata.generation,
                        "{:?} observed the future generation {}",
                        id_of,
                        observed
                    );
                }
                versions.insert(id_of, object.clone());
            }
        }
        Ok(())
    });
    // A world that rejected every call would satisfy every property, so check that calls succeed.
    let calls = calls.into_inner();
    assert!(
        CALLS.iter().all(|name| calls.get(name).is_some_and(|[_, done]| *done > 0)),
        "{calls:?}"
    );
    let [all, done] = calls.values().fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
    assert!(done * 2 > all, "{done} of {all} calls succeeded: {calls:?}");
}

/// Returns every object of a kind, and the version of the list.
fn list(world: &World, kind: &Kind) -> (BTreeMap<ObjectId, Object>, u64) {
    let listed = world.list(kind, None, &Selection::default(), None, None).unwrap();
    (listed.items.into_iter().map(|object| (id_of(&object), object)).collect(), listed.version)
}

#[test]
fn watch_from_any_version_converges_to_list() {
    let base = small();
    let kinds: Vec<Kind> = KINDS.iter().map(|kind| Kind::builtin(kind).unwrap()).collect();
    check_property(1_000, |steps| {
        let mut world = base.clone();
        let mut lists = Vec::new();
        let mut compacted = 0;
        for step in steps {
            lists.extend(kinds.iter().map(|kind| (kind, list(&world, kind))));
            execute(&mut world, step);
            if matches!(step, WorldStep::Compact) {
                compacted = world.version();
            }
        }
        for (kind, (mut seen, from)) in lists {
            let changes = world.changes_since(kind, None, &Selection::default(), from);
            let Ok(changes) = changes else {
                prop_assert!(from < compacted, "{} from {from} is expired", kind.kind);
                continue;
            };
            prop_assert!(
                from >= compacted,
                "{} from {from} is still served after compaction",
                kind.kind
            );
            let mut last = from;
            for change in changes {
                let is_known = |object: &Object| seen.contains_key(&id_of(object));
                let (object, is_fine) = match &change {
                    WatchEvent::Added(object) => (object, !is_known(object)),
                    WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                        (object, is_known(object))
                    }
                    WatchEvent::Bookmark(_) => continue,
                };
                prop_assert!(is_fine, "inconsistent with earlier changes: {change:?}");
                prop_assert!(version(object) > last, "out of order: {change:?}");
                last = version(object);
                if matches!(change, WatchEvent::Deleted(_)) {
                    seen.remove(&id_of(object));
                } else {
                    seen.insert(id_of(object), object.clone());
                }
            }
            prop_assert_eq!(seen, list(&world, kind).0, "{} from {}", &kind.kind, from);
        }
        Ok(())
    });
}

#[test]
fn objects_without_existing_owner_are_collected() {
    let base = small();
    check_property(1_200, |steps| {
        let mut world = base.clone();
        for step in steps {
            execute(&mut world, step);
        }
        settle(&mut world, 2);
        let uids: BTreeSet<&str> =
            world.objects().map(|object| object.metadata().uid.as_str()).collect();
        for object in world.objects() {
            let metadata = object.metadata();
            let owners = &metadata.owner_references;
            let has_finalizer =
                metadata.deletion_timestamp.is_some() && !metadata.finalizers.is_empty();
            prop_assert!(
                owners.is_empty()
                    || has_finalizer
                    || owners.iter().any(|owner| uids.contains(owner.uid.as_str())),
                "{:?} exists without its owners {owners:?}",
                id_of(object)
            );
        }
        Ok(())
    });
}

#[test]
fn quota_usage_equals_number_of_objects() {
    let base = small();
    check_property(800, |steps| {
        let mut world = base.clone();
        let quota = Object::from_value(manifest(6, "one", "first")).unwrap();
        prop_assert!(matches!(
            world.call(&call_on(&quota, Operation::Create(quota.clone()))),
            CallResult::Created(_)
        ));
        for step in steps {
            execute(&mut world, step);
        }
        settle(&mut world, 2);
        let count = |kind: &str, namespace: Option<&str>| {
            let own = world.objects().filter(|object| object.kind().kind == kind);
            own.filter(|object| object.namespace() == namespace).count().to_string()
        };
        for quota in world.objects().filter(|object| object.kind().kind == "ResourceQuota") {
            for (name, kind) in [
                ("pods", "Pod"),
                ("configmaps", "ConfigMap"),
                ("count/deployments.apps", "Deployment"),
                ("secrets", "Secret"),
            ] {
                let used = quota.at("/status/used").and_then(|used| used.get(name)?.as_str());
                let exist = count(kind, quota.namespace());
                prop_assert_eq!(used, Some(exist.as_str()), "{} of {:?}", name, id_of(quota));
            }
        }
        Ok(())
    });
}

/// Kinds whose controllers depend only on the stored objects, not on time: they write nothing in a settled world.
const WITHOUT_CLOCK: [&str; 5] =
    ["Deployment", "EndpointSlice", "PodDisruptionBudget", "ReplicaSet", "ResourceQuota"];

#[test]
fn controllers_write_nothing_in_a_settled_world() {
    let base = small();
    check_property(1_000, |steps| {
        let mut world = base.clone();
        for step in steps {
            execute(&mut world, step);
        }
        settle(&mut world, 3);
        let [skipping, every_tick] = [true, false].map(|skips| {
            let mut world = world.clone();
            if !skips {
                world.disable_idle_skipping();
            }
            let mut trace = Trace::start(&world);
            let (from, until) = (world.version(), world.now() + SignedDuration::from_secs(45));
            trace.advance(&mut world, until);
            let written = WITHOUT_CLOCK.map(|kind| {
                let kind = Kind::builtin(kind).unwrap();
                world.changes_since(&kind, None, &Selection::default(), from).unwrap()
            });
            (world.version(), trace.digest(&world), written.concat())
        });
        prop_assert!(every_tick.2.is_empty(), "written in a settled world: {:?}", every_tick.2);
        prop_assert_eq!(skipping, every_tick, "running idle components changed the trace");
        Ok(())
    });
}
