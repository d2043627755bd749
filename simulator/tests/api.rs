//! The simulated API server: behaviour that the contract of the `cluster` port cannot express.
#![allow(clippy::unwrap_used, reason = "unwrap is the assertion of a test")]

use cluster::{Agent, JsonOp, Kind, Object, Patch, WatchEvent};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::api::{
    self, ApiCall, CallOptions, CallResult, Operation, Propagation, Selection, StatusError,
};
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

fn advance(world: &mut World, seconds: i64) {
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

fn call(kind: &str, name: &str, operation: Operation) -> ApiCall {
    ApiCall {
        kind: Kind::builtin(kind).unwrap(),
        namespace: (!Kind::builtin(kind).unwrap().is_cluster_scoped()).then(|| "shop".into()),
        name: name.into(),
        subresource: None,
        operation,
        options: CallOptions { manager: "tester".into(), ..CallOptions::default() },
        agent: Agent::default(),
    }
}

fn managed_by(manager: &str, call: ApiCall) -> ApiCall {
    ApiCall { options: CallOptions { manager: manager.into(), ..call.options.clone() }, ..call }
}

fn create(world: &mut World, object: &Object) -> Object {
    let kind = object.kind().kind.clone();
    match world.call(&call(&kind, object.name(), Operation::Create(object.clone()))) {
        CallResult::Created(object) => object,
        other => panic!("{other:?}"),
    }
}

fn stored(result: CallResult) -> Object {
    match result {
        CallResult::Created(object) | CallResult::Stored(object) => object,
        other => panic!("{other:?}"),
    }
}

fn rejected(result: CallResult) -> StatusError {
    match result {
        CallResult::Refused(error) => error,
        other => panic!("{other:?}"),
    }
}

fn find(world: &World, kind: &str, name: &str) -> Option<Object> {
    world.get(&Kind::builtin(kind).unwrap(), Some("shop"), name).ok()
}

fn delete(kind: &str, name: &str, propagation: Option<Propagation>) -> ApiCall {
    let call = call(kind, name, Operation::Delete);
    ApiCall { options: CallOptions { propagation, ..call.options.clone() }, ..call }
}

#[test]
fn update_with_outdated_resource_version_conflicts() {
    let mut world = world();
    let first = create(&mut world, &config("c", json!({"a": "1"})));
    let second = first.with_field("data", json!({"a": "2"}));
    let second = stored(world.call(&call("ConfigMap", "c", Operation::Update(second))));
    assert_eq!(second.field("data"), Some(&json!({"a": "2"})));
    let late = first.with_field("data", json!({"a": "3"}));
    let error = rejected(world.call(&call("ConfigMap", "c", Operation::Update(late))));
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
    let mut metadata = first.metadata().clone();
    metadata.resource_version = String::new();
    let unconditional = first.with_metadata(metadata).with_field("data", json!({"b": "4"}));
    let third = stored(world.call(&call("ConfigMap", "c", Operation::Update(unconditional))));
    assert_eq!(
        third.field("data"),
        Some(&json!({"b": "4"})),
        "an update removes fields that it does not contain"
    );
}

#[test]
fn foreground_deletion_waits_for_dependents() {
    let mut world = world();
    create(&mut world, &deployment(2));
    advance(&mut world, 30);
    let result = world.call(&delete("Deployment", "web", Some(Propagation::Foreground)));
    let CallResult::Terminating(marked) = result else { panic!("{result:?}") };
    assert_eq!(marked.metadata().finalizers, ["foregroundDeletion"]);
    let kinds = |world: &World| -> Vec<String> {
        let left = world.objects().filter(|object| object.namespace() == Some("shop"));
        left.map(|object| object.kind().kind.clone()).filter(|kind| kind != "Event").collect()
    };
    advance(&mut world, 1);
    assert!(find(&world, "Deployment", "web").is_some(), "its pods still exist");
    assert!(kinds(&world).contains(&"Pod".to_string()));
    advance(&mut world, 60);
    assert_eq!(kinds(&world), [""; 0]);
}

#[test]
fn orphan_deletion_keeps_dependents() {
    let mut world = world();
    create(&mut world, &deployment(1));
    advance(&mut world, 30);
    world.call(&delete("Deployment", "web", Some(Propagation::Orphan)));
    advance(&mut world, 60);
    assert!(find(&world, "Deployment", "web").is_none());
    let mut sets = world.objects().filter(|object| object.kind().kind == "ReplicaSet");
    let set = sets.next().expect("the ReplicaSet still exists");
    assert!(set.metadata().owner_references.is_empty());
    assert_eq!(set.at("/status/readyReplicas"), Some(&json!(1)));
}

#[test]
fn delete_collection_selects_by_labels() {
    let mut world = world();
    for name in ["a", "b", "c"] {
        create(&mut world, &config(name, json!({})));
    }
    let label = Patch::Merge(json!({"metadata": {"labels": {"go": "yes"}}}));
    for name in ["a", "c"] {
        stored(world.call(&call("ConfigMap", name, Operation::Patch(label.clone()))));
    }
    let selection = Selection { labels: "go=yes".parse().unwrap(), ..Selection::default() };
    world.call(&call("ConfigMap", "", Operation::DeleteAll(selection)));
    let left = world.objects().filter(|object| object.kind().kind == "ConfigMap");
    assert_eq!(left.map(Object::name).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn forced_apply_takes_over_conflicting_fields() {
    let mut world = world();
    create(&mut world, &config("c", json!({"a": "1"})));
    let apply = managed_by(
        "other",
        call("ConfigMap", "c", Operation::Apply(config("c", json!({"a": "2"})))),
    );
    let error = rejected(world.call(&apply));
    assert_eq!(
        error.message,
        "Apply failed with 1 conflict: conflict with \"tester\" using v1: .data.a"
    );
    assert_eq!(error.causes[0].field, ".data.a");
    assert_eq!(error.causes[0].reason, "FieldManagerConflict");
    let forced = ApiCall { options: CallOptions { force: true, ..apply.options.clone() }, ..apply };
    let after = stored(world.call(&forced));
    let managers = after.metadata().rest["managedFields"].as_array().unwrap();
    let fields = |name: &str| {
        managers.iter().find(|one| one["manager"] == name).map(|one| &one["fieldsV1"]["f:data"])
    };
    assert_eq!(fields("other"), Some(&json!({"f:a": {}})));
    assert_eq!(fields("tester"), Some(&json!({})), "still owns the map, but no key in it");
}

#[test]
fn read_object_lists_managed_fields_of_controllers() {
    let mut world = world();
    create(&mut world, &deployment(1));
    advance(&mut world, 30);
    let shown = api::with_managed_fields(&find(&world, "Deployment", "web").unwrap());
    let managers = shown.metadata().rest["managedFields"].as_array().unwrap();
    let reported: Vec<(&str, &str)> = managers
        .iter()
        .map(|one| {
            (one["manager"].as_str().unwrap(), one["subresource"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(reported, [("tester", ""), ("kube-controller-manager", "status")]);
    let theirs = &managers[1]["fieldsV1"];
    assert!(theirs["f:status"]["f:readyReplicas"].is_object());
    let revision = &theirs["f:metadata"]["f:annotations"]["f:deployment.kubernetes.io/revision"];
    assert!(revision.is_object(), "{theirs}");
    let stored = find(&world, "Deployment", "web").unwrap();
    let kept = stored.metadata().rest["managedFields"].as_array().unwrap().len();
    assert_eq!(kept, 1, "the controllers' managed fields are computed on read, not stored");
}

#[test]
fn patched_managed_fields_are_used_by_apply() {
    let mut world = world();
    create(&mut world, &config("c", json!({"a": "1"})));
    let managers = json!([{"manager": "mover", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}}}]);
    let path = "/metadata/managedFields".to_string();
    let patch = Patch::Json(vec![JsonOp::Replace { path, value: managers }]);
    stored(world.call(&call("ConfigMap", "c", Operation::Patch(patch))));
    let without = managed_by(
        "mover",
        call("ConfigMap", "c", Operation::Apply(config("c", json!({"b": "2"})))),
    );
    let after = stored(world.call(&without));
    assert_eq!(
        after.field("data"),
        Some(&json!({"b": "2"})),
        "`a` is removed because its only manager no longer applies it"
    );
}

#[test]
fn list_selects_by_field_selector() {
    let mut world = world();
    create(&mut world, &deployment(2));
    advance(&mut world, 30);
    let pods = Kind::new("v1", "Pod");
    let count = |fields: &str| {
        let selection = Selection { fields: fields.parse().unwrap(), ..Selection::default() };
        world.list(&pods, None, &selection, None, None).unwrap().items.len()
    };
    assert_eq!(count("spec.nodeName=node-1,status.phase=Running"), 2);
    assert_eq!(count("spec.nodeName!=node-1"), 0);
    assert_eq!(count("metadata.namespace=elsewhere"), 0);
    let refused = "status.phase=Running,spec.nodeName".parse::<api::FieldSelector>().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "invalid selector: 'status.phase=Running,spec.nodeName'; can't understand 'spec.nodeName'"
    );
}

#[test]
fn pages_share_one_version_until_it_is_compacted() {
    let mut world = world();
    for name in ["a", "b", "c"] {
        create(&mut world, &config(name, json!({})));
    }
    let kind = Kind::new("v1", "ConfigMap");
    let page = |world: &World, token: Option<&str>| {
        world.list(&kind, Some("shop"), &Selection::default(), Some(1), token)
    };
    let first = page(&world, None).unwrap();
    assert_eq!(first.remaining, Some(2));
    world.call(&delete("ConfigMap", "b", None));
    let second = page(&world, first.continue_token.as_deref()).unwrap();
    assert_eq!(second.items[0].name(), "b", "`b` existed at the version of the first page");
    assert_eq!(second.version, first.version);
    world.compact();
    let expired = page(&world, second.continue_token.as_deref()).unwrap_err();
    assert_eq!((expired.code, expired.reason.as_str()), (410, "Expired"));
    assert_eq!(page(&world, Some("no token")).unwrap_err().code, 400);
}

#[test]
fn watch_reports_objects_entering_and_leaving_selection() {
    let mut world = world();
    create(&mut world, &config("a", json!({})));
    let begin = world.version();
    let label = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"on": value}}}));
    for value in [json!("yes"), json!("no"), Value::Null] {
        stored(world.call(&call("ConfigMap", "a", Operation::Patch(label(value)))));
    }
    let selection = Selection { labels: "on=yes".parse().unwrap(), ..Selection::default() };
    let events = world
        .changes_since(&Kind::new("v1", "ConfigMap"), Some("shop"), &selection, begin)
        .unwrap();
    let reported: Vec<&str> = events
        .iter()
        .map(|event| match event {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) => "bookmark",
        })
        .collect();
    assert_eq!(reported, ["added", "deleted"]);
    world.compact();
    let expired =
        world.changes_since(&Kind::new("v1", "ConfigMap"), None, &selection, begin).unwrap_err();
    assert_eq!(expired.code, 410);
}

#[test]
fn quota_limits_pods_of_deployment_until_raised() {
    let mut world = world();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": "shop"},
        "spec": {"hard": {"pods": "1"}}});
    create(&mut world, &object(quota));
    advance(&mut world, 1);
    create(&mut world, &deployment(2));
    advance(&mut world, 20);
    let pods = |world: &World| world.objects().filter(|object| object.kind().kind == "Pod").count();
    assert_eq!(pods(&world), 1);
    let is_reported = world.objects().any(|event| {
        event.field("message").and_then(Value::as_str).is_some_and(|text| {
            text.starts_with("Error creating: pods \"web-")
                && text.ends_with(
                    "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1",
                )
        })
    });
    assert!(is_reported, "an Event contains the error");
    let more = Patch::Merge(json!({"spec": {"hard": {"pods": "5"}}}));
    stored(world.call(&call("ResourceQuota", "few", Operation::Patch(more))));
    advance(&mut world, 20);
    assert_eq!(pods(&world), 2);
}

#[test]
fn percentage_budget_limits_evictions() {
    let mut world = world();
    create(&mut world, &deployment(4));
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxUnavailable": "25%", "selector": {"matchLabels": {"app": "web"}}}});
    create(&mut world, &object(budget));
    advance(&mut world, 30);
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
    let evict = |name: &str| call("Pod", name, Operation::Evict);
    assert!(matches!(world.call(&evict(&pods[0])), CallResult::Terminating(_)));
    let error = rejected(world.call(&evict(&pods[1])));
    assert_eq!(error.code, 429);
    assert_eq!(error.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(error.causes[0].reason, "DisruptionBudget");
    advance(&mut world, 60);
    assert_eq!(status(&world)["disruptionsAllowed"], 1, "the evicted pod was replaced");
}

#[test]
fn rejected_call_converts_to_status_object() {
    let mut world = world();
    let error = rejected(world.call(&call("Deployment", "absent", Operation::Delete)));
    assert_eq!(
        error.status(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "deployments.apps \"absent\" not found", "reason": "NotFound",
            "details": {"name": "absent", "group": "apps", "kind": "deployments"}, "code": 404})
    );
    create(&mut world, &deployment(1));
    let other = Patch::Merge(json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}));
    let error = rejected(world.call(&call("Deployment", "web", Operation::Patch(other))));
    let fields: Vec<&str> = error.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["spec.template.metadata.labels", "spec.selector"]);
    assert_eq!(error.status()["details"]["kind"], "Deployment");
}

#[test]
fn created_namespace_gets_default_objects() {
    let mut world = world();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}});
    create(&mut world, &object(namespace));
    advance(&mut world, 1);
    let inside = world.objects().filter(|object| object.namespace() == Some("new"));
    let inside: Vec<String> =
        inside.map(|one| format!("{} {}", one.kind().kind, one.name())).collect();
    assert_eq!(inside, ["ConfigMap kube-root-ca.crt", "ServiceAccount default"]);
}

#[test]
fn custom_object_update_requires_resource_version() {
    let mut world = world();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Cluster",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    create(&mut world, &object(definition));
    advance(&mut world, 1);
    let kind = Kind::new("example.com/v1", "Widget");
    let of = |operation: Operation| ApiCall {
        kind: kind.clone(),
        namespace: None,
        ..call("Namespace", "w", operation)
    };
    let widget = |size: u32| {
        object(
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": size}}),
        )
    };
    let created = stored(world.call(&of(Operation::Create(widget(1)))));
    let error = rejected(world.call(&of(Operation::Update(widget(2)))));
    assert_eq!(
        error.message,
        "widgets.example.com \"w\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    let after =
        stored(world.call(&of(Operation::Update(created.with_field("spec", json!({"size": 2}))))));
    assert_eq!(after.metadata().generation, 2);
    let served = world.resources();
    let resource =
        served.iter().find(|one| one.kind == kind).expect("the custom resource is served");
    assert_eq!(
        (resource.plural.as_str(), resource.singular.as_str(), resource.namespaced),
        ("widgets", "widget", false)
    );
}

#[test]
fn events_are_selected_by_involved_object() {
    let mut world = world();
    create(&mut world, &deployment(1));
    advance(&mut world, 30);
    let count = |fields: &str| {
        let selection = Selection { fields: fields.parse().unwrap(), ..Selection::default() };
        let kind = Kind::new("v1", "Event");
        world.list(&kind, Some("shop"), &selection, None, None).unwrap().items.len()
    };
    assert_eq!(count("involvedObject.kind=Deployment,involvedObject.name=web"), 1);
    assert_eq!(count("involvedObject.kind=Deployment,source=deployment-controller"), 1);
    assert_eq!(count("involvedObject.kind=Deployment,type=Warning"), 0);
    assert_eq!(count("reason=Started"), 1);
}

fn run_pod(world: &mut World, finalizers: Value) {
    let pod = object(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "finalized", "namespace": "shop", "finalizers": finalizers},
        "spec": {"containers": [{"name": "main", "image": "web:1"}]}}));
    create(world, &pod);
    advance(world, 60);
    let phase = find(world, "Pod", "finalized").unwrap().at("/status/phase").cloned();
    assert_eq!(phase, Some(json!("Running")));
}

fn remove_finalizers(world: &mut World) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    stored(world.call(&call("Pod", "finalized", Operation::Patch(patch))));
}

#[test]
fn finalizer_keeps_terminated_pod() {
    let mut world = world();
    run_pod(&mut world, json!(["example.com/cleanup"]));
    world.call(&delete("Pod", "finalized", None));
    advance(&mut world, 120);
    assert!(
        find(&world, "Pod", "finalized").is_some(),
        "the finalizer keeps the pod after its containers terminated"
    );
    remove_finalizers(&mut world);
    advance(&mut world, 5);
    assert!(find(&world, "Pod", "finalized").is_none());
}

#[test]
fn pod_without_finalizers_waits_for_its_containers() {
    let mut world = world();
    run_pod(&mut world, json!(["example.com/cleanup"]));
    world.call(&delete("Pod", "finalized", None));
    remove_finalizers(&mut world);
    assert!(find(&world, "Pod", "finalized").is_some(), "its containers are still terminating");
    advance(&mut world, 120);
    assert!(find(&world, "Pod", "finalized").is_none());
}
