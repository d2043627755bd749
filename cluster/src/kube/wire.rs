use std::error::Error as _;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, timeout_at};

use super::path::Path;
use super::token::TokenFile;

/// How long and how much one call of a real cluster may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KubeLimits {
    /// From the first byte sent to the last byte read; what takes longer is not waited for.
    pub deadline: Duration,
    /// The largest answer that is read.
    pub answer_bytes: usize,
    /// Objects in a page of a list where the query does not say.
    pub page: usize,
    /// A watch that told nothing for so long has told all that happened by now.
    pub quiet: Duration,
}

impl Default for KubeLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            answer_bytes: 16 << 20,
            page: 500,
            quiet: Duration::from_millis(500),
        }
    }
}

/// One HTTP request, ready but for the server's address and our credentials.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: Path,
    pub(super) accept: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) agent: String,
}

pub(super) const JSON: &str = "application/json";

impl Call {
    pub(super) fn get(path: Path) -> Self {
        Self {
            method: Method::GET,
            path,
            accept: JSON,
            content_type: JSON,
            body: Vec::new(),
            agent: concat!("chiron/", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    pub(super) fn post(path: Path, body: &serde_json::Value) -> Self {
        Self { method: Method::POST, body: body.to_string().into_bytes(), ..Self::get(path) }
    }
}

/// What came back of one call.
pub(super) enum Heard {
    /// A whole answer.
    Answer(Answer),
    /// Nothing, and nothing had been sent: no connection was made.
    Unsent(String),
    /// Nothing certain: the request was, or may have been, on the wire.
    Lost(String),
    /// An answer of this status, larger than is read.
    TooLarge(StatusCode),
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The seconds of `Retry-After`, where it says them.
    pub(super) fn retry_after(&self) -> Option<u32> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
    }

    pub(super) fn content_type(&self) -> &str {
        self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The way to one API server: sends once, waits no longer than the deadline, reads no more than the limit.
pub(super) struct Wire {
    pub(super) client: Client,
    pub(super) token: Option<TokenFile>,
    pub(super) limits: KubeLimits,
    /// The server's address, for messages.
    pub(super) server: String,
}

impl Wire {
    /// Sends `call` and reads the whole answer.
    pub(super) async fn call(&self, call: Call) -> Heard {
        let until = Instant::now() + self.limits.deadline;
        let response = match self.open(call, until).await {
            Ok(response) => response,
            Err(heard) => return heard,
        };
        let (head, mut body) = response.into_parts();
        let mut answer = Answer { status: head.status, headers: head.headers, body: Vec::new() };
        loop {
            let failed = match timeout_at(until, body.frame()).await {
                Ok(None) => return Heard::Answer(answer),
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if answer.body.len() + data.len() > self.limits.answer_bytes {
                        return Heard::TooLarge(answer.status);
                    }
                    answer.body.extend_from_slice(&data);
                    continue;
                }
                Ok(Some(Err(error))) => told(&error),
                Err(_) => self.waited(),
            };
            // A refusal is one by its status alone; of a success, the rest is what was asked for.
            return if answer.status.is_success() {
                Heard::Lost(format!("the answer {} broke off: {failed}", answer.status.as_u16()))
            } else {
                Heard::Answer(answer)
            };
        }
    }

    /// Sends `call` and waits for the head of the answer only.
    pub(super) async fn open(&self, call: Call, until: Instant) -> Result<Response<Body>, Heard> {
        let request = self.request(call).map_err(Heard::Unsent)?;
        match timeout_at(until, self.client.send(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if is_before_sending(&error) => Err(Heard::Unsent(told(&error))),
            Ok(Err(error)) => Err(Heard::Lost(told(&error))),
            Err(_) => Err(Heard::Lost(self.waited())),
        }
    }

    fn waited(&self) -> String {
        format!("no answer within {} s", self.limits.deadline.as_secs_f64())
    }

    fn request(&self, call: Call) -> Result<Request<Body>, String> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path.to_string())
            .header(ACCEPT, call.accept)
            .header(USER_AGENT, header(&call.agent));
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, call.content_type);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header()?);
        }
        request.body(Body::from(call.body)).map_err(|error| error.to_string())
    }
}

/// `text` as the value of a header: what a header cannot hold becomes `_`.
fn header(text: &str) -> HeaderValue {
    let clean: String =
        text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '_' }).collect();
    HeaderValue::try_from(clean).unwrap_or(HeaderValue::from_static("chiron"))
}

/// Whether nothing can have been on the wire: there was no connection, or no credential to send.
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

/// An error with all its causes, each once.
fn told(error: &kube::Error) -> String {
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
