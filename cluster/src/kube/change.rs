use http::Method;
use serde_json::{Value, json};

use super::discovery::Resource;
use super::path::{Path, is_segment};
use super::wire::Call;
use crate::{JsonOp, Mode, Object, ObjectRef, Patch, Preconditions, Reply, Request, Verb};

/// Who we are to the cluster's record of which writer owns which field.
const MANAGER: &str = "chiron";

/// The HTTP request that asks for `request` if what is `wanted` holds, where `resource` serves its target.
///
/// What the request names but cannot mean is refused here, for on the wire it would mean something else: a deletion
/// without a name is one of everything.
pub(super) fn call(
    request: &Request,
    wanted: &Preconditions,
    resource: &Resource,
) -> Result<Call, Reply> {
    let target = &request.target;
    if resource.is_namespaced && !target.namespace.as_deref().is_some_and(is_segment) {
        return Err(bad(format!("{} {} needs a namespace", target.kind, target.name)));
    }
    let all = || resource.all(target.namespace.as_deref());
    let path = |below: Option<&str>| {
        let path = named(all(), target)?;
        Ok::<Path, Reply>(match below {
            Some(subresource) => path.at(subresource),
            None => path,
        })
    };
    let (method, path, content_type, body) = match &request.verb {
        Verb::Create(object) => {
            is_the_target(object, target)?;
            (Method::POST, all(), "application/json", object.to_value())
        }
        Verb::Patch { patch, subresource } => {
            let (content_type, body) = guarded(patch, wanted);
            (Method::PATCH, path(subresource.as_deref())?, content_type, body)
        }
        Verb::Apply(object) => {
            is_the_target(object, target)?;
            (Method::PATCH, path(None)?, "application/apply-patch+yaml", applied(object, wanted))
        }
        Verb::Delete { grace_seconds } => {
            let body = deletion(wanted, *grace_seconds, request.mode);
            (Method::DELETE, path(None)?, "application/json", body)
        }
        Verb::Evict => {
            let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": target.name, "namespace": target.namespace},
                "deleteOptions": deletion(wanted, None, request.mode)});
            (Method::POST, path(Some("eviction"))?, "application/json", body)
        }
    };
    let mut path = path;
    if !matches!(request.verb, Verb::Delete { .. } | Verb::Evict) {
        path = path.with("fieldManager", MANAGER);
    }
    if let Verb::Apply(_) = request.verb {
        path = path.with("force", "false");
    }
    if request.mode == Mode::DryRun {
        path = path.with("dryRun", "All");
    }
    let body = body.to_string().into_bytes();
    Ok(Call { method, content_type, body, agent: request.agent.to_string(), ..Call::get(path) })
}

/// The path of the one object that `target` names.
fn named(all: Path, target: &ObjectRef) -> Result<Path, Reply> {
    if is_segment(&target.name) {
        Ok(all.at(&target.name))
    } else {
        Err(bad(format!("{:?} is no name of a {}", target.name, target.kind)))
    }
}

fn bad(message: String) -> Reply {
    Reply::Refused { code: 400, reason: "BadRequest".into(), message }
}

/// A creation has no name in its path, so the server would take the body's.
fn is_the_target(object: &Object, target: &ObjectRef) -> Result<(), Reply> {
    let is_one = object.kind() == &target.object_kind()
        && (target.name.is_empty() || object.name() == target.name)
        && object.namespace() == target.namespace.as_deref();
    if is_one {
        return Ok(());
    }
    Err(bad("the object in the body is not the one that the request names".into()))
}

/// A patch that holds its own preconditions: the server compares what it would store with what is stored.
fn guarded(patch: &Patch, wanted: &Preconditions) -> (&'static str, Value) {
    let fields = [("resourceVersion", &wanted.resource_version), ("uid", &wanted.uid)];
    let demands = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    match patch {
        Patch::Json(operations) => {
            let mut guarded: Vec<JsonOp> = demands
                .map(|(name, value)| JsonOp::Replace {
                    path: format!("/metadata/{name}"),
                    value: value.clone().into(),
                })
                .collect();
            guarded.extend(operations.iter().cloned());
            ("application/json-patch+json", json!(guarded))
        }
        Patch::Merge(tree) | Patch::Strategic(tree) => {
            let mut tree = tree.clone();
            for (name, value) in demands {
                set(&mut tree, name, value);
            }
            let content_type = if matches!(patch, Patch::Merge(_)) {
                "application/merge-patch+json"
            } else {
                "application/strategic-merge-patch+json"
            };
            (content_type, tree)
        }
    }
}

/// What is applied: JSON is YAML too.
fn applied(object: &Object, wanted: &Preconditions) -> Value {
    let mut tree = object.to_value();
    if let Some(Value::Object(metadata)) = tree.get_mut("metadata") {
        // Who owns which field is what the server works out.
        metadata.remove("managedFields");
    }
    for (name, value) in [("resourceVersion", &wanted.resource_version), ("uid", &wanted.uid)] {
        if let Some(value) = value {
            set(&mut tree, name, value);
        }
    }
    tree
}

/// Sets a field of the metadata in a tree that is laid over an object.
fn set(tree: &mut Value, name: &str, value: &str) {
    // A patch that is no tree is the server's to refuse.
    let Value::Object(map) = tree else { return };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if let Value::Object(metadata) = metadata {
        metadata.insert(name.into(), value.into());
    }
}

fn deletion(wanted: &Preconditions, grace_seconds: Option<u32>, mode: Mode) -> Value {
    let mut options =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    let map = options.as_object_mut().expect("written above as an object");
    if *wanted != Preconditions::default() {
        let mut demands = json!({});
        for (name, value) in [("uid", &wanted.uid), ("resourceVersion", &wanted.resource_version)] {
            if let Some(value) = value {
                demands[name] = value.clone().into();
            }
        }
        map.insert("preconditions".into(), demands);
    }
    if let Some(seconds) = grace_seconds {
        map.insert("gracePeriodSeconds".into(), seconds.into());
    }
    if mode == Mode::DryRun {
        map.insert("dryRun".into(), json!(["All"]));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Agent, Kind};

    fn resource() -> Resource {
        Resource {
            group: "apps".into(),
            version: "v1".into(),
            plural: "deployments".into(),
            is_namespaced: true,
        }
    }

    fn request(verb: Verb) -> Request {
        Request {
            target: ObjectRef::builtin("c", "Deployment", Some("shop"), "cart"),
            verb,
            preconditions: Preconditions {
                uid: Some("u1".into()),
                resource_version: Some("7".into()),
            },
            mode: Mode::DryRun,
            agent: Agent::default(),
        }
    }

    fn sent(request: &Request) -> Result<(String, &'static str, Value), Reply> {
        let call = call(request, &request.preconditions, &resource())?;
        let body = serde_json::from_slice(&call.body).unwrap();
        Ok((format!("{} {}", call.method, call.path), call.content_type, body))
    }

    fn cart() -> Object {
        let managed = json!([{"manager": "kubectl"}]);
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cart", "namespace": "shop", "managedFields": managed}, "spec": {"replicas": 2}}))
        .unwrap()
    }

    #[test]
    fn every_verb_carries_its_preconditions_where_the_server_looks_for_them() {
        let all = "/apis/apps/v1/namespaces/shop/deployments";
        let merge = |subresource: Option<&str>| Verb::Patch {
            patch: Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}})),
            subresource: subresource.map(Into::into),
        };
        let merged =
            json!({"metadata": {"labels": {"a": "b"}, "resourceVersion": "7", "uid": "u1"}});
        let json_patch = Verb::Patch {
            patch: Patch::Json(vec![JsonOp::Remove { path: "/spec/paused".into() }]),
            subresource: None,
        };
        let demands = json!({"uid": "u1", "resourceVersion": "7"});
        let dry = "fieldManager=chiron&dryRun=All";
        let cases = [
            (
                merge(None),
                format!("PATCH {all}/cart?{dry}"),
                "application/merge-patch+json",
                merged.clone(),
            ),
            (
                merge(Some("scale")),
                format!("PATCH {all}/cart/scale?{dry}"),
                "application/merge-patch+json",
                merged,
            ),
            (
                json_patch,
                format!("PATCH {all}/cart?{dry}"),
                "application/json-patch+json",
                json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
                    {"op": "replace", "path": "/metadata/uid", "value": "u1"},
                    {"op": "remove", "path": "/spec/paused"}]),
            ),
            (
                Verb::Apply(cart()),
                format!("PATCH {all}/cart?fieldManager=chiron&force=false&dryRun=All"),
                "application/apply-patch+yaml",
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2},
                    "metadata": {"name": "cart", "namespace": "shop", "resourceVersion": "7", "uid": "u1"}}),
            ),
            (
                Verb::Delete { grace_seconds: Some(5) },
                format!("DELETE {all}/cart?dryRun=All"),
                "application/json",
                json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
                    "gracePeriodSeconds": 5, "preconditions": demands, "dryRun": ["All"]}),
            ),
            (
                Verb::Evict,
                format!("POST {all}/cart/eviction?dryRun=All"),
                "application/json",
                json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "cart", "namespace": "shop"},
                    "deleteOptions": {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
                        "preconditions": demands, "dryRun": ["All"]}}),
            ),
        ];
        for (verb, path, content_type, body) in cases {
            assert_eq!(sent(&request(verb)).unwrap(), (path, content_type, body));
        }
        let meant = Request { mode: Mode::Apply, ..request(Verb::Create(cart())) };
        assert_eq!(sent(&meant).unwrap().0, format!("POST {all}?fieldManager=chiron"));
    }

    #[test]
    fn what_would_mean_something_else_on_the_wire_is_not_sent() {
        let whole = request(Verb::Delete { grace_seconds: None });
        let of = |name: &str, namespace: Option<&str>| Request {
            target: ObjectRef {
                name: name.into(),
                namespace: namespace.map(Into::into),
                ..whole.target.clone()
            },
            ..whole.clone()
        };
        for bad in [
            of("", Some("shop")),
            of("..", Some("shop")),
            of("a/b", Some("shop")),
            of("cart", None),
            of("cart", Some("")),
            of("cart", Some("..")),
        ] {
            assert!(matches!(sent(&bad), Err(Reply::Refused { code: 400, .. })), "{}", bad.target);
        }
        let other =
            Request { target: of("till", Some("shop")).target, ..request(Verb::Create(cart())) };
        assert!(matches!(sent(&other), Err(Reply::Refused { code: 400, .. })));
        let kind = Kind::new("apps/v1", "ReplicaSet");
        let wrong = ObjectRef { kind: kind.kind, ..whole.target.clone() };
        let other = Request { target: wrong, ..request(Verb::Create(cart())) };
        assert!(matches!(sent(&other), Err(Reply::Refused { code: 400, .. })));
    }
}
