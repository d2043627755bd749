use serde::{Deserialize, Serialize};

use crate::{Agent, Object, ObjectRef, Patch};

/// One change asked of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What is to change. Its uid, where present, is not sent by itself: see `preconditions`.
    pub target: ObjectRef,
    /// How.
    pub verb: Verb,
    /// What must still hold for the change to be made.
    #[serde(default)]
    pub preconditions: Preconditions,
    /// For real, or only asked.
    pub mode: Mode,
    /// Who asks.
    pub agent: Agent,
}

/// What a request does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Makes the object.
    Create(Object),
    /// Changes the object; through its `/scale` or `/status` subresource where one is named.
    Patch {
        /// The change.
        patch: Patch,
        /// `scale` or `status`; absent for the object itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subresource: Option<String>,
    },
    /// Deletes the object; owned objects go with it, in the background.
    Delete {
        /// Seconds that a pod may take to end; absent for the object's own figure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_seconds: Option<u32>,
    },
    /// Evicts a pod, as far as disruption budgets let it.
    Evict,
    /// Server-side apply: sets the fields of this object and owns them from then on, as the manager `chiron`; makes the
    /// object if there is none. Never forced: a field that another manager owns with another value is a conflict. Fields
    /// that were applied before and are not here go, unless somebody else owns them too.
    Apply(Object),
}

/// What must hold of the stored object for a request to be applied; anything else is a conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    /// The incarnation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The stored version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// Whether a request is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The cluster checks and answers, and stores nothing (`dryRun=All`).
    DryRun,
    /// The cluster stores the change.
    Apply,
}

/// What a cluster answered, classified as `execution-semantics` 2 asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reply", content = "value")]
pub enum Reply {
    /// A read found the object.
    Found(Object),
    /// A read, or a change, met no such object (404).
    Absent,
    /// A list, in order of namespace and name.
    Listed(Vec<Object>),
    /// The change was accepted; the object as it is stored now.
    Accepted(Object),
    /// The deletion or eviction was accepted.
    Deleted,
    /// A precondition no longer holds, or a create met the name taken (409, 412).
    Conflict {
        /// The cluster's words.
        message: String,
    },
    /// Definitely not done (400, 403, 422, …).
    Refused {
        /// HTTP status.
        code: u16,
        /// Kubernetes' reason: `Invalid`, `Forbidden`.
        reason: String,
        /// The cluster's words.
        message: String,
    },
    /// Not done; ask again later (429).
    Throttled {
        /// Seconds to wait.
        retry_after_seconds: u32,
    },
    /// It may have happened or not: 503, 504, time-out, reset, an error after the request was on the wire.
    Unknown {
        /// What was seen.
        message: String,
    },
}

impl Reply {
    /// The object that the reply carries.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Self::Found(object) | Self::Accepted(object) => Some(object),
            Self::Absent
            | Self::Listed(_)
            | Self::Deleted
            | Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::Throttled { .. }
            | Self::Unknown { .. } => None,
        }
    }
}
