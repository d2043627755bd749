//! Request extractors. A rejection is a problem document.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use api::ReasonRequest;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::PageRequest;
use utoipa::IntoParams;
use workflow::id::RunId;
use workflow::{Digest, ErrorCode};

use crate::body;
use crate::problem::Problem;
use crate::server_state::ServerState;

/// The id in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Id<T>
where
    S: Send + Sync,
    T: FromStr<Err: Display>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(invalid_path)?;
        id(&text).map(Self)
    }
}

/// The run id and the step id in the path.
pub(crate) struct StepPath(pub(crate) RunId, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for StepPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((run, step)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(invalid_path)?;
        let step: String = step.chars().take(64).collect();
        tracing::Span::current().record("step", &step);
        Ok(Self(id(&run)?, step))
    }
}

/// Parses an id and records it in the request's span.
fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, Problem> {
    let id = text.parse().map_err(|error: T::Err| {
        let hint = "use an id from a list; the letters before the underscore are the id's kind";
        Problem::new(StatusCode::NOT_FOUND, ErrorCode::InvalidId, error.to_string(), hint)
    })?;
    let field = match text.split_once('_') {
        Some(("inc", _)) => "incident",
        Some(("pln", _)) => "plan",
        Some(("run", _)) => "run",
        Some(_) | None => return Ok(id),
    };
    tracing::Span::current().record(field, text);
    Ok(id)
}

fn invalid_path(error: PathRejection) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        ErrorCode::InvalidPath,
        error.to_string(),
        "send the path as percent-encoded UTF-8",
    )
}

/// The query parameters.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => Err(invalid_parameter(
                error.body_text(),
                "see /api/openapi.json for the parameters of this route",
            )),
        }
    }
}

fn invalid_parameter(detail: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidParameter, detail, hint)
}

/// Query parameters of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Maximum number of items, 1 to 1,000. Default: 100.
    limit: Option<usize>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
    /// Only items with this status.
    status: Option<String>,
    /// Only items of this incident.
    incident: Option<String>,
    /// Only items of this plan.
    plan: Option<String>,
    /// Only items of this run.
    run: Option<String>,
}

impl ListParams {
    /// Returns the page request, if the status is one of `statuses`.
    pub(crate) fn page(self, statuses: &[&str]) -> Result<PageRequest, Problem> {
        let limit = self.limit.unwrap_or(100);
        if !(1..=PageRequest::MAX).contains(&limit) {
            return Err(invalid_parameter(
                format!("`limit` is {limit}"),
                format!("use a limit from 1 to {}", PageRequest::MAX),
            ));
        }
        if let Some(status) = self.status.as_deref().filter(|status| !statuses.contains(status)) {
            let status: String = status.chars().take(64).collect();
            let hint = format!("use one of: {}", statuses.join(", "));
            return Err(invalid_parameter(format!("the status `{status}` does not exist"), hint));
        }
        let Self { cursor, status, incident, plan, run, .. } = self;
        Ok(PageRequest { limit, after: cursor, status, incident, plan, run, experiment: None })
    }
}

/// Whether `Content-Type` is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

/// Returns the media type without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or(text).trim().to_ascii_lowercase())
}

/// Returns the problem for a body that is not of the media type `expected`.
pub(crate) fn wrong_media_type(expected: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::UnsupportedMediaType,
        format!("the body is not {expected}"),
        format!("send {expected} with a matching Content-Type"),
    )
    .closing()
}

/// A JSON body of limited size, parsed strictly: duplicate keys and unknown fields are errors.
pub(crate) struct StrictJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<ServerState>> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<ServerState>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(wrong_media_type("application/json"));
        }
        let bytes =
            body::read(&parts.headers, body, state.limits.body_bytes, state.timeouts.body).await?;
        decode(&bytes, state).map(Self)
    }
}

/// A [`StrictJson`] body that may be omitted.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<ServerState>> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<ServerState>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes =
            body::read(&parts.headers, body, state.limits.body_bytes, state.timeouts.body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json(&parts.headers) {
            return Err(wrong_media_type("application/json"));
        }
        decode(&bytes, state).map(Self)
    }
}

/// Fields that request bodies no longer have, with their present names.
const RENAMED_FIELDS: [(&str, &str); 3] =
    [("by", "actor"), ("why", "reason"), ("opinion", "rating")];

/// Returns the hint for a body that does not have the expected fields.
fn invalid_body_hint(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let field = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let renamed = RENAMED_FIELDS.iter().find(|(old, _)| Some(*old) == field);
    match renamed {
        Some((old, new)) => format!("the field `{old}` was renamed: send `{new}`"),
        None => "see /api/openapi.json for the fields of this body".into(),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8], state: &ServerState) -> Result<T, Problem> {
    let value = workflow::json::parse(bytes, state.limits.depth)?;
    serde_json::from_value(value).map_err(|error| {
        Problem::invalid(ErrorCode::InvalidBody, error.to_string(), invalid_body_hint(&error))
    })
}

/// Returns actor and reason.
pub(crate) fn check_reason(request: ReasonRequest) -> Result<(String, String), Problem> {
    Ok((check_actor(request.actor)?, check_length(request.reason, "reason")?))
}

/// Returns actor and reason; an empty reason is an error.
pub(crate) fn check_given_reason(request: ReasonRequest) -> Result<(String, String), Problem> {
    if request.reason.trim().is_empty() {
        return Err(Problem::invalid(
            ErrorCode::ReasonMissing,
            "the reason is missing",
            "set `reason`; it is kept in the record",
        ));
    }
    check_reason(request)
}

/// Returns the actor, by default `api`.
pub(crate) fn check_actor(actor: Option<String>) -> Result<String, Problem> {
    let actor = actor.unwrap_or_else(|| "api".into());
    if actor.trim().is_empty() || actor.chars().count() > 128 {
        let hint = "omit `actor`, or set it to a name of at most 128 characters";
        return Err(Problem::invalid(
            ErrorCode::InvalidActor,
            "`actor` is empty or too long",
            hint,
        ));
    }
    Ok(actor)
}

/// Returns `text` if it is at most 4,096 characters long.
pub(crate) fn check_length(text: String, name: &str) -> Result<String, Problem> {
    if text.chars().count() > 4_096 {
        let detail = format!("`{name}` is longer than 4,096 characters");
        return Err(Problem::invalid(ErrorCode::TextTooLong, detail, "shorten it"));
    }
    Ok(text)
}

/// Returns the plan digest in `If-Match`.
pub(crate) fn if_match_digest(headers: &HeaderMap) -> Result<Digest, Problem> {
    let hint =
        "send the ETag of GET /api/v1/plans/{id} in If-Match: the review applies to that digest";
    let Some(value) = headers.get(header::IF_MATCH) else {
        let detail = "the header If-Match is missing";
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            ErrorCode::IfMatchMissing,
            detail,
            hint,
        ));
    };
    let text = value.to_str().unwrap_or("").trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    text.parse().map_err(|_| {
        let detail = "If-Match is not the digest of a plan";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, ErrorCode::InvalidIfMatch, detail, hint)
    })
}
