use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cluster::Object;
use serde_json::Value;

use super::{Wrong, wrong};
use crate::api::refusal::Refusal;

/// Bytes of all values of a ConfigMap or a Secret together.
const MOST: usize = 1024 * 1024;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

pub(super) fn check(object: &Object) -> Result<(), Refusal> {
    let is_secret = object.kind().kind == "Secret";
    let mut size = 0;
    for member in ["data", "binaryData"] {
        let Some(data) = object.field(member) else { continue };
        let Some(data) = data.as_object() else {
            return Err(wrong(object, member, &Wrong::Invalid(data, "must be a map")));
        };
        for (key, value) in data {
            let is_key = !key.is_empty()
                && key.len() <= 253
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            let field = format!("{member}[{key}]");
            if !is_key {
                return Err(wrong(
                    object,
                    &field,
                    &Wrong::Invalid(&Value::from(key.as_str()), KEY),
                ));
            }
            let Some(text) = value.as_str() else {
                return Err(wrong(object, &field, &Wrong::Invalid(value, "must be a text")));
            };
            let is_encoded = is_secret || member == "binaryData";
            let decoded = is_encoded.then(|| BASE64.decode(text)).transpose().map_err(|_| {
                let kind = &object.kind().kind;
                let version = &object.kind().api_version;
                let message = format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: illegal base64 data at input byte 0"
                );
                Refusal::bad_request(message)
            })?;
            size += decoded.map_or(text.len(), |bytes| bytes.len());
        }
    }
    if size > MOST {
        return Err(wrong(object, if is_secret { "data" } else { "[]" }, &Wrong::TooLong(MOST)));
    }
    Ok(())
}

pub(super) fn check_update(before: &Object, after: &Object) -> Result<(), Refusal> {
    let is_same = |pointer: &str| before.at(pointer) == after.at(pointer);
    if before.field("immutable") == Some(&Value::Bool(true)) {
        if !is_same("/immutable") {
            return Err(wrong(
                after,
                "immutable",
                &Wrong::Forbidden("field is immutable when `immutable` is set"),
            ));
        }
        for member in ["data", "binaryData"] {
            if !is_same(&format!("/{member}")) {
                return Err(wrong(
                    after,
                    member,
                    &Wrong::Forbidden("field is immutable when `immutable` is set"),
                ));
            }
        }
    }
    if after.kind().kind == "Secret" && !is_same("/type") {
        let value = after.field("type").cloned().unwrap_or_else(|| "".into());
        return Err(wrong(after, "type", &Wrong::Invalid(&value, "field is immutable")));
    }
    Ok(())
}
