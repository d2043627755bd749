//! POST, PUT, PATCH and DELETE: converts requests to calls, and results to responses.

use bytes::Bytes;
use cluster::{Mode, Object};
use hyper::header;
use serde_json::json;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::agent;
use super::clock::ChangeHook;
use super::media;
use super::options::{delete_body, merge_delete_options, options};
use super::patch;
use super::payload::{object, object_body};
use super::read;
use super::respond::{self, HandlerResult};
use super::server::{ApiRequest, ApiServer};
use super::status;
use super::validate;
use crate::api::{
    ApiCall, CallResult, FieldValidation, Operation, ServedResource, StatusError, scale_of,
};

/// Returns the Scale of an object.
pub(super) fn scale(
    server: &ApiServer,
    request: &ApiRequest,
    resource: &ServedResource,
    name: &str,
) -> HandlerResult {
    let object = server.world().get(&resource.kind, request.target.namespace.as_deref(), name)?;
    let scale = scale_of(&resource.kind.kind, &object).ok_or_else(StatusError::no_such_path)?;
    Ok(respond::object(200, &scale, request.accepted))
}

/// Executes a changing request.
pub(super) fn change(
    server: &ApiServer,
    request: &ApiRequest,
    resource: &ServedResource,
    verb: &str,
    bytes: &Bytes,
) -> HandlerResult {
    let mut warnings = Vec::new();
    let call = call(request, resource, verb, bytes, &mut warnings)?;
    let mut response = match server.call(&call)? {
        CallResult::Refused(error) => return Err(error),
        CallResult::ConnectionLost { message } => {
            return Err(StatusError::new(504, "Timeout", format!("Timeout: {message}")));
        }
        CallResult::Terminating(_) | CallResult::Deleted(_)
            if call.operation == Operation::Evict =>
        {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            respond::encoded(201, &status, request.accepted.encoding)
        }
        CallResult::Created(object) => respond::object(201, &object, request.accepted),
        CallResult::Stored(object) | CallResult::Terminating(object) => {
            respond::object(200, &object, request.accepted)
        }
        CallResult::DeletedAll(objects) => {
            let version = server.world().version();
            let list =
                read::object_list(resource, respond::list_metadata(version, None, None), &objects);
            respond::encoded(200, &list, request.accepted.encoding)
        }
        CallResult::Deleted(object) => {
            let status = status::success(resource, &call.name, &object.metadata().uid);
            respond::encoded(200, &status, request.accepted.encoding)
        }
    };
    for warning in warnings {
        // A warning that is not a valid header value is skipped; the response body has the same information.
        if let Ok(value) = format!("299 - {warning:?}").parse() {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

impl ApiServer {
    /// Executes a call at the current time. Calls the change hook before it, and notifies watches after it.
    fn call(&self, call: &ApiCall) -> Result<CallResult, StatusError> {
        let (result, before, after) = match &self.change_hook {
            Some(hook) if call.options.mode == Mode::Commit => {
                block_in_place(|| self.execute(call, Some(hook)))?
            }
            Some(_) | None => self.execute(call, None)?,
        };
        if after != before {
            self.clock.publish_change(after);
        }
        Ok(result)
    }

    /// Executes a call after the change hook. Returns the result, and the world's version before and after the call.
    fn execute(
        &self,
        call: &ApiCall,
        hook: Option<&ChangeHook>,
    ) -> Result<(CallResult, u64, u64), StatusError> {
        let mut world = self.world();
        if let Some(hook) = hook {
            hook(world.now(), call).map_err(|error| {
                StatusError::new(500, "InternalError", format!("Internal error occurred: {error}"))
            })?;
        }
        let before = world.version();
        let result = world.call(call);
        Ok((result, before, world.version()))
    }
}

/// Runs `f`, which waits for the disk. On a multi-threaded runtime, other tasks move to other threads meanwhile.
fn block_in_place<T>(f: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(f),
        _ => f(),
    }
}

fn call(
    request: &ApiRequest,
    resource: &ServedResource,
    verb: &str,
    bytes: &Bytes,
    warnings: &mut Vec<String>,
) -> Result<ApiCall, StatusError> {
    let media = media::of_body(request.header(header::CONTENT_TYPE));
    let target = &request.target;
    let name = target.name.clone().unwrap_or_default();
    let mut options = options(request)?;
    let mut subresource = target.subresource.clone();
    let operation = match (verb, subresource.as_deref()) {
        ("create", Some("eviction")) => {
            let body = object_body(media, bytes, "policy/v1", "Eviction")?;
            merge_delete_options(&body["deleteOptions"], &mut options)?;
            subresource = None;
            Operation::Evict
        }
        ("create", None) => Operation::Create(parse_object(
            request,
            resource,
            media,
            bytes,
            options.validation,
            warnings,
        )?),
        ("update", Some("scale")) => {
            let body = object_body(media, bytes, "autoscaling/v1", "Scale")?;
            Operation::Update(object(body)?)
        }
        ("update", None | Some("status" | "finalize")) => {
            let object =
                parse_object(request, resource, media, bytes, options.validation, warnings)?;
            if !object.name().is_empty() && object.name() != name {
                return Err(StatusError::name_mismatch(object.name(), &name));
            }
            Operation::Update(object)
        }
        ("patch", None | Some("status" | "scale")) => {
            patch::operation(request, resource, media, bytes, &mut options, warnings)?
        }
        ("delete", None) => {
            merge_delete_options(&delete_body(media, bytes)?, &mut options)?;
            Operation::Delete
        }
        ("deletecollection", None) => {
            merge_delete_options(&delete_body(media, bytes)?, &mut options)?;
            Operation::DeleteAll(read::selection(request, resource)?)
        }
        _ => return Err(StatusError::method_not_allowed()),
    };
    let agent = agent::agent(request.header(header::USER_AGENT));
    Ok(ApiCall {
        kind: resource.kind.clone(),
        namespace: target.namespace.clone(),
        name,
        subresource,
        operation,
        options,
        agent,
    })
}

/// Parses the body as an object of the resource in the path.
fn parse_object(
    request: &ApiRequest,
    resource: &ServedResource,
    media: &str,
    bytes: &Bytes,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Object, StatusError> {
    let kind = &resource.kind;
    let mut body = object_body(media, bytes, &kind.api_version, &kind.kind)?;
    warnings.extend(
        validate::prune_unknown_fields(kind, &mut body, validation)
            .map_err(|error| error.for_object(kind))?,
    );
    if let Some(namespace) = &request.target.namespace {
        match body["metadata"]["namespace"].as_str() {
            None | Some("") => body["metadata"]["namespace"] = namespace.clone().into(),
            Some(own) if own == namespace => {}
            Some(_) => {
                return Err(StatusError::namespace_mismatch());
            }
        }
    }
    object(body)
}
