use serde::Deserialize;

use super::http_client::{CallOutcome, HttpResponse};
use crate::{NotSent, Object, ObjectRef, ReadFailure, WriteReply};

/// The `Status` object with which the Kubernetes API explains a rejection.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
    details: Option<StatusDetails>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusDetails {
    retry_after_seconds: u32,
}

impl Status {
    /// Parses the body of an error response. A body that is not a `Status` becomes the message.
    pub(super) fn of(response: &HttpResponse) -> Self {
        let code = response.status.as_u16();
        let is_status = |status: &Self| !status.message.is_empty() || !status.reason.is_empty();
        match serde_json::from_slice::<Self>(&response.body).ok().filter(is_status) {
            Some(status) => Self { code, ..status },
            None => {
                let body = String::from_utf8_lossy(&response.body);
                let body: String = body.trim().chars().take(200).collect();
                let reason = response.status.canonical_reason().unwrap_or_default();
                let message = if body.is_empty() { reason.to_string() } else { body };
                Self { code, reason: reason.replace(' ', ""), message, details: None }
            }
        }
    }
}

/// Whether messages of the API server can be passed on: messages about a Secret may quote one of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessagePolicy {
    Verbatim,
    Redacted,
}

impl MessagePolicy {
    fn message(self, status: &Status) -> String {
        // Messages with these codes contain names and versions only.
        let is_safe = matches!(status.code, 401 | 403 | 404 | 409 | 410 | 412 | 429);
        match self {
            Self::Redacted if !is_safe => {
                "(message omitted because it may contain a value of the Secret)".into()
            }
            Self::Verbatim | Self::Redacted => status.message.clone(),
        }
    }
}

/// Seconds to wait after a 429 without `Retry-After`; the API server suggests 10 s for a blocked eviction.
const DEFAULT_RETRY_AFTER_SECONDS: u32 = 10;
/// Seconds to wait before the next attempt to connect to an unreachable server.
const RECONNECT_SECONDS: u32 = 5;

/// Classifies the response to a change; `on_success` converts the body of a successful response to a reply.
pub(super) fn change_reply(
    outcome: CallOutcome,
    policy: MessagePolicy,
    on_success: impl FnOnce(&[u8]) -> Result<WriteReply, String>,
) -> WriteReply {
    let response = match outcome {
        CallOutcome::Response(response) => response,
        CallOutcome::Unsent(message) => return unavailable(message),
        CallOutcome::Lost(message) => return WriteReply::Unknown { message },
        CallOutcome::TooLarge(status) => {
            let message =
                format!("the response with status {} exceeds the size limit", status.as_u16());
            return WriteReply::Unknown { message };
        }
    };
    if response.status.is_success() {
        return on_success(&response.body).unwrap_or_else(|error| WriteReply::Unknown {
            message: format!("invalid response: {error}"),
        });
    }
    let status = Status::of(&response);
    let message = policy.message(&status);
    match status.code {
        409 | 412 => WriteReply::Conflict { message },
        404 => WriteReply::NotFound,
        429 => {
            let seconds = response.retry_after().or(status.details.map(|d| d.retry_after_seconds));
            let retry_after_seconds =
                seconds.filter(|s| *s > 0).unwrap_or(DEFAULT_RETRY_AFTER_SECONDS);
            WriteReply::Throttled { retry_after_seconds }
        }
        code @ 400..500 => WriteReply::Refused { code, reason: status.reason, message },
        // An error of a gateway, an overloaded server, a webhook timeout or an etcd timeout: the request may have been
        // processed. A status that is neither success nor error (1xx, 3xx) does not determine the outcome either.
        code => WriteReply::Unknown { message: format!("{code} {}: {message}", status.reason) },
    }
}

/// Returns the reply for a change that was not sent, because a read that it depends on failed.
pub(super) fn read_failure_reply(failure: ReadFailure) -> WriteReply {
    match failure {
        ReadFailure::Refused { code: 404, message, .. } => {
            WriteReply::Refused { code: 404, reason: "NotFound".into(), message }
        }
        ReadFailure::Refused { code, message, .. } => {
            WriteReply::Refused { code, reason: "Forbidden".into(), message }
        }
        ReadFailure::Unavailable { .. } | ReadFailure::Gone => unavailable(failure.to_string()),
    }
}

fn unavailable(message: String) -> WriteReply {
    WriteReply::NotSent(NotSent::Unavailable { message, retry_after_seconds: RECONNECT_SECONDS })
}

/// Returns the reply for a change of an object that was modified or replaced since it was read.
pub(super) fn stale(target: &ObjectRef) -> WriteReply {
    WriteReply::Conflict { message: format!("{target} was modified since it was read") }
}

/// Returns the successful response to a read of `resource`.
pub(super) fn read_result(
    outcome: CallOutcome,
    resource: &str,
    policy: MessagePolicy,
) -> Result<HttpResponse, ReadFailure> {
    let resource = resource.to_string();
    match outcome {
        CallOutcome::Response(response) if response.status.is_success() => Ok(response),
        CallOutcome::Response(response) => {
            Err(status_failure(&Status::of(&response), resource, policy))
        }
        CallOutcome::Unsent(message) | CallOutcome::Lost(message) => {
            Err(ReadFailure::Unavailable { resource, message })
        }
        CallOutcome::TooLarge(_) => Err(too_large(resource)),
    }
}

/// Classifies an error status of a read of `resource`.
pub(super) fn status_failure(
    status: &Status,
    resource: String,
    policy: MessagePolicy,
) -> ReadFailure {
    let message = policy.message(status);
    match status.code {
        410 => ReadFailure::Gone,
        429 | 500.. => {
            let message = format!("{} {}: {message}", status.code, status.reason);
            ReadFailure::Unavailable { resource, message }
        }
        code => ReadFailure::Refused { resource, code, message },
    }
}

/// Returns the failure of a read whose response exceeds the size limit; a retry fails in the same way.
pub(super) fn too_large(resource: String) -> ReadFailure {
    let message =
        "the response exceeds the size limit: request less data, or raise `max_response_bytes`";
    ReadFailure::Refused { resource, code: 413, message: message.into() }
}

/// Parses a response body as an object.
pub(super) fn parse_object(body: &[u8]) -> Result<Object, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("the body is not a Kubernetes object: {error}"))
}
