//! POST, PUT, PATCH and DELETE: bodies become calls, and answers become objects again.

use bytes::Bytes;
use cluster::{JsonOp, Mode, Object, Patch, Preconditions};
use hyper::header;
use serde_json::{Value, json};

use super::agent;
use super::door::{Door, Request};
use super::media;
use super::protobuf;
use super::read;
use super::respond::{self, Answered};
use super::status;
use crate::api::{
    Answer, Call, Deed, FieldValidation, Options, Propagation, Refusal, Resource, scale_of,
};

/// Media types of whole objects.
const OBJECTS: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA];
/// Media types of patches.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// How many operations one JSON patch may have.
const OPERATIONS: usize = 10_000;

/// The Scale that stands for an object.
pub(super) fn scale(door: &Door, request: &Request, resource: &Resource, name: &str) -> Answered {
    let object = door.world().find(&resource.kind, request.place.namespace.as_deref(), name)?;
    let scale = scale_of(&resource.kind.kind, &object).ok_or_else(Refusal::no_such_path)?;
    Ok(respond::object(200, &scale, request.accepted))
}

/// Does what the request asks, and answers with what became of it.
pub(super) fn change(
    door: &Door,
    request: &Request,
    resource: &Resource,
    verb: &str,
    bytes: &Bytes,
) -> Answered {
    let call = call(request, resource, verb, bytes)?;
    let before = match &call.deed {
        // What is gone cannot be told afterwards.
        Deed::DeleteAll(selection) => {
            let namespace = call.namespace.as_deref();
            door.world().collect(&call.kind, namespace, selection, None, None)?.items
        }
        Deed::Delete => {
            let found = door.world().find(&call.kind, call.namespace.as_deref(), &call.name);
            found.into_iter().collect()
        }
        Deed::Create(_) | Deed::Update(_) | Deed::Patch(_) | Deed::Apply(_) | Deed::Evict => {
            Vec::new()
        }
    };
    match door.call(&call)? {
        Answer::Created(object) if call.deed != Deed::Evict => {
            Ok(respond::object(201, &object, request.accepted))
        }
        _ if call.deed == Deed::Evict => {
            let told = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            Ok(respond::written(201, &told, request.accepted.writing))
        }
        Answer::Created(object) | Answer::Stored(object) => {
            Ok(respond::object(200, &object, request.accepted))
        }
        Answer::Deleted(_) if matches!(call.deed, Deed::DeleteAll(_)) => {
            let version = door.world().version();
            let list = read::whole(resource, respond::list_metadata(version, None, None), &before);
            Ok(respond::written(200, &list, request.accepted.writing))
        }
        Answer::Deleted(Some(object)) => Ok(respond::object(200, &object, request.accepted)),
        Answer::Deleted(None) => {
            let uid =
                before.first().map(|object| object.metadata().uid.clone()).unwrap_or_default();
            let told = status::success(resource, &call.name, &uid);
            Ok(respond::written(200, &told, request.accepted.writing))
        }
        Answer::Refused(refusal) => Err(refusal),
        Answer::Lost { message } => {
            Err(Refusal::new(504, "Timeout", format!("Timeout: {message}")))
        }
    }
}

impl Door {
    /// Makes a call at the present moment, notes it before, and tells the watches after.
    fn call(&self, call: &Call) -> Result<Answer, Refusal> {
        let (answer, before, after) = {
            let mut world = self.world();
            if let Some(note) = self.note.as_ref().filter(|_| call.options.mode == Mode::Apply) {
                note(world.now(), call).map_err(|error| {
                    Refusal::new(500, "InternalError", format!("Internal error occurred: {error}"))
                })?;
            }
            let before = world.version();
            let answer = world.call(call);
            (answer, before, world.version())
        };
        if after != before {
            self.clock.tell(after);
        }
        Ok(answer)
    }
}

fn call(
    request: &Request,
    resource: &Resource,
    verb: &str,
    bytes: &Bytes,
) -> Result<Call, Refusal> {
    let media = media::of_body(request.header(header::CONTENT_TYPE));
    let place = &request.place;
    let name = place.name.clone().unwrap_or_default();
    let mut options = options(request)?;
    let mut subresource = place.subresource.clone();
    let deed = match (verb, subresource.as_deref()) {
        ("create", Some("eviction")) => {
            let body = object_body(media, bytes, "policy/v1", "Eviction")?;
            delete_options(&body["deleteOptions"], &mut options)?;
            subresource = None;
            Deed::Evict
        }
        ("create", None) => Deed::Create(own_object(request, resource, media, bytes)?),
        ("update", Some("scale")) => {
            let body = object_body(media, bytes, "autoscaling/v1", "Scale")?;
            Deed::Update(object(body)?)
        }
        ("update", None | Some("status" | "finalize")) => {
            let object = own_object(request, resource, media, bytes)?;
            if !object.name().is_empty() && object.name() != name {
                return Err(Refusal::bad_request(format!(
                    "the name of the object ({}) does not match the name on the URL ({name})",
                    object.name()
                )));
            }
            Deed::Update(object)
        }
        ("patch", None | Some("status" | "scale")) => {
            patch(request, resource, media, bytes, &mut options)?
        }
        ("delete", None) => {
            delete_options(&delete_body(media, bytes)?, &mut options)?;
            Deed::Delete
        }
        ("deletecollection", None) => {
            delete_options(&delete_body(media, bytes)?, &mut options)?;
            Deed::DeleteAll(read::selection(request)?)
        }
        _ => return Err(Refusal::not_allowed()),
    };
    let agent = agent::agent(request.header(header::USER_AGENT));
    Ok(Call {
        kind: resource.kind.clone(),
        namespace: place.namespace.clone(),
        name,
        subresource,
        deed,
        options,
        agent,
    })
}

/// What the query says of how a call is made.
fn options(request: &Request) -> Result<Options, Refusal> {
    let query = &request.query;
    let invalid = |why: String| {
        let kind = match request.method.as_str() {
            "POST" => "CreateOptions",
            "PATCH" => "PatchOptions",
            "DELETE" => "DeleteOptions",
            _ => "UpdateOptions",
        };
        Refusal::new(422, "Invalid", format!("{kind}.meta.k8s.io \"\" is invalid: {why}"))
    };
    let mut mode = Mode::Apply;
    for value in query.all("dryRun") {
        if value != "All" {
            return Err(invalid(format!(
                "dryRun: Unsupported value: {value:?}: supported values: \"All\""
            )));
        }
        mode = Mode::DryRun;
    }
    let validation = match query.text("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            return Err(invalid(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
            )));
        }
    };
    let manager = match query.text("fieldManager") {
        Some(manager) if manager.len() > 128 => {
            return Err(invalid(format!(
                "fieldManager: Too long: may not be more than 128 bytes, is {}",
                manager.len()
            )));
        }
        Some(manager) => manager.to_string(),
        None => agent::manager(request.header(header::USER_AGENT)),
    };
    let mut options =
        Options { mode, manager, force: query.is("force")?, validation, ..Options::default() };
    if request.method.as_str() == "DELETE" {
        let seconds = query.number("gracePeriodSeconds")?;
        options.grace_seconds =
            seconds.map(|seconds| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
        options.propagation = query.text("propagationPolicy").map(propagation).transpose()?;
    }
    Ok(options)
}

fn propagation(text: &str) -> Result<Propagation, Refusal> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => Err(Refusal::new(
            422,
            "Invalid",
            format!(
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\", \"\""
            ),
        )),
    }
}

fn delete_body(media: &str, bytes: &Bytes) -> Result<Value, Refusal> {
    if bytes.is_empty() { Ok(Value::Null) } else { decode(media, bytes, "DeleteOptions") }
}

/// Takes over what the body of a deletion says; it weighs more than the query.
fn delete_options(body: &Value, options: &mut Options) -> Result<(), Refusal> {
    if let Some(seconds) = body["gracePeriodSeconds"].as_i64() {
        options.grace_seconds = Some(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
    }
    if let Some(text) = body["propagationPolicy"].as_str() {
        options.propagation = Some(propagation(text)?);
    }
    match body["orphanDependents"].as_bool() {
        Some(true) => options.propagation = Some(Propagation::Orphan),
        Some(false) => options.propagation = Some(Propagation::Background),
        None => {}
    }
    if body["dryRun"].as_array().is_some_and(|list| !list.is_empty()) {
        options.mode = Mode::DryRun;
    }
    let text = |field: &str| body["preconditions"][field].as_str().map(String::from);
    options.preconditions =
        Preconditions { uid: text("uid"), resource_version: text("resourceVersion") };
    Ok(())
}

/// The body as an object of the resource that the path names.
fn own_object(
    request: &Request,
    resource: &Resource,
    media: &str,
    bytes: &Bytes,
) -> Result<Object, Refusal> {
    let kind = &resource.kind;
    let mut body = object_body(media, bytes, &kind.api_version, &kind.kind)?;
    if let Some(namespace) = &request.place.namespace {
        match body["metadata"]["namespace"].as_str() {
            None | Some("") => body["metadata"]["namespace"] = namespace.clone().into(),
            Some(own) if own == namespace => {}
            Some(_) => {
                return Err(Refusal::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
        }
    }
    object(body)
}

fn object(body: Value) -> Result<Object, Refusal> {
    Object::from_value(body).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Refusal::bad_request(format!(
            "the object provided is unrecognized: {error}{}",
            cause.unwrap_or_default()
        ))
    })
}

/// The body, which must be of this kind; a body that does not say its kind is taken to be.
fn object_body(
    media: &str,
    bytes: &Bytes,
    api_version: &str,
    kind: &str,
) -> Result<Value, Refusal> {
    let mut body = decode(media, bytes, kind)?;
    let Value::Object(members) = &mut body else {
        return Err(Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct"
        )));
    };
    let said =
        |field: &str| members.get(field).and_then(Value::as_str).unwrap_or_default().to_string();
    let (own_version, own_kind) = (said("apiVersion"), said("kind"));
    if !own_kind.is_empty() && own_kind != kind {
        return Err(Refusal::bad_request(format!(
            "{own_kind} in version {own_version:?} cannot be handled as a {kind}: no kind {own_kind:?} is registered for version {own_version:?} in scheme"
        )));
    }
    if !own_version.is_empty() && own_version != api_version {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )));
    }
    members.insert("apiVersion".into(), api_version.into());
    members.insert("kind".into(), kind.into());
    if !members.get("metadata").is_some_and(Value::is_object) {
        members.insert("metadata".into(), json!({}));
    }
    without_nulls(&mut body);
    Ok(body)
}

/// In a whole object, null is the same as absent.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reads a body in any of the forms of objects.
pub(super) fn decode(media: &str, bytes: &Bytes, kind: &str) -> Result<Value, Refusal> {
    match media {
        "" | "application/json" => serde_json::from_slice(bytes).map_err(|error| {
            Refusal::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {error}"
            ))
        }),
        "application/yaml" => yaml(bytes, kind),
        protobuf::MEDIA => protobuf::decode(bytes).map_err(|error| {
            Refusal::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {error}"))
        }),
        other => Err(Refusal::unsupported(other, &OBJECTS)),
    }
}

fn yaml(bytes: &Bytes, kind: &str) -> Result<Value, Refusal> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Refusal::bad_request(format!("error decoding YAML: {kind}: {error}"))
    };
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(&error))?;
    serde_saphyr::from_str(text).map_err(|error| unreadable(&error))
}

fn patch(
    request: &Request,
    resource: &Resource,
    media: &str,
    bytes: &Bytes,
    options: &mut Options,
) -> Result<Deed, Refusal> {
    let is_apply = media == PATCHES[3];
    let invalid = |why: &str| {
        Refusal::new(422, "Invalid", format!("PatchOptions.meta.k8s.io \"\" is invalid: {why}"))
    };
    if options.force && !is_apply {
        return Err(invalid("force: Forbidden: may not be specified for non-apply patch"));
    }
    let value = || -> Result<Value, Refusal> {
        serde_json::from_slice(bytes)
            .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))
    };
    match media {
        "application/json-patch+json" => {
            let operations: Vec<JsonOp> = serde_json::from_value(value()?)
                .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
            if operations.len() > OPERATIONS {
                let message = format!(
                    "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS}, got {}",
                    operations.len()
                );
                return Err(Refusal::new(413, "RequestEntityTooLarge", message));
            }
            Ok(Deed::Patch(Patch::Json(operations)))
        }
        "application/merge-patch+json" => {
            tree(value()?).map(|tree| Deed::Patch(Patch::Merge(tree)))
        }
        "application/strategic-merge-patch+json" => {
            if cluster::Kind::builtin(&resource.kind.kind).is_none()
                && resource.kind.api_version.contains('.')
                && !resource.kind.api_version.contains(".k8s.io/")
            {
                return Err(Refusal::unsupported(media, &[PATCHES[0], PATCHES[1], PATCHES[3]]));
            }
            tree(value()?).map(|tree| Deed::Patch(Patch::Strategic(tree)))
        }
        "application/apply-patch+yaml" => {
            let Some(manager) = request.query.text("fieldManager") else {
                return Err(invalid("fieldManager: Required value: is required for apply patch"));
            };
            options.manager = manager.into();
            let kind = &resource.kind;
            let (api_version, name) = match request.place.subresource.as_deref() {
                Some("scale") => ("autoscaling/v1", "Scale"),
                Some(_) | None => (kind.api_version.as_str(), kind.kind.as_str()),
            };
            let mut body = object_body("application/yaml", bytes, api_version, name)?;
            let own = body["metadata"]["name"].as_str().unwrap_or_default().to_string();
            let wanted = request.place.name.clone().unwrap_or_default();
            if own.is_empty() {
                body["metadata"]["name"] = wanted.into();
            } else if own != wanted {
                return Err(Refusal::bad_request(format!(
                    "the name of the object ({own}) does not match the name on the URL ({wanted})"
                )));
            }
            if let Some(namespace) = &request.place.namespace {
                body["metadata"]["namespace"] = namespace.clone().into();
            }
            object(body).map(Deed::Apply)
        }
        other => Err(Refusal::unsupported(other, &PATCHES)),
    }
}

fn tree(value: Value) -> Result<Value, Refusal> {
    if value.is_object() {
        Ok(value)
    } else {
        Err(Refusal::bad_request("error decoding patch: a merge patch is a JSON object"))
    }
}
