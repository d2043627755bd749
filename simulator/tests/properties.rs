//! What holds after any sequence of calls and any passing of time: five thousand sequences, drawn anew from one seed.
//!
//! A failure prints the seed and the shortest sequence that shows it. `PROPERTY_SEED=n` draws other sequences.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use cluster::{Agent, Kind, Object, Patch, Preconditions, WatchEvent};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use serde_json::{Value, json};
use simulator::api::{Answer, Call, Deed, Options, Propagation, Selection};
use simulator::{Record, World, WorldFile};

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
/// The kinds that are read; whatever else there is, these are enough to see everything that the calls below can touch.
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

/// One thing that somebody does, or time that passes.
#[derive(Clone, Debug)]
enum Act {
    Pass {
        millis: u32,
    },
    Create {
        kind: usize,
        namespace: usize,
        name: usize,
        owner: Option<(Index, bool)>,
        is_held: bool,
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
    Put {
        of: Index,
        is_late: bool,
    },
    Hold {
        of: Index,
    },
    Release {
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
    Select {
        of: Index,
        app: &'static str,
    },
    Cordon {
        of: Index,
        is_cordoned: bool,
    },
    Delete {
        of: Index,
        how: Option<Propagation>,
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

fn act() -> impl Strategy<Value = Act> {
    let index = any::<Index>;
    let how = prop_oneof![
        Just(None),
        Just(Some(Propagation::Background)),
        Just(Some(Propagation::Foreground)),
        Just(Some(Propagation::Orphan)),
    ];
    let grace = prop_oneof![Just(None), Just(Some(0)), Just(Some(5))];
    let owner = prop_oneof![Just(None), (index(), any::<bool>()).prop_map(Some)];
    prop_oneof![
        6 => (0_u32..40_000).prop_map(|millis| Act::Pass { millis }),
        4 => (0_usize..8, 0_usize..2, 0_usize..3, owner, any::<bool>()).prop_map(
            |(kind, namespace, name, owner, is_held)| Act::Create { kind, namespace, name, owner, is_held }
        ),
        1 => (0_usize..2, 0_usize..3, 0_u32..3)
            .prop_map(|(namespace, name, replicas)| Act::Apply { namespace, name, replicas }),
        2 => (index(), any::<bool>()).prop_map(|(of, value)| Act::Label { of, value }),
        1 => (index(), any::<bool>()).prop_map(|(of, is_late)| Act::Put { of, is_late }),
        1 => index().prop_map(|of| Act::Hold { of }),
        2 => index().prop_map(|of| Act::Release { of }),
        2 => (index(), 0_u32..4).prop_map(|(of, replicas)| Act::Scale { of, replicas }),
        2 => (index(), prop_oneof![Just("web:1"), Just("web:2"), Just("web:3")])
            .prop_map(|(of, image)| Act::Image { of, image }),
        1 => (index(), any::<bool>()).prop_map(|(of, is_paused)| Act::Pause { of, is_paused }),
        1 => (index(), prop_oneof![Just("web"), Just("a")])
            .prop_map(|(of, app)| Act::Select { of, app }),
        1 => (index(), any::<bool>()).prop_map(|(of, is_cordoned)| Act::Cordon { of, is_cordoned }),
        4 => (index(), how, grace).prop_map(|(of, how, grace)| Act::Delete { of, how, grace }),
        1 => (0_usize..8, 0_usize..2).prop_map(|(kind, namespace)| Act::DeleteAll { kind, namespace }),
        1 => index().prop_map(|of| Act::Evict { of }),
        1 => Just(Act::Compact),
    ]
}

/// Every act that makes a call.
const CALLS: [&str; 14] = [
    "Create",
    "Apply",
    "Label",
    "Put",
    "Hold",
    "Release",
    "Scale",
    "Image",
    "Pause",
    "Select",
    "Cordon",
    "Delete",
    "DeleteAll",
    "Evict",
];

/// Its name in [`CALLS`], if it makes a call.
fn named(act: &Act) -> Option<&'static str> {
    Some(match act {
        Act::Pass { .. } | Act::Compact => return None,
        Act::Create { .. } => "Create",
        Act::Apply { .. } => "Apply",
        Act::Label { .. } => "Label",
        Act::Put { .. } => "Put",
        Act::Hold { .. } => "Hold",
        Act::Release { .. } => "Release",
        Act::Scale { .. } => "Scale",
        Act::Image { .. } => "Image",
        Act::Pause { .. } => "Pause",
        Act::Select { .. } => "Select",
        Act::Cordon { .. } => "Cordon",
        Act::Delete { .. } => "Delete",
        Act::DeleteAll { .. } => "DeleteAll",
        Act::Evict { .. } => "Evict",
    })
}

/// A new object of a kind, in the order of [`MADE`].
fn made(kind: usize, namespace: &str, name: &str) -> Value {
    let metadata = json!({"name": name, "namespace": namespace, "labels": {"app": name}});
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let selector = json!({"matchLabels": {"app": name}});
    match MADE[kind] {
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

const MADE: [&str; 8] = [
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

fn to(object: &Object, deed: Deed) -> Call {
    let (kind, namespace) = (object.kind().clone(), object.namespace().map(Into::into));
    let options = Options { manager: "somebody".into(), ..Options::default() };
    Call {
        kind,
        namespace,
        name: object.name().into(),
        subresource: None,
        deed,
        options,
        agent: Agent::default(),
    }
}

/// Someone of `kinds`, or of all kinds but Events where none are named.
fn pick(world: &World, of: &Index, kinds: &[&str]) -> Option<Object> {
    let is_meant = |object: &&Object| match kinds {
        [] => object.kind().kind != "Event",
        kinds => kinds.contains(&object.kind().kind.as_str()),
    };
    let all: Vec<&Object> = world.objects().filter(is_meant).collect();
    (!all.is_empty()).then(|| (*of.get(&all)).clone())
}

/// The call that an act makes, if there is anything to make it on.
fn call(world: &World, act: &Act) -> Option<Call> {
    let merge = |object: &Object, patch: Value| to(object, Deed::Patch(Patch::Merge(patch)));
    let labelled = |object: &Object, value: &str| {
        let mut metadata = object.metadata().clone();
        metadata.labels.insert("touched".into(), value.into());
        object.with_metadata(metadata)
    };
    Some(match act {
        Act::Pass { .. } | Act::Compact => return None,
        Act::Create { kind, namespace, name, owner, is_held } => {
            let mut value = made(*kind, NAMESPACES[*namespace], NAMES[*name]);
            if let Some((of, is_real)) = owner {
                let owner = pick(world, of, &["Deployment", "ReplicaSet", "ConfigMap", "Pod"])?;
                let uid = if *is_real { owner.metadata().uid.as_str() } else { "no-such-uid" };
                value["metadata"]["ownerReferences"] = json!([{"apiVersion": owner.kind().api_version,
                    "kind": owner.kind().kind, "name": owner.name(), "uid": uid, "blockOwnerDeletion": true}]);
            }
            if *is_held && owner.is_some() {
                value["metadata"]["finalizers"] = json!(["example.com/held"]);
            }
            let object = Object::from_value(value).unwrap();
            to(&object, Deed::Create(object.clone()))
        }
        Act::Apply { namespace, name, replicas } => {
            let mut value = made(4, NAMESPACES[*namespace], NAMES[*name]);
            value["spec"]["replicas"] = (*replicas).into();
            let object = Object::from_value(value).unwrap();
            to(&object, Deed::Apply(object.clone()))
        }
        Act::Label { of, value } => merge(
            &pick(world, of, &[])?,
            json!({"metadata": {"labels": {"touched": value.to_string()}}}),
        ),
        Act::Put { of, is_late } => {
            let object = pick(world, of, &[])?;
            let mut wanted = labelled(&object, "put");
            if *is_late {
                let mut metadata = wanted.metadata().clone();
                metadata.resource_version = "1".into();
                wanted = wanted.with_metadata(metadata);
            }
            to(&object, Deed::Update(wanted))
        }
        Act::Hold { of } => merge(
            &pick(world, of, &MADE)?,
            json!({"metadata": {"finalizers": ["example.com/held"]}}),
        ),
        Act::Release { of } => {
            merge(&pick(world, of, &MADE)?, json!({"metadata": {"finalizers": null}}))
        }
        Act::Scale { of, replicas } => {
            let object = pick(world, of, &["Deployment", "ReplicaSet"])?;
            let mut call = merge(&object, json!({"spec": {"replicas": replicas}}));
            call.subresource = Some("scale".into());
            call
        }
        Act::Image { of, image } => {
            let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
            to(&pick(world, of, &["Deployment"])?, Deed::Patch(Patch::Strategic(patch)))
        }
        Act::Pause { of, is_paused } => {
            merge(&pick(world, of, &["Deployment"])?, json!({"spec": {"paused": is_paused}}))
        }
        Act::Select { of, app } => {
            merge(&pick(world, of, &["Service"])?, json!({"spec": {"selector": {"app": app}}}))
        }
        Act::Cordon { of, is_cordoned } => {
            merge(&pick(world, of, &["Node"])?, json!({"spec": {"unschedulable": is_cordoned}}))
        }
        Act::Delete { of, how, grace } => {
            let object = pick(world, of, &[])?;
            if object.kind().kind == "Node" {
                return None;
            }
            let mut call = to(&object, Deed::Delete);
            call.options.propagation = *how;
            call.options.grace_seconds = *grace;
            call.options.preconditions =
                Preconditions { uid: Some(object.metadata().uid.clone()), ..Default::default() };
            call
        }
        Act::DeleteAll { kind, namespace } => {
            let like = Object::from_value(made(*kind, NAMESPACES[*namespace], "")).unwrap();
            to(&like, Deed::DeleteAll(Selection::default()))
        }
        Act::Evict { of } => to(&pick(world, of, &["Pod"])?, Deed::Evict),
    })
}

/// Does one act; the answer, if it was a call.
fn take(world: &mut World, act: &Act) -> Option<Answer> {
    match act {
        Act::Pass { millis } => {
            let until = world.now() + SignedDuration::from_millis(i64::from(*millis));
            world.advance_fully(until);
            None
        }
        Act::Compact => {
            world.compact();
            None
        }
        _ => call(world, act).map(|call| world.call(&call)),
    }
}

/// What the acts were, object by object, and what was answered.
fn told(acts: &[Act]) -> String {
    let mut world = small();
    let mut lines = Vec::new();
    for act in acts {
        let call = call(&world, act);
        let answer =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| take(&mut world, act)));
        let answer = match answer {
            Ok(None) => "nothing to answer".into(),
            Ok(Some(Answer::Refused(refusal))) => format!("{} {}", refusal.code, refusal.message),
            Ok(Some(answer)) => format!("{answer:?}").chars().take(7).collect(),
            Err(_) => "a panic".to_string(),
        };
        lines.push(match call {
            Some(call) => format!(
                "{}/{}/{} {:?} {:?} => {answer}",
                call.kind.kind,
                call.namespace.as_deref().unwrap_or_default(),
                call.name,
                call.deed,
                call.options.propagation
            ),
            None => format!("{act:?}"),
        });
        if answer == "a panic" {
            break;
        }
    }
    lines.join("\n")
}

fn rest(world: &mut World, minutes: i64) {
    let until = world.now() + SignedDuration::from_mins(minutes);
    world.advance_fully(until);
}

/// Draws `cases` sequences and lets `check` look at each.
fn hold_in(cases: u32, check: impl Fn(&[Act]) -> Result<(), TestCaseError>) {
    let seed = std::env::var("PROPERTY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    // A panic inside the world fails one sequence, and is told once, with the shortest.
    let check = |acts: &[Act]| {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(acts)));
        checked.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(TestCaseError::fail(said.unwrap_or_else(|| "it panicked".into())))
        })
    };
    match runner.run(&prop::collection::vec(act(), 1..10), |acts| check(&acts)) {
        Ok(()) => {}
        Err(TestError::Fail(why, acts)) => {
            panic!("PROPERTY_SEED={seed}: {why}\nafter {acts:?}\n{}", told(&acts))
        }
        Err(TestError::Abort(why)) => panic!("PROPERTY_SEED={seed}: {why}"),
    }
}

type Place = (String, String, String);

fn place(object: &Object) -> Place {
    let namespace = object.namespace().unwrap_or_default();
    (object.kind().kind.clone(), namespace.into(), object.name().into())
}

fn version(object: &Object) -> u64 {
    object.metadata().resource_version.parse().unwrap()
}

#[test]
fn no_two_objects_share_a_uid_versions_only_grow_and_no_observed_generation_leads() {
    let base = small();
    // Calls of each act, and those of them that were not refused.
    let calls: RefCell<BTreeMap<&str, [u32; 2]>> = RefCell::default();
    hold_in(2_000, |acts| {
        let mut world = base.clone();
        let mut uids: BTreeMap<String, Place> = BTreeMap::new();
        let mut versions: BTreeMap<Place, Object> = BTreeMap::new();
        let mut last = 0;
        for act in acts {
            let answer = take(&mut world, act);
            if let (Some(name), Some(answer)) = (named(act), answer) {
                let mut calls = calls.borrow_mut();
                let [all, done] = calls.entry(name).or_default();
                *all += 1;
                *done += u32::from(!matches!(answer, Answer::Refused(_)));
            }
            prop_assert!(world.version() >= last, "the version fell from {last}");
            last = world.version();
            let mut live = BTreeSet::new();
            for object in world.objects() {
                let (place, metadata) = (place(object), object.metadata());
                prop_assert!(!metadata.uid.is_empty(), "{place:?} has no uid");
                prop_assert!(live.insert(&metadata.uid), "{place:?} shares its uid");
                let first = uids.entry(metadata.uid.clone()).or_insert_with(|| place.clone());
                prop_assert_eq!(&*first, &place, "a uid came back");
                prop_assert!(version(object) <= last, "{:?} is of the future", place);
                if let Some(before) = versions.get(&place) {
                    prop_assert!(version(object) >= version(before), "{:?} went back", place);
                    prop_assert!(
                        version(object) > version(before) || object == before,
                        "{:?} changed without a version",
                        place
                    );
                }
                if let Some(observed) =
                    object.at("/status/observedGeneration").and_then(Value::as_i64)
                {
                    prop_assert!(
                        observed <= metadata.generation,
                        "{:?} observed {}",
                        place,
                        observed
                    );
                }
                versions.insert(place, object.clone());
            }
        }
        Ok(())
    });
    // A world that refused whatever it was asked would keep every property.
    let calls = calls.into_inner();
    assert!(
        CALLS.iter().all(|name| calls.get(name).is_some_and(|[_, done]| *done > 0)),
        "{calls:?}"
    );
    let [all, done] = calls.values().fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
    assert!(done * 2 > all, "{done} of {all} calls were taken: {calls:?}");
}

/// Every object of one kind by its place, and the version of the list.
fn list(world: &World, kind: &Kind) -> (BTreeMap<Place, Object>, u64) {
    let listed = world.collect(kind, None, &Selection::default(), None, None).unwrap();
    (listed.items.into_iter().map(|object| (place(&object), object)).collect(), listed.version)
}

#[test]
fn a_watch_from_any_version_sees_what_a_list_sees() {
    let base = small();
    let kinds: Vec<Kind> = KINDS.iter().map(|kind| Kind::builtin(kind).unwrap()).collect();
    hold_in(1_000, |acts| {
        let mut world = base.clone();
        let mut lists = Vec::new();
        let mut compacted = 0;
        for act in acts {
            lists.extend(kinds.iter().map(|kind| (kind, list(&world, kind))));
            take(&mut world, act);
            if matches!(act, Act::Compact) {
                compacted = world.version();
            }
        }
        for (kind, (mut seen, from)) in lists {
            let changes = world.changes_since(kind, None, &Selection::default(), from);
            let Ok(changes) = changes else {
                prop_assert!(from < compacted, "{} from {from} is gone", kind.kind);
                continue;
            };
            prop_assert!(from >= compacted, "{} from {from} is still told", kind.kind);
            let mut last = from;
            for change in changes {
                let is_known = |object: &Object| seen.contains_key(&place(object));
                let (object, is_fine) = match &change {
                    WatchEvent::Added(object) => (object, !is_known(object)),
                    WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                        (object, is_known(object))
                    }
                    WatchEvent::Bookmark(_) => continue,
                };
                prop_assert!(is_fine, "unfit for what was seen: {change:?}");
                prop_assert!(version(object) > last, "out of order: {change:?}");
                last = version(object);
                if matches!(change, WatchEvent::Deleted(_)) {
                    seen.remove(&place(object));
                } else {
                    seen.insert(place(object), object.clone());
                }
            }
            prop_assert_eq!(seen, list(&world, kind).0, "{} from {}", &kind.kind, from);
        }
        Ok(())
    });
}

#[test]
fn owner_references_resolve_or_what_bears_them_is_collected() {
    let base = small();
    hold_in(1_200, |acts| {
        let mut world = base.clone();
        for act in acts {
            take(&mut world, act);
        }
        rest(&mut world, 2);
        let uids: BTreeSet<&str> =
            world.objects().map(|object| object.metadata().uid.as_str()).collect();
        for object in world.objects() {
            let metadata = object.metadata();
            let owners = &metadata.owner_references;
            let is_held = metadata.deletion_timestamp.is_some() && !metadata.finalizers.is_empty();
            prop_assert!(
                owners.is_empty()
                    || is_held
                    || owners.iter().any(|owner| uids.contains(owner.uid.as_str())),
                "{:?} outlives its owners {owners:?}",
                place(object)
            );
        }
        Ok(())
    });
}

#[test]
fn what_a_quota_says_is_used_is_what_exists() {
    let base = small();
    hold_in(800, |acts| {
        let mut world = base.clone();
        let quota = Object::from_value(made(6, "one", "first")).unwrap();
        prop_assert!(matches!(
            world.call(&to(&quota, Deed::Create(quota.clone()))),
            Answer::Created(_)
        ));
        for act in acts {
            take(&mut world, act);
        }
        rest(&mut world, 2);
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
                prop_assert_eq!(used, Some(exist.as_str()), "{} of {:?}", name, place(quota));
            }
        }
        Ok(())
    });
}

/// Kinds whose controllers go by what stands there, and by no clock: at rest nothing is written to them.
const WITHOUT_CLOCK: [&str; 5] =
    ["Deployment", "EndpointSlice", "PodDisruptionBudget", "ReplicaSet", "ResourceQuota"];

#[test]
fn controllers_at_rest_find_nothing_to_do_and_write_nothing() {
    let base = small();
    hold_in(1_000, |acts| {
        let mut world = base.clone();
        for act in acts {
            take(&mut world, act);
        }
        rest(&mut world, 3);
        let [skipping, looking] = [true, false].map(|skips| {
            let mut world = world.clone();
            if !skips {
                world.skip_nothing();
            }
            let mut record = Record::of(&world);
            let (from, until) = (world.version(), world.now() + SignedDuration::from_secs(45));
            record.pass(&mut world, until);
            let written = WITHOUT_CLOCK.map(|kind| {
                let kind = Kind::builtin(kind).unwrap();
                world.changes_since(&kind, None, &Selection::default(), from).unwrap()
            });
            (world.version(), record.digest(&world), written.concat())
        });
        prop_assert!(looking.2.is_empty(), "written at rest: {:?}", looking.2);
        prop_assert_eq!(skipping, looking, "a look that nothing called for changed something");
        Ok(())
    });
}
