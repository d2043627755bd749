//! What handlers take out of a request, refused with a problem document where it cannot be had.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::Page;
use utoipa::{IntoParams, ToSchema};
use workflow::Digest;
use workflow::id::RunId;

use crate::api::Api;
use crate::body;
use crate::problem::Problem;

/// The id in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Id<T>
where
    S: Send + Sync,
    T: FromStr<Err: Display>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(no_path)?;
        id(&text).map(Self)
    }
}

/// The run and the step in the path.
pub(crate) struct StepOf(pub(crate) RunId, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for StepOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((run, step)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(no_path)?;
        let step: String = step.chars().take(64).collect();
        tracing::Span::current().record("step", &step);
        Ok(Self(id(&run)?, step))
    }
}

/// Reads an id, and puts it into the span of the request.
fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, Problem> {
    let id = text.parse().map_err(|error: T::Err| {
        let hint = "take the id from a list; the letters before the underscore name its kind";
        Problem::new(StatusCode::NOT_FOUND, "bad_id", error.to_string(), hint)
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

fn no_path(error: PathRejection) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad_path",
        error.to_string(),
        "write the path in UTF-8, percent-encoded",
    )
}

/// The query parameters.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => Err(bad_parameter(
                error.body_text(),
                "see /api/openapi.json for the parameters of this route",
            )),
        }
    }
}

fn bad_parameter(detail: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_parameter", detail, hint)
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// At most so many, 1 to 1,000; 100 where it is left out.
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// Only those of this status.
    status: Option<String>,
    /// Only those about this incident.
    incident: Option<String>,
    /// Only those about this plan.
    plan: Option<String>,
    /// Only those about this run.
    run: Option<String>,
}

impl ListParams {
    /// The page, if the status is one of `statuses`.
    pub(crate) fn page(self, statuses: &[&str]) -> Result<Page, Problem> {
        let limit = self.limit.unwrap_or(100);
        if !(1..=Page::MAX).contains(&limit) {
            return Err(bad_parameter(
                format!("`limit` is {limit}"),
                format!("ask for 1 to {} at a time", Page::MAX),
            ));
        }
        if let Some(status) = self.status.as_deref().filter(|status| !statuses.contains(status)) {
            let status: String = status.chars().take(64).collect();
            let hint = format!("the statuses are: {}", statuses.join(", "));
            return Err(bad_parameter(format!("there is no status `{status}` here"), hint));
        }
        let Self { cursor, status, incident, plan, run, .. } = self;
        Ok(Page { limit, after: cursor, status, incident, plan, run })
    }
}

/// Whether the header names JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

/// The media type without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or(text).trim().to_ascii_lowercase())
}

/// What a body of another media type than `wanted` is answered with.
pub(crate) fn wrong_type(wanted: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("the body is not {wanted}"),
        format!("send {wanted}, and say so in Content-Type"),
    )
    .closing()
}

/// A JSON body: strict, bounded, and of the shape of `T`.
pub(crate) struct Document<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Document<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(wrong_type("application/json"));
        }
        let bytes =
            body::read(&parts.headers, body, api.limits.body_bytes, api.bounds.body).await?;
        decode(&bytes, api).map(Self)
    }
}

/// A JSON body that may be left out.
pub(crate) struct Optional<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<Api>> for Optional<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes =
            body::read(&parts.headers, body, api.limits.body_bytes, api.bounds.body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json(&parts.headers) {
            return Err(wrong_type("application/json"));
        }
        decode(&bytes, api).map(Self)
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8], api: &Api) -> Result<T, Problem> {
    let value = workflow::json::read(bytes, api.limits.depth)?;
    serde_json::from_value(value).map_err(|error| {
        let hint = "see /api/openapi.json for the shape of this body";
        Problem::invalid("invalid_body", error.to_string(), hint)
    })
}

/// Who wants something, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Reasoned {
    /// Why, at most 4,096 characters.
    pub(crate) reason: String,
    /// Who, at most 128 characters; `api` where it is left out.
    pub(crate) by: Option<String>,
}

impl Reasoned {
    /// Who and why.
    pub(crate) fn check(self) -> Result<(String, String), Problem> {
        Ok((who(self.by)?, short(self.reason, "reason")?))
    }

    /// Who and why, where a why is needed.
    pub(crate) fn check_reason(self) -> Result<(String, String), Problem> {
        if self.reason.trim().is_empty() {
            return Err(Problem::invalid(
                "reason_missing",
                "no reason is given",
                "say why in `reason`: it stands in the record",
            ));
        }
        self.check()
    }
}

/// Who, `api` where nobody is named.
pub(crate) fn who(by: Option<String>) -> Result<String, Problem> {
    let by = by.unwrap_or_else(|| "api".into());
    if by.trim().is_empty() || by.chars().count() > 128 {
        let hint = "leave `by` out, or name a person in at most 128 characters";
        return Err(Problem::invalid("bad_by", "`by` is empty or too long", hint));
    }
    Ok(by)
}

/// A text that fits into the record.
pub(crate) fn short(text: String, name: &str) -> Result<String, Problem> {
    if text.chars().count() > 4_096 {
        let detail = format!("`{name}` is longer than 4,096 characters");
        return Err(Problem::invalid("text_too_long", detail, "write less"));
    }
    Ok(text)
}

/// The digest that the client saw: what stands in `If-Match`.
pub(crate) fn seen_digest(headers: &HeaderMap) -> Result<Digest, Problem> {
    let hint =
        "send the ETag of GET /api/v1/plans/{id} in If-Match: the answer is bound to what you saw";
    let Some(value) = headers.get(header::IF_MATCH) else {
        let detail = "the header If-Match is missing";
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "if_match_missing",
            detail,
            hint,
        ));
    };
    let text = value.to_str().unwrap_or("").trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    text.parse().map_err(|_| {
        let detail = "If-Match does not hold one digest of a plan";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match_unreadable", detail, hint)
    })
}
