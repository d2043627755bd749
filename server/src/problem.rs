use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;
use workflow::diagnostic::Diagnostic;
use workflow::input::RefusedBecause;
use workflow::json::Unreadable;

/// Most characters of a detail: it may quote what came in, and nothing longer is echoed.
const MOST: usize = 256;

/// Why a request was not served (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem; derives from `code`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The status in words.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What failed.
    pub(crate) detail: String,
    /// Stable code: `duplicate_key`.
    pub(crate) code: String,
    /// How to mend it.
    pub(crate) hint: String,
    /// What the validator found, where a document was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub(crate) errors: Vec<Diagnostic>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    is_closing: bool,
}

impl Problem {
    /// A problem of this status and stable code, what failed and how to mend it: long texts are cut.
    pub fn new(
        status: StatusCode,
        code: &str,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("https://chiron.dev/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Refused").into(),
            status: status.as_u16(),
            detail: cut(detail.into()),
            code: code.into(),
            hint: cut(hint.into()),
            errors: Vec::new(),
            retry_after: None,
            is_closing: false,
        }
    }

    /// The same, telling the client after how many seconds to come again.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same, closing the connection: what is left of the body is not worth reading.
    pub(crate) fn closing(self) -> Self {
        Self { is_closing: true, ..self }
    }

    /// The same, with what the validator found.
    pub(crate) fn errors(self, errors: Vec<Diagnostic>) -> Self {
        Self { errors, ..self }
    }

    /// A body or parameter that means nothing to us.
    pub(crate) fn invalid(code: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail, hint)
    }

    /// There is no such thing.
    pub(crate) fn not_found(noun: &str, id: impl std::fmt::Display) -> Self {
        let hint = format!("list the {noun}s to see which there are");
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {noun} `{id}`"), hint)
    }

    /// The engine said no.
    pub(crate) fn refused(
        because: RefusedBecause,
        code: String,
        message: String,
        hint: String,
    ) -> Self {
        let status = match because {
            RefusedBecause::NotFound => StatusCode::NOT_FOUND,
            RefusedBecause::Conflict => StatusCode::CONFLICT,
            RefusedBecause::Changed => StatusCode::PRECONDITION_FAILED,
            RefusedBecause::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusedBecause::Forbidden => StatusCode::FORBIDDEN,
            RefusedBecause::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, &code, message, hint);
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry_after(30) } else { problem }
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::BadCursor { .. } = error {
            return Self::new(
                StatusCode::BAD_REQUEST,
                "bad_cursor",
                error.to_string(),
                error.hint(),
            );
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the record could not be read");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            error.to_string(),
            error.hint(),
        )
        .retry_after(30)
    }
}

impl From<Unreadable> for Problem {
    fn from(error: Unreadable) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.code, error.to_string(), error.hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, is_closing) = (self.retry_after, self.is_closing);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if is_closing {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
