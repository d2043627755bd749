//! Bodies as objects: JSON, YAML or protobuf, of the kind that the path names.

use bytes::Bytes;
use cluster::Object;
use serde_json::{Value, json};

use super::protobuf;
use crate::api::Refusal;

/// Media types of whole objects.
const OBJECTS: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA];

/// The object that a body is.
pub(super) fn object(body: Value) -> Result<Object, Refusal> {
    Object::from_value(body).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Refusal::bad_request(format!(
            "the object provided is unrecognized: {error}{}",
            cause.unwrap_or_default()
        ))
    })
}

/// The body, which must be of this kind; a body that does not say its kind is taken to be.
pub(super) fn object_body(
    media: &str,
    bytes: &Bytes,
    api_version: &str,
    kind: &str,
) -> Result<Value, Refusal> {
    let mut body = decode(media, bytes, kind)?;
    if body.is_null() {
        body = json!({});
    }
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
        _ => Err(Refusal::unknown_form(&OBJECTS)),
    }
}

fn yaml(bytes: &Bytes, kind: &str) -> Result<Value, Refusal> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Refusal::bad_request(format!("error decoding YAML: {kind}: {error}"))
    };
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(&error))?;
    serde_saphyr::from_str(text).map_err(|error| unreadable(&error))
}
