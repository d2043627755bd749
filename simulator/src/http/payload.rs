//! Request bodies as objects: JSON, YAML or protobuf, of the kind in the path.

use bytes::Bytes;
use cluster::Object;
use serde_json::{Value, json};

use super::protobuf;
use crate::api::StatusError;

/// The media types of objects.
const OBJECT_MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA];

/// Converts a decoded body to an object.
pub(super) fn object(body: Value) -> Result<Object, StatusError> {
    Object::from_value(body).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
        StatusError::bad_request(format!(
            "the object provided is unrecognized: {error}{}",
            cause.unwrap_or_default()
        ))
    })
}

/// Decodes a body of the given kind. A body without `kind` and `apiVersion` gets them.
pub(super) fn object_body(
    media: &str,
    bytes: &Bytes,
    api_version: &str,
    kind: &str,
) -> Result<Value, StatusError> {
    let mut body = decode(media, bytes, kind)?;
    if body.is_null() {
        body = json!({});
    }
    let Value::Object(members) = &mut body else {
        return Err(StatusError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct"
        )));
    };
    let text =
        |field: &str| members.get(field).and_then(Value::as_str).unwrap_or_default().to_string();
    let (own_version, own_kind) = (text("apiVersion"), text("kind"));
    if !own_kind.is_empty() && own_kind != kind {
        return Err(StatusError::bad_request(format!(
            "{own_kind} in version {own_version:?} cannot be handled as a {kind}: no kind {own_kind:?} is registered for version {own_version:?} in scheme"
        )));
    }
    if !own_version.is_empty() && own_version != api_version {
        return Err(StatusError::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )));
    }
    members.insert("apiVersion".into(), api_version.into());
    members.insert("kind".into(), kind.into());
    if !members.get("metadata").is_some_and(Value::is_object) {
        members.insert("metadata".into(), json!({}));
    }
    remove_nulls(&mut body);
    Ok(body)
}

/// Removes null members: in a complete object, null is the same as absent.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Decodes a body by its media type.
pub(super) fn decode(media: &str, bytes: &Bytes, kind: &str) -> Result<Value, StatusError> {
    match media {
        "" | "application/json" => serde_json::from_slice(bytes).map_err(|error| {
            StatusError::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {error}"
            ))
        }),
        "application/yaml" => yaml(bytes, kind),
        protobuf::MEDIA => protobuf::decode(bytes).map_err(|error| {
            StatusError::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {error}"))
        }),
        _ => Err(StatusError::unsupported_media_type(&OBJECT_MEDIA_TYPES)),
    }
}

fn yaml(bytes: &Bytes, kind: &str) -> Result<Value, StatusError> {
    let invalid = |error: &dyn std::fmt::Display| {
        StatusError::bad_request(format!("error decoding YAML: {kind}: {error}"))
    };
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(&error))?;
    serde_saphyr::from_str(text).map_err(|error| invalid(&error))
}
