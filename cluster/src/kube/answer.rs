use serde::Deserialize;

use super::wire::{Answer, Heard};
use crate::{Object, ObjectRef, ReadFailure, Reply};

/// The `Status` in which a Kubernetes API says why it refuses.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    retry_after_seconds: u32,
}

impl Status {
    /// Reads the body of a refusal; what is no `Status` speaks for itself.
    pub(super) fn of(answer: &Answer) -> Self {
        let code = answer.status.as_u16();
        let is_status = |status: &Self| !status.message.is_empty() || !status.reason.is_empty();
        match serde_json::from_slice::<Self>(&answer.body).ok().filter(is_status) {
            Some(status) => Self { code, ..status },
            None => {
                let said = String::from_utf8_lossy(&answer.body);
                let said: String = said.trim().chars().take(200).collect();
                let reason = answer.status.canonical_reason().unwrap_or_default();
                let message = if said.is_empty() { reason.to_string() } else { said };
                Self { code, reason: reason.replace(' ', ""), message, details: None }
            }
        }
    }
}

/// Whether the cluster's words about an object may be passed on: about a Secret they may quote one of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Told,
    Withheld,
}

impl Words {
    fn of(self, status: &Status) -> String {
        // These speak of names and versions only.
        let is_harmless = matches!(status.code, 401 | 403 | 404 | 409 | 410 | 412 | 429);
        match self {
            Self::Withheld if !is_harmless => {
                "(not repeated here, since it may hold a value of the Secret)".into()
            }
            Self::Told | Self::Withheld => status.message.clone(),
        }
    }
}

/// Seconds to wait where the cluster does not say: as long as disruption budgets are given.
const WAIT: u32 = 10;
/// Seconds to wait before a server that takes no connection is asked again.
pub(super) const RECONNECT: u32 = 5;

/// What the answer to a change means; `accepted` makes the reply out of a body of success.
pub(super) fn reply(
    heard: Heard,
    words: Words,
    accepted: impl FnOnce(&[u8]) -> Result<Reply, String>,
) -> Reply {
    let answer = match heard {
        Heard::Answer(answer) => answer,
        // Known not to be done, which is what `Throttled` says: the same request may be sent again.
        Heard::Unsent(_) => return Reply::Throttled { retry_after_seconds: RECONNECT },
        Heard::Lost(message) => return Reply::Unknown { message },
        Heard::TooLarge(status) => {
            let message = format!("an answer {} larger than is read", status.as_u16());
            return Reply::Unknown { message };
        }
    };
    if answer.status.is_success() {
        return accepted(&answer.body)
            .unwrap_or_else(|why| Reply::Unknown { message: format!("an answer that {why}") });
    }
    let status = Status::of(&answer);
    let message = words.of(&status);
    match status.code {
        409 | 412 => Reply::Conflict { message },
        404 => Reply::Absent,
        429 => {
            let told = answer.retry_after().or(status.details.map(|d| d.retry_after_seconds));
            Reply::Throttled { retry_after_seconds: told.filter(|s| *s > 0).unwrap_or(WAIT) }
        }
        code @ 400..500 => Reply::Refused { code, reason: status.reason, message },
        // A gateway, an overloaded server, a webhook that did not answer, a store that answered too late: all after
        // the request arrived. And what is neither success nor refusal says nothing.
        code => Reply::Unknown { message: format!("{code} {}: {message}", status.reason) },
    }
}

/// A change that was not sent, since what it needs to know could not be read.
pub(super) fn unread(failure: ReadFailure) -> Reply {
    match failure {
        ReadFailure::Refused { code: 404, message, .. } => {
            Reply::Refused { code: 404, reason: "NotFound".into(), message }
        }
        ReadFailure::Refused { code, message, .. } => {
            Reply::Refused { code, reason: "Forbidden".into(), message }
        }
        // Nothing was sent, so the same request may be sent again.
        ReadFailure::Unavailable { .. } | ReadFailure::Gone => {
            Reply::Throttled { retry_after_seconds: RECONNECT }
        }
    }
}

/// A change that came too late: the object had moved since it was read.
pub(super) fn moved(target: &ObjectRef) -> Reply {
    Reply::Conflict { message: format!("{target} is no longer what it was when it was read") }
}

/// The answer of success to a read of `what`, or why there is none.
pub(super) fn failure(heard: Heard, what: &str, words: Words) -> Result<Answer, ReadFailure> {
    let what = what.to_string();
    match heard {
        Heard::Answer(answer) if answer.status.is_success() => Ok(answer),
        Heard::Answer(answer) => Err(refused(&Status::of(&answer), what, words)),
        Heard::Unsent(message) | Heard::Lost(message) => {
            Err(ReadFailure::Unavailable { what, message })
        }
        Heard::TooLarge(_) => Err(too_large(what)),
    }
}

pub(super) fn refused(status: &Status, what: String, words: Words) -> ReadFailure {
    let message = words.of(status);
    match status.code {
        410 => ReadFailure::Gone,
        429 | 500.. => {
            let message = format!("{} {}: {message}", status.code, status.reason);
            ReadFailure::Unavailable { what, message }
        }
        code => ReadFailure::Refused { what, code, message },
    }
}

/// The failure of a read whose answer is larger than is read. Asking again gives the same.
pub(super) fn too_large(what: String) -> ReadFailure {
    let message =
        "the answer is larger than is read: ask for less, or raise the limit of an answer";
    ReadFailure::Refused { what, code: 413, message: message.into() }
}

/// The object in a body.
pub(super) fn object(body: &[u8]) -> Result<Object, String> {
    serde_json::from_slice(body).map_err(|error| format!("holds no object: {error}"))
}
