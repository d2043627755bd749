//! Answers on their way out.

use bytes::Bytes;
use cluster::Object;
use hyper::{HeaderMap, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::Body;
use super::media::{Accepted, Shape, Writing};
use super::wire::Wire;
use crate::api::{Refusal, shown};

/// What a request ends in.
pub(super) type Answered = Result<Response<Body>, Refusal>;

/// A refusal as a `Status`.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.code, &refusal.status());
    if let Some(seconds) = refusal.retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A value as JSON.
pub(super) fn json(code: u16, value: &impl Serialize) -> Response<Body> {
    written(code, value, Writing::Json)
}

/// A value in the form that the client reads.
pub(super) fn written(code: u16, value: &impl Serialize, writing: Writing) -> Response<Body> {
    let (bytes, kind) = match writing {
        Writing::Json => {
            let mut bytes = serde_json::to_vec(value).expect("what is answered is plain data");
            bytes.push(b'\n');
            (bytes, "application/json")
        }
        Writing::Yaml => {
            let text =
                serde_saphyr::to_string(value).unwrap_or_else(|error| format!("# {error}\n"));
            (text.into_bytes(), "application/yaml")
        }
    };
    whole(code, kind, bytes)
}

/// Bytes of a media type.
pub(super) fn whole(code: u16, kind: &'static str, bytes: Vec<u8>) -> Response<Body> {
    finish(code, kind, Body::from(bytes))
}

/// Pieces of a media type, as they come.
pub(super) fn stream(kind: &'static str, pieces: mpsc::Receiver<Bytes>) -> Response<Body> {
    finish(200, kind, Body::Stream(pieces))
}

fn finish(code: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache, private"));
    response
}

/// One object, whole or in part.
pub(super) fn object(code: u16, object: &Object, accepted: Accepted) -> Response<Body> {
    match accepted.shape {
        Shape::Metadata => written(code, &super::table::metadata_of(object), accepted.writing),
        Shape::Whole | Shape::Table | Shape::Discovery => {
            written(code, &Wire::with_type(&shown(object)), accepted.writing)
        }
    }
}

/// A list as it goes over the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<'a> {
    pub(super) kind: String,
    pub(super) api_version: &'a str,
    pub(super) metadata: Value,
    pub(super) items: Vec<Wire<'a>>,
}

/// The metadata of a list.
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
