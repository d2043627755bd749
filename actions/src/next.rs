use cluster::{ObjectRef, Preconditions, Verb};
use serde_json::Value;
use workflow::ErrorCode;
use workflow::duration::Duration;
use workflow::manifest::RetryOn;
use workflow::run::ObjectQuery;

/// The next request of an action, or its result.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Read the current state of these objects: one reply each, in order.
    Read(Vec<ObjectQuery>),
    /// Change this object: one reply.
    Send {
        /// The object, including its uid.
        target: ObjectRef,
        /// The change.
        verb: Verb,
        /// The preconditions under which the API server makes the change.
        preconditions: Preconditions,
    },
    /// Wait for this duration: one [`crate::Reply::Waited`].
    Wait(Duration),
    /// Ask an operator for approval: one [`crate::Reply::Approved`] once it is given.
    RequestApproval(String),
    /// The action is done.
    Done {
        /// Output for later steps. `output.changed` is true if anything was changed.
        output: Value,
        /// The prior state, for [`crate::inverse`]; null if there is nothing to undo.
        prior: Value,
    },
    /// The action cannot be done.
    Refused {
        /// The kind of failure, if a retry may succeed.
        on: Option<RetryOn>,
        /// Stable code.
        code: ErrorCode,
        /// What failed, where, and how to fix it.
        message: String,
    },
}

impl Next {
    /// Returns a refusal that a retry cannot resolve.
    pub(crate) fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused { on: None, code, message: message.into() }
    }
}
