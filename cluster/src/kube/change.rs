use http::Method;
use serde_json::{Value, json};

use super::discovery::ApiResource;
use super::http_client::HttpRequest;
use super::path::{RequestPath, is_segment};
use crate::{JsonOp, Mode, NotSent, Object, ObjectRef, Patch, Preconditions, Request, Verb};

/// Field manager of server-side apply and of all other writes.
const FIELD_MANAGER: &str = "chiron";

/// Builds the HTTP request for a change with `preconditions`; `resource` is the API resource of its target.
///
/// Rejects targets that would change the meaning of the HTTP request: a deletion without a name deletes the valid
/// collection.
pub(super) fn build_request(
    request: &Request,
    preconditions: &Preconditions,
    resource: &ApiResource,
) -> Result<HttpRequest, NotSent> {
    let target = &request.target;
    if resource.is_namespaced && !target.namespace.as_deref().is_some_and(is_segment) {
        return Err(invalid(format!("{} {} requires a namespace", target.kind, target.name)));
    }
    let all = || resource.list_path(target.namespace.as_deref());
    let path = |subresource: Option<&str>| {
        let path = object_path(all(), target)?;
        Ok::<RequestPath, NotSent>(match subresource {
            Some(subresource) => path.join(subresource),
            None => path,
        })
    };
    let (method, path, content_type, body) = match &request.verb {
        Verb::Create(object) => {
            check_target(object, target)?;
            (Method::POST, all(), "application/json", object.to_value())
        }
        Verb::Patch { patch, subresource } => {
            let (content_type, body) = patch_with_preconditions(patch, preconditions);
            (Method::PATCH, path(subresource.as_deref())?, content_type, body)
        }
        Verb::Apply(object) => {
            check_target(object, target)?;
            (
                Method::PATCH,
                path(None)?,
                "application/apply-patch+yaml",
                apply_body(object, preconditions),
            )
        }
        Verb::Delete { grace_seconds } => {
            let body = delete_options(preconditions, *grace_seconds, request.mode);
            (Method::DELETE, path(None)?, "application/json", body)
        }
        Verb::Evict => {
            let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": target.name, "namespace": target.namespace},
                "deleteOptions": delete_options(preconditions, None, request.mode)});
            (Method::POST, path(Some("eviction"))?, "application/json", body)
        }
    };
    let mut path = path;
    if !matches!(request.verb, Verb::Delete { .. } | Verb::Evict) {
        path = path.with("fieldManager", FIELD_MANAGER);
    }
    if let Verb::Apply(_) = request.verb {
        path = path.with("force", "false");
    }
    if request.mode == Mode::DryRun {
        path = path.with("dryRun", "All");
    }
    let body = body.to_string().into_bytes();
    Ok(HttpRequest {
        method,
        content_type,
        body,
        agent: request.agent.to_string(),
        ..HttpRequest::get(path)
    })
}

/// Returns the path of the object that `target` references.
fn object_path(all: RequestPath, target: &ObjectRef) -> Result<RequestPath, NotSent> {
    if is_segment(&target.name) {
        Ok(all.join(&target.name))
    } else {
        Err(invalid(format!("{:?} is not a valid name of a {}", target.name, target.kind)))
    }
}

fn invalid(message: String) -> NotSent {
    NotSent::InvalidRequest { message }
}

/// Checks that the object in the body is the target. The path of a create request has no name, so the API server would
/// use the name in the body.
fn check_target(object: &Object, target: &ObjectRef) -> Result<(), NotSent> {
    let is_target = object.kind() == &target.object_kind()
        && (target.name.is_empty() || object.name() == target.name)
        && object.namespace() == target.namespace.as_deref();
    if is_target {
        return Ok(());
    }
    Err(invalid("the object in the body is not the target of the request".into()))
}

/// Adds the preconditions to the patch itself: the API server compares uid and version of the result with the stored
/// object.
fn patch_with_preconditions(patch: &Patch, preconditions: &Preconditions) -> (&'static str, Value) {
    let fields =
        [("resourceVersion", &preconditions.resource_version), ("uid", &preconditions.uid)];
    let required = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    match patch {
        Patch::Json(operations) => {
            let mut guarded: Vec<JsonOp> = required
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
            for (name, value) in required {
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

/// Returns the body of a server-side apply request. Its content type is YAML, of which JSON is a subset.
fn apply_body(object: &Object, preconditions: &Preconditions) -> Value {
    let mut tree = object.to_value();
    if let Some(Value::Object(metadata)) = tree.get_mut("metadata") {
        // The API server computes the managed fields.
        metadata.remove("managedFields");
    }
    for (name, value) in
        [("resourceVersion", &preconditions.resource_version), ("uid", &preconditions.uid)]
    {
        if let Some(value) = value {
            set(&mut tree, name, value);
        }
    }
    tree
}

/// Sets a metadata field in a merge patch or apply body.
fn set(tree: &mut Value, name: &str, value: &str) {
    // The API server rejects a patch that is not an object.
    let Value::Object(map) = tree else { return };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if let Value::Object(metadata) = metadata {
        metadata.insert(name.into(), value.into());
    }
}

fn delete_options(preconditions: &Preconditions, grace_seconds: Option<u32>, mode: Mode) -> Value {
    let mut options =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    let map = options.as_object_mut().expect("constructed above as an object");
    if *preconditions != Preconditions::default() {
        let mut required = json!({});
        for (name, value) in
            [("uid", &preconditions.uid), ("resourceVersion", &preconditions.resource_version)]
        {
            if let Some(value) = value {
                required[name] = value.clone().into();
            }
        }
        map.insert("preconditions".into(), required);
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

    fn resource() -> ApiResource {
        ApiResource {
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

    fn sent(request: &Request) -> Result<(String, &'static str, Value), NotSent> {
        let built = build_request(request, &request.preconditions, &resource())?;
        let body = serde_json::from_slice(&built.body).unwrap();
        Ok((format!("{} {}", built.method, built.path), built.content_type, body))
    }

    fn cart() -> Object {
        let managed = json!([{"manager": "kubectl"}]);
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cart", "namespace": "shop", "managedFields": managed}, "spec": {"replicas": 2}}))
        .unwrap()
    }

    #[test]
    fn build_request_places_preconditions_per_verb() {
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
        let required = json!({"uid": "u1", "resourceVersion": "7"});
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
                    "gracePeriodSeconds": 5, "preconditions": required, "dryRun": ["All"]}),
            ),
            (
                Verb::Evict,
                format!("POST {all}/cart/eviction?dryRun=All"),
                "application/json",
                json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "cart", "namespace": "shop"},
                    "deleteOptions": {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
                        "preconditions": required, "dryRun": ["All"]}}),
            ),
        ];
        for (verb, path, content_type, body) in cases {
            assert_eq!(sent(&request(verb)).unwrap(), (path, content_type, body));
        }
        let commit = Request { mode: Mode::Commit, ..request(Verb::Create(cart())) };
        assert_eq!(sent(&commit).unwrap().0, format!("POST {all}?fieldManager=chiron"));
    }

    #[test]
    fn build_request_rejects_ambiguous_targets() {
        let valid = request(Verb::Delete { grace_seconds: None });
        let of = |name: &str, namespace: Option<&str>| Request {
            target: ObjectRef {
                name: name.into(),
                namespace: namespace.map(Into::into),
                ..valid.target.clone()
            },
            ..valid.clone()
        };
        for bad in [
            of("", Some("shop")),
            of("..", Some("shop")),
            of("a/b", Some("shop")),
            of("cart", None),
            of("cart", Some("")),
            of("cart", Some("..")),
        ] {
            assert!(matches!(sent(&bad), Err(NotSent::InvalidRequest { .. })), "{}", bad.target);
        }
        let other =
            Request { target: of("till", Some("shop")).target, ..request(Verb::Create(cart())) };
        assert!(matches!(sent(&other), Err(NotSent::InvalidRequest { .. })));
        let kind = Kind::new("apps/v1", "ReplicaSet");
        let wrong = ObjectRef { kind: kind.kind, ..valid.target.clone() };
        let other = Request { target: wrong, ..request(Verb::Create(cart())) };
        assert!(matches!(sent(&other), Err(NotSent::InvalidRequest { .. })));
    }
}
