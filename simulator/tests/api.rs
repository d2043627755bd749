//! The simulated cluster as an API server: what the promises of the port cannot ask, for the port has no words for it.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use cluster::{Agent, JsonOp, Kind, Object, Patch, WatchEvent};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::api::{self, Answer, Call, Deed, Options, Propagation, Refusal, Selection};
use simulator::{World, WorldFile};

const WORLD: &str = r#"
apiVersion: chiron.dev/v1alpha1
kind: World
metadata: {name: api}
spec:
  objects:
  - {apiVersion: v1, kind: Node, metadata: {name: node-1}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
  images:
    "web:1": {listens: [{port: 80, paths: [/]}]}
"#;

fn world() -> World {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    World::new(&WorldFile::parse(WORLD).unwrap(), 1, start).unwrap()
}

fn pass(world: &mut World, seconds: i64) {
    world.advance_fully(world.now() + SignedDuration::from_secs(seconds));
}

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn config(name: &str, data: Value) -> Object {
    object(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data}),
    )
}

fn deployment(replicas: u32) -> Object {
    object(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}}}),
    )
}

fn call(kind: &str, name: &str, deed: Deed) -> Call {
    Call {
        kind: Kind::builtin(kind).unwrap(),
        namespace: (!Kind::builtin(kind).unwrap().is_cluster_scoped()).then(|| "shop".into()),
        name: name.into(),
        subresource: None,
        deed,
        options: Options { manager: "tester".into(), ..Options::default() },
        agent: Agent::default(),
    }
}

fn by(manager: &str, call: Call) -> Call {
    Call { options: Options { manager: manager.into(), ..call.options.clone() }, ..call }
}

fn make(world: &mut World, object: &Object) -> Object {
    let kind = object.kind().kind.clone();
    match world.call(&call(&kind, object.name(), Deed::Create(object.clone()))) {
        Answer::Created(object) => object,
        other => panic!("{other:?}"),
    }
}

fn stored(answer: Answer) -> Object {
    match answer {
        Answer::Created(object) | Answer::Stored(object) => object,
        other => panic!("{other:?}"),
    }
}

fn refused(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn find(world: &World, kind: &str, name: &str) -> Option<Object> {
    world.find(&Kind::builtin(kind).unwrap(), Some("shop"), name).ok()
}

fn delete(kind: &str, name: &str, propagation: Option<Propagation>) -> Call {
    let call = call(kind, name, Deed::Delete);
    Call { options: Options { propagation, ..call.options.clone() }, ..call }
}

#[test]
fn an_update_with_a_version_of_before_is_a_conflict() {
    let mut world = world();
    let first = make(&mut world, &config("c", json!({"a": "1"})));
    let second = first.with_field("data", json!({"a": "2"}));
    let second = stored(world.call(&call("ConfigMap", "c", Deed::Update(second))));
    assert_eq!(second.field("data"), Some(&json!({"a": "2"})));
    let late = first.with_field("data", json!({"a": "3"}));
    let refusal = refused(world.call(&call("ConfigMap", "c", Deed::Update(late))));
    assert_eq!((refusal.code, refusal.reason.as_str()), (409, "Conflict"));
    let mut metadata = first.metadata().clone();
    metadata.resource_version = String::new();
    let anyhow = first.with_metadata(metadata).with_field("data", json!({"b": "4"}));
    let third = stored(world.call(&call("ConfigMap", "c", Deed::Update(anyhow))));
    assert_eq!(third.field("data"), Some(&json!({"b": "4"})), "what is not in an update is gone");
}

#[test]
fn deletion_in_the_foreground_waits_for_what_is_owned() {
    let mut world = world();
    make(&mut world, &deployment(2));
    pass(&mut world, 30);
    let answer = world.call(&delete("Deployment", "web", Some(Propagation::Foreground)));
    let Answer::Marked(marked) = answer else { panic!("{answer:?}") };
    assert_eq!(marked.metadata().finalizers, ["foregroundDeletion"]);
    let kinds = |world: &World| -> Vec<String> {
        let left = world.objects().filter(|object| object.namespace() == Some("shop"));
        left.map(|object| object.kind().kind.clone()).filter(|kind| kind != "Event").collect()
    };
    pass(&mut world, 1);
    assert!(find(&world, "Deployment", "web").is_some(), "its pods are not gone yet");
    assert!(kinds(&world).contains(&"Pod".to_string()));
    pass(&mut world, 60);
    assert_eq!(kinds(&world), [""; 0]);
}

#[test]
fn orphans_stay_without_their_owner() {
    let mut world = world();
    make(&mut world, &deployment(1));
    pass(&mut world, 30);
    world.call(&delete("Deployment", "web", Some(Propagation::Orphan)));
    pass(&mut world, 60);
    assert!(find(&world, "Deployment", "web").is_none());
    let mut sets = world.objects().filter(|object| object.kind().kind == "ReplicaSet");
    let set = sets.next().expect("the set stays");
    assert!(set.metadata().owner_references.is_empty());
    assert_eq!(set.at("/status/readyReplicas"), Some(&json!(1)));
}

#[test]
fn many_are_deleted_by_their_labels() {
    let mut world = world();
    for name in ["a", "b", "c"] {
        make(&mut world, &config(name, json!({})));
    }
    let label = Patch::Merge(json!({"metadata": {"labels": {"go": "yes"}}}));
    for name in ["a", "c"] {
        stored(world.call(&call("ConfigMap", name, Deed::Patch(label.clone()))));
    }
    let selection = Selection { labels: "go=yes".parse().unwrap(), ..Selection::default() };
    world.call(&call("ConfigMap", "", Deed::DeleteAll(selection)));
    let left = world.objects().filter(|object| object.kind().kind == "ConfigMap");
    assert_eq!(left.map(Object::name).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn force_takes_fields_over_from_their_owner() {
    let mut world = world();
    make(&mut world, &config("c", json!({"a": "1"})));
    let apply = by("other", call("ConfigMap", "c", Deed::Apply(config("c", json!({"a": "2"})))));
    let refusal = refused(world.call(&apply));
    assert_eq!(
        refusal.message,
        "Apply failed with 1 conflict: conflict with \"tester\" using v1: .data.a"
    );
    assert_eq!(refusal.causes[0].field, ".data.a");
    assert_eq!(refusal.causes[0].reason, "FieldManagerConflict");
    let forced = Call { options: Options { force: true, ..apply.options.clone() }, ..apply };
    let after = stored(world.call(&forced));
    let managers = after.metadata().rest["managedFields"].as_array().unwrap();
    let fields = |name: &str| {
        managers.iter().find(|one| one["manager"] == name).map(|one| &one["fieldsV1"]["f:data"])
    };
    assert_eq!(fields("other"), Some(&json!({"f:a": {}})));
    assert_eq!(fields("tester"), Some(&json!({})), "of the map itself, and of nothing in it");
}

#[test]
fn whoever_reads_is_told_what_the_controllers_own() {
    let mut world = world();
    make(&mut world, &deployment(1));
    pass(&mut world, 30);
    let shown = api::shown(&find(&world, "Deployment", "web").unwrap());
    let managers = shown.metadata().rest["managedFields"].as_array().unwrap();
    let told: Vec<(&str, &str)> = managers
        .iter()
        .map(|one| {
            (one["manager"].as_str().unwrap(), one["subresource"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(told, [("tester", ""), ("kube-controller-manager", "status")]);
    let theirs = &managers[1]["fieldsV1"];
    assert!(theirs["f:status"]["f:readyReplicas"].is_object());
    let revision = &theirs["f:metadata"]["f:annotations"]["f:deployment.kubernetes.io/revision"];
    assert!(revision.is_object(), "{theirs}");
    let stored = find(&world, "Deployment", "web").unwrap();
    let kept = stored.metadata().rest["managedFields"].as_array().unwrap().len();
    assert_eq!(kept, 1, "what controllers own is worked out, not stored");
}

#[test]
fn managers_that_are_written_down_are_taken_over() {
    let mut world = world();
    make(&mut world, &config("c", json!({"a": "1"})));
    let managers = json!([{"manager": "mover", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}}}]);
    let path = "/metadata/managedFields".to_string();
    let patch = Patch::Json(vec![JsonOp::Replace { path, value: managers }]);
    stored(world.call(&call("ConfigMap", "c", Deed::Patch(patch))));
    let without = by("mover", call("ConfigMap", "c", Deed::Apply(config("c", json!({"b": "2"})))));
    let after = stored(world.call(&without));
    assert_eq!(
        after.field("data"),
        Some(&json!({"b": "2"})),
        "the mover owned `a`, and no longer wants it"
    );
}

#[test]
fn a_list_selects_by_fields() {
    let mut world = world();
    make(&mut world, &deployment(2));
    pass(&mut world, 30);
    let pods = Kind::new("v1", "Pod");
    let count = |fields: &str| {
        let selection = Selection { fields: fields.parse().unwrap(), ..Selection::default() };
        world.collect(&pods, None, &selection, None, None).unwrap().items.len()
    };
    assert_eq!(count("spec.nodeName=node-1,status.phase=Running"), 2);
    assert_eq!(count("spec.nodeName!=node-1"), 0);
    assert_eq!(count("metadata.namespace=elsewhere"), 0);
    assert!("spec.nodeName".parse::<api::FieldSelector>().is_err());
}

#[test]
fn pages_are_of_one_moment_until_it_is_forgotten() {
    let mut world = world();
    for name in ["a", "b", "c"] {
        make(&mut world, &config(name, json!({})));
    }
    let kind = Kind::new("v1", "ConfigMap");
    let page = |world: &World, token: Option<&str>| {
        world.collect(&kind, Some("shop"), &Selection::default(), Some(1), token)
    };
    let first = page(&world, None).unwrap();
    assert_eq!(first.remaining, Some(2));
    world.call(&delete("ConfigMap", "b", None));
    let second = page(&world, first.continue_token.as_deref()).unwrap();
    assert_eq!(second.items[0].name(), "b", "it was there when the list began");
    assert_eq!(second.version, first.version);
    world.compact();
    let gone = page(&world, second.continue_token.as_deref()).unwrap_err();
    assert_eq!((gone.code, gone.reason.as_str()), (410, "Expired"));
    assert_eq!(page(&world, Some("no token")).unwrap_err().code, 400);
}

#[test]
fn a_watch_tells_what_comes_into_the_selection_and_what_leaves_it() {
    let mut world = world();
    make(&mut world, &config("a", json!({})));
    let begin = world.version();
    let label = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"on": value}}}));
    for value in [json!("yes"), json!("no"), Value::Null] {
        stored(world.call(&call("ConfigMap", "a", Deed::Patch(label(value)))));
    }
    let selection = Selection { labels: "on=yes".parse().unwrap(), ..Selection::default() };
    let events = world
        .changes_since(&Kind::new("v1", "ConfigMap"), Some("shop"), &selection, begin)
        .unwrap();
    let told: Vec<&str> = events
        .iter()
        .map(|event| match event {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) => "bookmark",
        })
        .collect();
    assert_eq!(told, ["added", "deleted"]);
    world.compact();
    let gone =
        world.changes_since(&Kind::new("v1", "ConfigMap"), None, &selection, begin).unwrap_err();
    assert_eq!(gone.code, 410);
}

#[test]
fn a_quota_holds_a_deployment_back_until_there_is_room() {
    let mut world = world();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": "shop"},
        "spec": {"hard": {"pods": "1"}}});
    make(&mut world, &object(quota));
    pass(&mut world, 1);
    make(&mut world, &deployment(2));
    pass(&mut world, 20);
    let pods = |world: &World| world.objects().filter(|object| object.kind().kind == "Pod").count();
    assert_eq!(pods(&world), 1);
    let told = world.objects().any(|event| {
        event.field("message").and_then(Value::as_str).is_some_and(|text| {
            text.starts_with("Error creating: pods \"web-")
                && text.ends_with(
                    "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1",
                )
        })
    });
    assert!(told, "an Event should say why");
    let more = Patch::Merge(json!({"spec": {"hard": {"pods": "5"}}}));
    stored(world.call(&call("ResourceQuota", "few", Deed::Patch(more))));
    pass(&mut world, 20);
    assert_eq!(pods(&world), 2);
}

#[test]
fn a_budget_in_percent_follows_its_deployment() {
    let mut world = world();
    make(&mut world, &deployment(4));
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxUnavailable": "25%", "selector": {"matchLabels": {"app": "web"}}}});
    make(&mut world, &object(budget));
    pass(&mut world, 30);
    let status = |world: &World| {
        find(world, "PodDisruptionBudget", "web").unwrap().field("status").cloned().unwrap()
    };
    assert_eq!(status(&world)["disruptionsAllowed"], 1);
    assert_eq!(status(&world)["desiredHealthy"], 3);
    assert_eq!(status(&world)["conditions"][0]["reason"], "SufficientPods");
    let pods: Vec<String> = world
        .objects()
        .filter(|object| object.kind().kind == "Pod")
        .map(|pod| pod.name().to_string())
        .collect();
    let evict = |name: &str| call("Pod", name, Deed::Evict);
    assert!(matches!(world.call(&evict(&pods[0])), Answer::Marked(_)));
    let refusal = refused(world.call(&evict(&pods[1])));
    assert_eq!(refusal.code, 429);
    assert_eq!(
        refusal.message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(refusal.causes[0].reason, "DisruptionBudget");
    pass(&mut world, 60);
    assert_eq!(status(&world)["disruptionsAllowed"], 1, "another pod took its place");
}

#[test]
fn a_refusal_is_told_as_a_status() {
    let mut world = world();
    let refusal = refused(world.call(&call("Deployment", "nobody", Deed::Delete)));
    assert_eq!(
        refusal.status(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "deployments.apps \"nobody\" not found", "reason": "NotFound",
            "details": {"name": "nobody", "group": "apps", "kind": "deployments"}, "code": 404})
    );
    make(&mut world, &deployment(1));
    let other = Patch::Merge(json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}));
    let refusal = refused(world.call(&call("Deployment", "web", Deed::Patch(other))));
    let fields: Vec<&str> = refusal.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["spec.template.metadata.labels", "spec.selector"]);
    assert_eq!(refusal.status()["details"]["kind"], "Deployment");
}

#[test]
fn a_namespace_that_a_client_makes_is_furnished() {
    let mut world = world();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}});
    make(&mut world, &object(namespace));
    pass(&mut world, 1);
    let inside = world.objects().filter(|object| object.namespace() == Some("new"));
    let inside: Vec<String> =
        inside.map(|one| format!("{} {}", one.kind().kind, one.name())).collect();
    assert_eq!(inside, ["ConfigMap kube-root-ca.crt", "ServiceAccount default"]);
}

#[test]
fn an_update_of_a_custom_object_says_of_which_version() {
    let mut world = world();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Cluster",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    make(&mut world, &object(definition));
    pass(&mut world, 1);
    let kind = Kind::new("example.com/v1", "Widget");
    let of =
        |deed: Deed| Call { kind: kind.clone(), namespace: None, ..call("Namespace", "w", deed) };
    let widget = |size: u32| {
        object(
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": size}}),
        )
    };
    let made = stored(world.call(&of(Deed::Create(widget(1)))));
    let refusal = refused(world.call(&of(Deed::Update(widget(2)))));
    assert_eq!(
        refusal.message,
        "widgets.example.com \"w\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    let after = stored(world.call(&of(Deed::Update(made.with_field("spec", json!({"size": 2}))))));
    assert_eq!(after.metadata().generation, 2);
    let served = world.resources();
    let resource = served.iter().find(|one| one.kind == kind).expect("it is served");
    assert_eq!(
        (resource.plural.as_str(), resource.singular.as_str(), resource.namespaced),
        ("widgets", "widget", false)
    );
}

#[test]
fn events_are_selected_by_what_they_are_about() {
    let mut world = world();
    make(&mut world, &deployment(1));
    pass(&mut world, 30);
    let count = |fields: &str| {
        let selection = Selection { fields: fields.parse().unwrap(), ..Selection::default() };
        let kind = Kind::new("v1", "Event");
        world.collect(&kind, Some("shop"), &selection, None, None).unwrap().items.len()
    };
    assert_eq!(count("involvedObject.kind=Deployment,involvedObject.name=web"), 1);
    assert_eq!(count("involvedObject.kind=Deployment,source=deployment-controller"), 1);
    assert_eq!(count("involvedObject.kind=Deployment,type=Warning"), 0);
    assert_eq!(count("reason=Started"), 1);
}

fn run_pod(world: &mut World, finalizers: Value) {
    let pod = object(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "held", "namespace": "shop", "finalizers": finalizers},
        "spec": {"containers": [{"name": "main", "image": "web:1"}]}}));
    make(world, &pod);
    pass(world, 60);
    let phase = find(world, "Pod", "held").unwrap().at("/status/phase").cloned();
    assert_eq!(phase, Some(json!("Running")));
}

fn without_finalizers(world: &mut World) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    stored(world.call(&call("Pod", "held", Deed::Patch(patch))));
}

#[test]
fn a_finalizer_holds_a_pod_whose_containers_have_ended() {
    let mut world = world();
    run_pod(&mut world, json!(["example.com/held"]));
    world.call(&delete("Pod", "held", None));
    pass(&mut world, 120);
    assert!(find(&world, "Pod", "held").is_some(), "its containers ended, and it is held");
    without_finalizers(&mut world);
    pass(&mut world, 5);
    assert!(find(&world, "Pod", "held").is_none());
}

#[test]
fn a_pod_that_nothing_holds_any_more_is_still_ended_by_its_node() {
    let mut world = world();
    run_pod(&mut world, json!(["example.com/held"]));
    world.call(&delete("Pod", "held", None));
    without_finalizers(&mut world);
    assert!(find(&world, "Pod", "held").is_some(), "its containers are being stopped");
    pass(&mut world, 120);
    assert!(find(&world, "Pod", "held").is_none());
}
