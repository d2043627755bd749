//! POST, PUT, PATCH and DELETE: bodies become calls, and answers become objects again.

use bytes::Bytes;
use cluster::{Mode, Object};
use hyper::header;
use serde_json::json;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::agent;
use super::clock::Note;
use super::door::{Door, Request};
use super::media;
use super::options::{delete_body, options, take_over};
use super::patch;
use super::payload::{object, object_body};
use super::read;
use super::respond::{self, Answered};
use super::status;
use super::validate;
use crate::api::{Answer, Call, Deed, FieldValidation, Refusal, Resource, scale_of};

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
    let mut warnings = Vec::new();
    let call = call(request, resource, verb, bytes, &mut warnings)?;
    let mut response = match door.call(&call)? {
        Answer::Refused(refusal) => return Err(refusal),
        Answer::Lost { message } => {
            return Err(Refusal::new(504, "Timeout", format!("Timeout: {message}")));
        }
        Answer::Marked(_) | Answer::Deleted(_) if call.deed == Deed::Evict => {
            let told = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            respond::written(201, &told, request.accepted.writing)
        }
        Answer::Created(object) => respond::object(201, &object, request.accepted),
        Answer::Stored(object) | Answer::Marked(object) => {
            respond::object(200, &object, request.accepted)
        }
        Answer::DeletedAll(objects) => {
            let version = door.world().version();
            let list = read::whole(resource, respond::list_metadata(version, None, None), &objects);
            respond::written(200, &list, request.accepted.writing)
        }
        Answer::Deleted(object) => {
            let told = status::success(resource, &call.name, &object.metadata().uid);
            respond::written(200, &told, request.accepted.writing)
        }
    };
    for warning in warnings {
        // What cannot stand in a header is left out; the object says it all the same.
        if let Ok(value) = format!("299 - {warning:?}").parse() {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

impl Door {
    /// Makes a call at the present moment, notes it before, and tells the watches after.
    fn call(&self, call: &Call) -> Result<Answer, Refusal> {
        let (answer, before, after) = match &self.note {
            Some(note) if call.options.mode == Mode::Apply => {
                while_others_are_served(|| self.make(call, Some(note)))?
            }
            Some(_) | None => self.make(call, None)?,
        };
        if after != before {
            self.clock.tell(after);
        }
        Ok(answer)
    }

    /// Makes a call, noted first; its answer, and the world's version before and after it.
    fn make(&self, call: &Call, note: Option<&Note>) -> Result<(Answer, u64, u64), Refusal> {
        let mut world = self.world();
        if let Some(note) = note {
            note(world.now(), call).map_err(|error| {
                Refusal::new(500, "InternalError", format!("Internal error occurred: {error}"))
            })?;
        }
        let before = world.version();
        let answer = world.call(call);
        Ok((answer, before, world.version()))
    }
}

/// Does something that waits for the disk; where there are several threads, this one serves nobody meanwhile.
fn while_others_are_served<T>(something: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(something),
        _ => something(),
    }
}

fn call(
    request: &Request,
    resource: &Resource,
    verb: &str,
    bytes: &Bytes,
    warnings: &mut Vec<String>,
) -> Result<Call, Refusal> {
    let media = media::of_body(request.header(header::CONTENT_TYPE));
    let place = &request.place;
    let name = place.name.clone().unwrap_or_default();
    let mut options = options(request)?;
    let mut subresource = place.subresource.clone();
    let deed = match (verb, subresource.as_deref()) {
        ("create", Some("eviction")) => {
            let body = object_body(media, bytes, "policy/v1", "Eviction")?;
            take_over(&body["deleteOptions"], &mut options)?;
            subresource = None;
            Deed::Evict
        }
        ("create", None) => {
            Deed::Create(own_object(request, resource, media, bytes, options.validation, warnings)?)
        }
        ("update", Some("scale")) => {
            let body = object_body(media, bytes, "autoscaling/v1", "Scale")?;
            Deed::Update(object(body)?)
        }
        ("update", None | Some("status" | "finalize")) => {
            let object = own_object(request, resource, media, bytes, options.validation, warnings)?;
            if !object.name().is_empty() && object.name() != name {
                return Err(Refusal::misnamed(object.name(), &name));
            }
            Deed::Update(object)
        }
        ("patch", None | Some("status" | "scale")) => {
            patch::deed(request, resource, media, bytes, &mut options, warnings)?
        }
        ("delete", None) => {
            take_over(&delete_body(media, bytes)?, &mut options)?;
            Deed::Delete
        }
        ("deletecollection", None) => {
            take_over(&delete_body(media, bytes)?, &mut options)?;
            Deed::DeleteAll(read::selection(request, resource)?)
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

/// The body as an object of the resource that the path names.
fn own_object(
    request: &Request,
    resource: &Resource,
    media: &str,
    bytes: &Bytes,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Object, Refusal> {
    let kind = &resource.kind;
    let mut body = object_body(media, bytes, &kind.api_version, &kind.kind)?;
    warnings.extend(
        validate::fit(kind, &mut body, validation).map_err(|misfit| misfit.of_object(kind))?,
    );
    if let Some(namespace) = &request.place.namespace {
        match body["metadata"]["namespace"].as_str() {
            None | Some("") => body["metadata"]["namespace"] = namespace.clone().into(),
            Some(own) if own == namespace => {}
            Some(_) => {
                return Err(Refusal::misplaced());
            }
        }
    }
    object(body)
}
