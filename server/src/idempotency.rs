//! `Idempotency-Key` support.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use workflow::{Digest, ErrorCode, Input, RequestKey};

use crate::body;
use crate::problem::Problem;
use crate::server_state::ServerState;

/// An extracted request body, with the request's `Idempotency-Key` if it has one.
pub(crate) struct Idempotent<T>(pub(crate) T, pub(crate) Option<RequestKey>);

impl<T: FromRequest<Arc<ServerState>, Rejection = Problem>> FromRequest<Arc<ServerState>>
    for Idempotent<T>
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<ServerState>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Some(key) = key(&parts.headers)? else {
            return Ok(Self(T::from_request(Request::from_parts(parts, body), state).await?, None));
        };
        let bytes =
            body::read(&parts.headers, body, state.limits.body_bytes, state.timeouts.body).await?;
        // The body is decoded now, and its length may differ.
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.remove(header::CONTENT_LENGTH);
        let identity = format!("{} {} {}", parts.method, parts.uri.path(), Digest::of(&bytes));
        let key = RequestKey { key, body: Digest::of(identity.as_bytes()) };
        let decoded = Request::from_parts(parts, Body::from(bytes));
        Ok(Self(T::from_request(decoded, state).await?, Some(key)))
    }
}

fn key(headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > 255 {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidIdempotencyKey,
            "Idempotency-Key is empty, longer than 255 characters or not ASCII",
            "send a UUID, or leave the header out",
        ));
    }
    Ok(Some(Digest::of(text.as_bytes())))
}

/// Wraps `input` so that it takes effect once per key; without a key returns it unchanged.
pub(crate) fn with_key(request: Option<RequestKey>, input: Input) -> Input {
    match request {
        Some(request) => Input::Idempotent { request, input: Box::new(input) },
        None => input,
    }
}
