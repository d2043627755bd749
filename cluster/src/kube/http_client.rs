use std::error::Error as _;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, timeout_at};

use super::path::RequestPath;
use super::token::TokenFile;

/// Timeouts and size limits for calls to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KubeLimits {
    /// Timeout of a call, from the first byte sent to the last byte received.
    pub request_timeout: Duration,
    /// Maximum size of a response body in bytes.
    pub max_response_bytes: usize,
    /// Number of objects per page of a list without a limit of its own.
    pub page_size: usize,
    /// A watch that delivers no event for this time counts as up to date.
    pub watch_idle_timeout: Duration,
}

impl Default for KubeLimits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            max_response_bytes: 16 << 20,
            page_size: 500,
            watch_idle_timeout: Duration::from_millis(500),
        }
    }
}

/// An HTTP request, without the address of the server and the credentials.
pub(super) struct HttpRequest {
    pub(super) method: Method,
    pub(super) path: RequestPath,
    pub(super) accept: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) agent: String,
}

pub(super) const JSON: &str = "application/json";

impl HttpRequest {
    pub(super) fn get(path: RequestPath) -> Self {
        Self {
            method: Method::GET,
            path,
            accept: JSON,
            content_type: JSON,
            body: Vec::new(),
            agent: concat!("chiron/", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    pub(super) fn post(path: RequestPath, body: &serde_json::Value) -> Self {
        Self { method: Method::POST, body: body.to_string().into_bytes(), ..Self::get(path) }
    }
}

/// The outcome of one call.
pub(super) enum CallOutcome {
    /// A complete response.
    Response(HttpResponse),
    /// The request was definitely not sent: there was no connection or no credential.
    Unsent(String),
    /// The request was sent or may have been sent, but there is no complete response.
    Lost(String),
    /// The response with this status exceeds the size limit.
    TooLarge(StatusCode),
}

/// A complete response.
pub(super) struct HttpResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the seconds of the `Retry-After` header.
    pub(super) fn retry_after(&self) -> Option<u32> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
    }

    pub(super) fn content_type(&self) -> &str {
        self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An HTTP client for one API server. It sends each request once and applies the timeout and the size limit.
pub(super) struct HttpClient {
    pub(super) client: Client,
    pub(super) token: Option<TokenFile>,
    pub(super) limits: KubeLimits,
    /// URL of the server, for messages.
    pub(super) server: String,
}

impl HttpClient {
    /// Sends a request and reads the complete response.
    pub(super) async fn send(&self, request: HttpRequest) -> CallOutcome {
        let deadline = Instant::now() + self.limits.request_timeout;
        let response = match self.open(request, deadline).await {
            Ok(response) => response,
            Err(outcome) => return outcome,
        };
        let (head, mut body) = response.into_parts();
        let mut response =
            HttpResponse { status: head.status, headers: head.headers, body: Vec::new() };
        loop {
            let error = match timeout_at(deadline, body.frame()).await {
                Ok(None) => return CallOutcome::Response(response),
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if response.body.len() + data.len() > self.limits.max_response_bytes {
                        return CallOutcome::TooLarge(response.status);
                    }
                    response.body.extend_from_slice(&data);
                    continue;
                }
                Ok(Some(Err(error))) => error_chain(&error),
                Err(_) => self.timeout_message(),
            };
            // The status alone determines a rejection; a success needs the complete body.
            return if response.status.is_success() {
                let status = response.status.as_u16();
                CallOutcome::Lost(format!(
                    "the response with status {status} is incomplete: {error}"
                ))
            } else {
                CallOutcome::Response(response)
            };
        }
    }

    /// Sends a request and waits for the response head only.
    pub(super) async fn open(
        &self,
        request: HttpRequest,
        deadline: Instant,
    ) -> Result<Response<Body>, CallOutcome> {
        let request = self.build(request).map_err(CallOutcome::Unsent)?;
        match timeout_at(deadline, self.client.send(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if is_before_sending(&error) => {
                Err(CallOutcome::Unsent(error_chain(&error)))
            }
            Ok(Err(error)) => Err(CallOutcome::Lost(error_chain(&error))),
            Err(_) => Err(CallOutcome::Lost(self.timeout_message())),
        }
    }

    fn timeout_message(&self) -> String {
        format!("no response within {} s", self.limits.request_timeout.as_secs_f64())
    }

    fn build(&self, request: HttpRequest) -> Result<Request<Body>, String> {
        let mut builder = Request::builder()
            .method(request.method)
            .uri(request.path.to_string())
            .header(ACCEPT, request.accept)
            .header(USER_AGENT, header_value(&request.agent));
        if !request.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, request.content_type);
        }
        if let Some(token) = &self.token {
            builder = builder.header(AUTHORIZATION, token.header()?);
        }
        builder.body(Body::from(request.body)).map_err(|error| error.to_string())
    }
}

/// Converts `text` to a header value; characters that a header cannot contain become `_`.
fn header_value(text: &str) -> HeaderValue {
    let clean: String =
        text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '_' }).collect();
    HeaderValue::try_from(clean).unwrap_or(HeaderValue::from_static("chiron"))
}

/// Returns whether an error occurred before the request was sent: there was no connection, or no credential to send.
fn is_before_sending(error: &kube::Error) -> bool {
    if matches!(error, kube::Error::Auth(_)) {
        return true;
    }
    let kube::Error::Service(error) = error else { return false };
    error
        .downcast_ref::<hyper_util::client::legacy::Error>()
        .is_some_and(|error| error.is_connect())
        || error.is::<kube::client::AuthError>()
}

/// Formats an error with all its sources, omitting those whose text is already contained.
fn error_chain(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}
