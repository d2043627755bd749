//! Authentication: bearer token, and a `Host` allow-list against DNS rebinding.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq as _;
use workflow::{Digest, ErrorCode};

use crate::problem::Problem;

/// Checks the `Host` and `Authorization` headers of each request.
pub(crate) struct Authenticator {
    hosts: Vec<String>,
    token: Digest,
}

impl Authenticator {
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
                ErrorCode::UnknownHost,
                "the name in Host is not a name of this server",
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
                ErrorCode::Unauthorized,
                "the bearer token is missing or wrong",
                "send `Authorization: Bearer TOKEN` with the content of the file `token` in the data directory",
            )
            .closing());
        }
        Ok(())
    }
}

/// Compares two digests in constant time, so that the duration does not reveal where they differ.
fn is_same(a: &Digest, b: &Digest) -> bool {
    a.bytes().ct_eq(b.bytes()).into()
}

/// Middleware that rejects requests without a known host or a valid token.
pub(crate) async fn check(
    State(authenticator): State<Arc<Authenticator>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    authenticator.check(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}
