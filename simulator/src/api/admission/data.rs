use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cluster::Object;
use serde_json::Value;

use super::{FieldError, invalid_field};
use crate::api::status_error::StatusError;

/// The maximum total size of the values of a ConfigMap or Secret, in bytes.
const MAX_DATA_BYTES: usize = 1024 * 1024;
const INVALID_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

pub(super) fn check(object: &Object) -> Result<(), StatusError> {
    let is_secret = object.kind().kind == "Secret";
    let mut size = 0;
    for member in ["data", "binaryData"] {
        let Some(data) = object.field(member) else { continue };
        let Some(data) = data.as_object() else {
            return Err(invalid_field(object, member, &FieldError::Invalid(data, "must be a map")));
        };
        for (key, value) in data {
            let is_key = !key.is_empty()
                && key.len() <= 253
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            let field = format!("{member}[{key}]");
            if !is_key {
                return Err(invalid_field(
                    object,
                    &field,
                    &FieldError::Invalid(&Value::from(key.as_str()), INVALID_KEY),
                ));
            }
            let Some(text) = value.as_str() else {
                return Err(invalid_field(
                    object,
                    &field,
                    &FieldError::Invalid(value, "must be a string"),
                ));
            };
            let is_encoded = is_secret || member == "binaryData";
            let decoded = is_encoded.then(|| BASE64.decode(text)).transpose().map_err(|_| {
                let kind = &object.kind().kind;
                let version = &object.kind().api_version;
                let message = format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: illegal base64 data at input byte 0"
                );
                StatusError::bad_request(message)
            })?;
            size += decoded.map_or(text.len(), |bytes| bytes.len());
        }
    }
    if size > MAX_DATA_BYTES {
        return Err(invalid_field(
            object,
            if is_secret { "data" } else { "[]" },
            &FieldError::TooLong(MAX_DATA_BYTES),
        ));
    }
    Ok(())
}

pub(super) fn check_update(before: &Object, after: &Object) -> Result<(), StatusError> {
    let is_same = |pointer: &str| before.at(pointer) == after.at(pointer);
    if before.field("immutable") == Some(&Value::Bool(true)) {
        if !is_same("/immutable") {
            return Err(invalid_field(
                after,
                "immutable",
                &FieldError::Forbidden("field is immutable when `immutable` is set"),
            ));
        }
        for member in ["data", "binaryData"] {
            if !is_same(&format!("/{member}")) {
                return Err(invalid_field(
                    after,
                    member,
                    &FieldError::Forbidden("field is immutable when `immutable` is set"),
                ));
            }
        }
    }
    if after.kind().kind == "Secret" && !is_same("/type") {
        let value = after.field("type").cloned().unwrap_or_else(|| "".into());
        return Err(invalid_field(
            after,
            "type",
            &FieldError::Invalid(&value, "field is immutable"),
        ));
    }
    Ok(())
}
