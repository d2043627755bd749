use serde::{Deserialize, Serialize};

use crate::Object;

/// The reply to a read that prepares or resolves a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reply", content = "value")]
pub enum ReadReply {
    /// The object exists.
    Found(Object),
    /// The object does not exist, or has another uid.
    NotFound,
    /// The listed objects, sorted by namespace and name.
    Listed(Vec<Object>),
    /// The API server rejected the read (403, 400, …); a retry fails in the same way.
    Refused {
        /// HTTP status code.
        code: u16,
        /// The API server's message.
        message: String,
    },
    /// The API server is unreachable or overloaded; a retry may succeed.
    Unavailable {
        /// Description of the failure.
        message: String,
    },
    /// The read was not sent.
    NotSent(NotSent),
    /// The read succeeded, but its result does not fit into the record, so no decision may depend on it.
    NotRecordable {
        /// Description of the limit.
        message: String,
    },
}

impl ReadReply {
    /// Returns the objects that the reply contains.
    pub fn objects(&self) -> &[Object] {
        match self {
            Self::Found(object) => std::slice::from_ref(object),
            Self::Listed(objects) => objects,
            Self::NotFound
            | Self::Refused { .. }
            | Self::Unavailable { .. }
            | Self::NotSent(_)
            | Self::NotRecordable { .. } => &[],
        }
    }
}

/// The reply to a change, classified by what the caller may assume afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reply", content = "value")]
pub enum WriteReply {
    /// The change was accepted; contains the object as stored (in a dry run: as it would be stored).
    Accepted(Object),
    /// The deletion or eviction was accepted.
    Deleted,
    /// The object to change does not exist (404).
    NotFound,
    /// A precondition does not match, or the object to create already exists (409, 412).
    Conflict {
        /// The API server's message.
        message: String,
    },
    /// The change was rejected and definitely not made (400, 403, 422, …).
    Refused {
        /// HTTP status code.
        code: u16,
        /// Machine-readable reason of the Kubernetes `Status`: `Invalid`, `Forbidden`.
        reason: String,
        /// The API server's message.
        message: String,
    },
    /// The API server did not process the change (429); the same request can be sent again later.
    Throttled {
        /// Seconds to wait before the next attempt.
        retry_after_seconds: u32,
    },
    /// The change was not sent, so it was not made.
    NotSent(NotSent),
    /// The change may or may not have been made: 503, 504, timeout, connection reset, or another error after the request
    /// was sent.
    Unknown {
        /// Description of the failure.
        message: String,
    },
}

impl WriteReply {
    /// Returns the objects that the reply contains.
    pub fn objects(&self) -> &[Object] {
        match self {
            Self::Accepted(object) => std::slice::from_ref(object),
            Self::Deleted
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::Throttled { .. }
            | Self::NotSent(_)
            | Self::Unknown { .. } => &[],
        }
    }

    /// Returns the number of seconds to wait before the same request is sent again, if the reply says so.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::Throttled { retry_after_seconds }
            | Self::NotSent(NotSent::Unavailable { retry_after_seconds, .. }) => {
                Some(*retry_after_seconds)
            }
            Self::NotSent(
                NotSent::OtherCluster { .. }
                | NotSent::InvalidRequest { .. }
                | NotSent::JournalFailed { .. },
            )
            | Self::Accepted(_)
            | Self::Deleted
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::Unknown { .. } => None,
        }
    }
}

/// The reason why a request was not sent to the API server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "reason")]
pub enum NotSent {
    /// No connection to the API server, or a read that the change depends on failed. The same request can be sent again.
    #[error("the API server cannot be reached: {message}")]
    Unavailable {
        /// Description of the failure.
        message: String,
        /// Seconds to wait before the next attempt.
        retry_after_seconds: u32,
    },
    /// The object belongs to another cluster, where the same name may denote a different object.
    #[error("the object belongs to cluster {requested:?}, but this is cluster {connected:?}")]
    OtherCluster {
        /// Cluster of the object.
        requested: String,
        /// Cluster that the request would be sent to.
        connected: String,
    },
    /// The request has no HTTP form that means the same, for example because the name is empty.
    #[error("the request is invalid: {message}")]
    InvalidRequest {
        /// Description of the defect.
        message: String,
    },
    /// The journal of the simulated world could not be written, for example because the disk is full.
    #[error("cannot write the journal: {message}")]
    JournalFailed {
        /// Description of the failure.
        message: String,
    },
}
