use serde::{Deserialize, Serialize};

use crate::{Agent, Object, ObjectRef, Patch};

/// A request to change one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Object to change. Its uid, if any, is not sent as a precondition: see `preconditions`.
    pub target: ObjectRef,
    /// Change to make.
    pub verb: Verb,
    /// Conditions on the stored object. Default: none.
    #[serde(default)]
    pub preconditions: Preconditions,
    /// Whether the change is stored or only validated.
    pub mode: Mode,
    /// Sender, for the cluster's audit log.
    pub agent: Agent,
}

/// The change that a request makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Creates the object.
    Create(Object),
    /// Patches the object, or its `/scale` or `/status` subresource.
    Patch {
        /// The patch document.
        patch: Patch,
        /// `scale` or `status`. Default: the object itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subresource: Option<String>,
    },
    /// Deletes the object, with background propagation to the objects that it owns.
    Delete {
        /// Termination grace period in seconds. Default: the grace period of the object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_seconds: Option<u32>,
    },
    /// Evicts a pod; the API server rejects the eviction if a PodDisruptionBudget does not allow it.
    Evict,
    /// Server-side apply: sets the fields of this object and takes ownership of them as the field manager `chiron`;
    /// creates the object if it does not exist. Never forced: a field that another manager owns with another value is a
    /// conflict. Fields that were applied before and are missing here are removed, unless another manager owns them too.
    Apply(Object),
}

/// Conditions on the stored object for a request to be applied; a mismatch is a conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    /// Required uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Required resource version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// Whether a change is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The API server validates the change and replies, and stores nothing (`dryRun=All`).
    DryRun,
    /// The API server stores the change.
    Commit,
}
