//! Call options: query parameters and `DeleteOptions`.

use bytes::Bytes;
use cluster::{Mode, Preconditions};
use hyper::header;
use serde_json::Value;

use super::agent;
use super::payload::decode;
use super::server::ApiRequest;
use crate::api::{CallOptions, FieldValidation, Propagation, StatusError};

/// The maximum length of a field manager, in bytes.
const MAX_MANAGER_BYTES: usize = 128;

/// Parses the options in the query.
pub(super) fn options(request: &ApiRequest) -> Result<CallOptions, StatusError> {
    let query = &request.query;
    let kind = match request.method.as_str() {
        "POST" => "CreateOptions",
        "PATCH" => "PatchOptions",
        "DELETE" => "DeleteOptions",
        _ => "UpdateOptions",
    };
    let unsupported = |field: &str, value: String, known: &str| {
        let detail = format!("Unsupported value: {value}: supported values: {known}");
        StatusError::invalid_option(kind, "FieldValueNotSupported", field, &detail)
    };
    let mut mode = Mode::Commit;
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
        Some(manager) if manager.len() > MAX_MANAGER_BYTES => {
            let detail = format!("Too long: may not be more than {MAX_MANAGER_BYTES} bytes");
            return Err(StatusError::invalid_option(
                kind,
                "FieldValueTooLong",
                "fieldManager",
                &detail,
            ));
        }
        Some(manager) => manager.to_string(),
        None => agent::manager(request.header(header::USER_AGENT)),
    };
    let mut options = CallOptions {
        mode,
        manager,
        force: query.is("force"),
        validation,
        ..CallOptions::default()
    };
    if request.method.as_str() == "DELETE" {
        options.grace_seconds = query.number("gracePeriodSeconds")?.map(seconds);
        options.propagation = query.text("propagationPolicy").map(propagation).transpose()?;
    }
    Ok(options)
}

fn seconds(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

fn propagation(text: &str) -> Result<Propagation, StatusError> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => {
            let detail = format!(
                "Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
            );
            Err(StatusError::invalid_option(
                "DeleteOptions",
                "FieldValueNotSupported",
                "propagationPolicy",
                &detail,
            ))
        }
    }
}

/// Parses the `DeleteOptions` in the body. Null if the body is empty.
pub(super) fn delete_body(media: &str, bytes: &Bytes) -> Result<Value, StatusError> {
    if bytes.is_empty() { Ok(Value::Null) } else { decode(media, bytes, "DeleteOptions") }
}

/// Merges `DeleteOptions` from the body into `options`. They take precedence over the query.
pub(super) fn merge_delete_options(
    body: &Value,
    options: &mut CallOptions,
) -> Result<(), StatusError> {
    if let Some(value) = body["gracePeriodSeconds"].as_i64() {
        options.grace_seconds = Some(seconds(value));
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
