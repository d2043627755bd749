use serde::{Deserialize, Serialize};

/// A fault that a test injects into one request to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InjectedReply {
    /// No fault: the request is handled normally.
    Pass,
    /// The request is applied and the reply is lost: the client receives `Unknown`.
    UnknownAfterApply,
    /// The request is lost: the client receives `Unknown`.
    UnknownBeforeApply,
    /// The cluster replies that a precondition failed.
    Conflict,
    /// The cluster replies with 429 Too Many Requests.
    Throttled {
        /// Value of `Retry-After`, in seconds.
        retry_after_seconds: u32,
    },
    /// The cluster replies with 403 Forbidden.
    Forbidden,
}
