//! How a call is made: what its query says, and what the body of a deletion says besides.

use bytes::Bytes;
use cluster::{Mode, Preconditions};
use hyper::header;
use serde_json::Value;

use super::agent;
use super::door::Request;
use super::payload::decode;
use crate::api::{FieldValidation, Options, Propagation, Refusal};

/// How long the name of a manager may be, in bytes.
const MANAGER: usize = 128;

/// What the query says of how a call is made.
pub(super) fn options(request: &Request) -> Result<Options, Refusal> {
    let query = &request.query;
    let kind = match request.method.as_str() {
        "POST" => "CreateOptions",
        "PATCH" => "PatchOptions",
        "DELETE" => "DeleteOptions",
        _ => "UpdateOptions",
    };
    let unsupported = |field: &str, value: String, known: &str| {
        let why = format!("Unsupported value: {value}: supported values: {known}");
        Refusal::bad_option(kind, "FieldValueNotSupported", field, &why)
    };
    let mut mode = Mode::Apply;
    for value in query.all("dryRun") {
        if value != "All" {
            return Err(unsupported("dryRun", format!("[{value:?}]"), "\"All\""));
        }
        mode = Mode::DryRun;
    }
    let validation = match query.text("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            let known = "\"\", \"Ignore\", \"Strict\", \"Warn\"";
            return Err(unsupported("fieldValidation", format!("{other:?}"), known));
        }
    };
    let manager = match query.text("fieldManager") {
        Some(manager) if manager.len() > MANAGER => {
            let why = format!("Too long: may not be more than {MANAGER} bytes");
            return Err(Refusal::bad_option(kind, "FieldValueTooLong", "fieldManager", &why));
        }
        Some(manager) => manager.to_string(),
        None => agent::manager(request.header(header::USER_AGENT)),
    };
    let mut options =
        Options { mode, manager, force: query.is("force"), validation, ..Options::default() };
    if request.method.as_str() == "DELETE" {
        options.grace_seconds = query.number("gracePeriodSeconds")?.map(seconds);
        options.propagation = query.text("propagationPolicy").map(propagation).transpose()?;
    }
    Ok(options)
}

fn seconds(given: i64) -> u32 {
    u32::try_from(given.max(0)).unwrap_or(u32::MAX)
}

fn propagation(text: &str) -> Result<Propagation, Refusal> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => {
            let why = format!(
                "Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
            );
            Err(Refusal::bad_option(
                "DeleteOptions",
                "FieldValueNotSupported",
                "propagationPolicy",
                &why,
            ))
        }
    }
}

/// What the body of a deletion says, if there is one.
pub(super) fn delete_body(media: &str, bytes: &Bytes) -> Result<Value, Refusal> {
    if bytes.is_empty() { Ok(Value::Null) } else { decode(media, bytes, "DeleteOptions") }
}

/// Takes over what the body of a deletion says; it weighs more than the query.
pub(super) fn take_over(body: &Value, options: &mut Options) -> Result<(), Refusal> {
    if let Some(given) = body["gracePeriodSeconds"].as_i64() {
        options.grace_seconds = Some(seconds(given));
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
