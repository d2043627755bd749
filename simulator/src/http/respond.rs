//! Responses.

use bytes::Bytes;
use cluster::Object;
use hyper::{HeaderMap, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::ResponseBody;
use super::media::{Accepted, Encoding, Representation};
use super::wire::WireObject;
use crate::api::{StatusError, with_managed_fields};

/// The result of a request handler.
pub(super) type HandlerResult = Result<Response<ResponseBody>, StatusError>;

/// Returns an error as a `Status` response.
pub(super) fn error_response(error: &StatusError) -> Response<ResponseBody> {
    let mut response = json(error.code, &error.status());
    if let Some(seconds) = error.retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Returns a JSON response.
pub(super) fn json(code: u16, value: &impl Serialize) -> Response<ResponseBody> {
    encoded(code, value, Encoding::Json)
}

/// Returns a response in the negotiated encoding.
pub(super) fn encoded(
    code: u16,
    value: &impl Serialize,
    encoding: Encoding,
) -> Response<ResponseBody> {
    let (bytes, kind) = match encoding {
        Encoding::Json => {
            let mut bytes = serde_json::to_vec(value).expect("a response serializes");
            bytes.push(b'\n');
            (bytes, "application/json")
        }
        Encoding::Yaml => {
            let text =
                serde_saphyr::to_string(value).unwrap_or_else(|error| format!("# {error}\n"));
            (text.into_bytes(), "application/yaml")
        }
    };
    full(code, kind, bytes)
}

/// Returns a response with a complete body.
pub(super) fn full(code: u16, kind: &'static str, bytes: Vec<u8>) -> Response<ResponseBody> {
    with_headers(code, kind, ResponseBody::from(bytes))
}

/// Returns a response with a streamed body.
pub(super) fn stream(kind: &'static str, chunks: mpsc::Receiver<Bytes>) -> Response<ResponseBody> {
    with_headers(200, kind, ResponseBody::Stream(chunks))
}

fn with_headers(code: u16, kind: &'static str, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache, private"));
    response
}

/// Returns a response with one object in the negotiated representation.
pub(super) fn object(code: u16, object: &Object, accepted: Accepted) -> Response<ResponseBody> {
    match accepted.representation {
        Representation::Metadata => {
            encoded(code, &super::table::metadata_of(object), accepted.encoding)
        }
        Representation::Full | Representation::Table | Representation::Discovery => {
            encoded(code, &WireObject::with_type(&with_managed_fields(object)), accepted.encoding)
        }
    }
}

/// A serializable list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KubernetesList<'a> {
    pub(super) kind: String,
    pub(super) api_version: &'a str,
    pub(super) metadata: Value,
    pub(super) items: Vec<WireObject<'a>>,
}

/// Returns the metadata of a list.
pub(super) fn list_metadata(
    version: u64,
    continue_token: Option<&str>,
    remaining: Option<usize>,
) -> Value {
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(token) = continue_token {
        metadata["continue"] = token.into();
    }
    if let Some(remaining) = remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}
