//! Requests that a client names by a key of its own, so that it may repeat them without fear.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use workflow::{Digest, Input, RequestKey};

use crate::api::Api;
use crate::body;
use crate::problem::Problem;

/// What is taken out of a request, and the name that its client gave it in `Idempotency-Key`.
pub(crate) struct Once<T>(pub(crate) T, pub(crate) Option<RequestKey>);

impl<T: FromRequest<Arc<Api>, Rejection = Problem>> FromRequest<Arc<Api>> for Once<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Some(key) = key(&parts.headers)? else {
            return Ok(Self(T::from_request(Request::from_parts(parts, body), api).await?, None));
        };
        let bytes =
            body::read(&parts.headers, body, api.limits.body_bytes, api.bounds.body).await?;
        // It is decoded now, and of another length.
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.remove(header::CONTENT_LENGTH);
        let asked = format!("{} {} {}", parts.method, parts.uri.path(), Digest::of(&bytes));
        let request = RequestKey { key, body: Digest::of(asked.as_bytes()) };
        let whole = Request::from_parts(parts, Body::from(bytes));
        Ok(Self(T::from_request(whole, api).await?, Some(request)))
    }
}

fn key(headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > 255 {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_idempotency_key",
            "Idempotency-Key is empty, longer than 255 characters or not ASCII",
            "send a UUID, or leave the header out",
        ));
    }
    Ok(Some(Digest::of(text.as_bytes())))
}

/// The input, under the name of its request if it has one.
pub(crate) fn named(request: Option<RequestKey>, input: Input) -> Input {
    match request {
        Some(request) => Input::Once { request, input: Box::new(input) },
        None => input,
    }
}
