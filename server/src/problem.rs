use api::ProblemResponse;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use store::StoreError;
use workflow::ErrorCode;
use workflow::diagnostic::Diagnostic;
use workflow::input::ErrorKind;
use workflow::json::ParseJsonError;

/// Maximum length of `detail` and `hint`, which may quote the request.
const MAX_TEXT_CHARS: usize = 256;

/// An error response: problem details, and headers that depend on the error.
#[derive(Debug)]
pub struct Problem {
    pub(crate) body: ProblemResponse,
    retry_after: Option<u32>,
    is_closing: bool,
}

impl Problem {
    /// Creates a problem: its status, its stable code, what failed, and how to fix it. Long texts are truncated.
    pub fn new(
        status: StatusCode,
        code: ErrorCode,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let body = ProblemResponse {
            kind: format!("https://chiron.dev/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Refused").into(),
            status: status.as_u16(),
            detail: truncated(detail.into()),
            code: code.as_str().into(),
            hint: truncated(hint.into()),
            errors: Vec::new(),
        };
        Self { body, retry_after: None, is_closing: false }
    }

    /// Adds a `Retry-After` header, in seconds.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Closes the connection with the response, because the rest of the request body is not read.
    pub(crate) fn closing(self) -> Self {
        Self { is_closing: true, ..self }
    }

    /// Adds the findings of the validator.
    pub(crate) fn errors(mut self, errors: Vec<Diagnostic>) -> Self {
        self.body.errors = errors;
        self
    }

    /// Creates a 422 problem for an invalid body.
    pub(crate) fn invalid(
        code: ErrorCode,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail, hint)
    }

    /// Creates a 404 problem for a missing resource.
    pub(crate) fn not_found(noun: &str, id: impl std::fmt::Display) -> Self {
        let hint = format!("list the {noun}s to find an existing id");
        Self::new(
            StatusCode::NOT_FOUND,
            ErrorCode::NotFound,
            format!("{noun} `{id}` does not exist"),
            hint,
        )
    }

    /// Creates the problem for an input that the engine refused.
    pub(crate) fn refused(kind: ErrorKind, code: ErrorCode, message: String, hint: String) -> Self {
        let status = match kind {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Changed => StatusCode::PRECONDITION_FAILED,
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, code, message, hint);
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry_after(30) } else { problem }
    }
}

fn truncated(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::InvalidCursor { .. } = error {
            return Self::new(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidCursor,
                error.to_string(),
                error.hint(),
            );
        }
        tracing::error!(error = &error as &dyn std::error::Error, "cannot read the record");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::StoreUnavailable,
            error.to_string(),
            error.hint(),
        )
        .retry_after(30)
    }
}

impl From<ParseJsonError> for Problem {
    fn from(error: ParseJsonError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.code, error.to_string(), error.hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let Self { body, retry_after, is_closing } = self;
        let mut response = (status, Json(body)).into_response();
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
