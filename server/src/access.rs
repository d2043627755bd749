//! The door: a known `Host`, so that no web page reaches us through a name of its own, and the bearer token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use workflow::Digest;

use crate::problem::Problem;

/// What the door compares with.
pub(crate) struct Door {
    hosts: Vec<String>,
    token: Digest,
}

impl Door {
    pub(crate) fn new(hosts: Vec<String>, token: &str) -> Self {
        Self { hosts, token: Digest::of(token.as_bytes()) }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = uri
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| headers.get(header::HOST).and_then(|value| value.to_str().ok()));
        let is_known = host
            .is_some_and(|host| self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)));
        if !is_known {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "unknown_host",
                "this server does not answer to the name in Host",
                format!("use one of: {}", self.hosts.join(", ")),
            )
            .closing());
        }
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| Digest::of(token.trim().as_bytes()));
        if !given.is_some_and(|given| is_same(&given, &self.token)) {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "the bearer token is missing or is another one",
                "send `Authorization: Bearer TOKEN` with the content of the file `token` in the data directory",
            )
            .closing());
        }
        Ok(())
    }
}

/// Compares in a time that does not tell where two digests differ.
fn is_same(a: &Digest, b: &Digest) -> bool {
    let differing =
        a.bytes().iter().zip(b.bytes()).fold(0, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    differing == 0
}

/// Lets a request through, or answers it here.
pub(crate) async fn check(
    State(door): State<Arc<Door>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    door.check(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}
