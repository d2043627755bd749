use cluster::{ObjectRef, Preconditions, Verb};
use serde_json::Value;
use workflow::duration::Duration;
use workflow::manifest::RetryOn;
use workflow::run::ObjectQuery;
use workflow::{ActionSpec, Args, ErrorCode};

use crate::{Reply, check_arguments, find};

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
    /// Wait for this duration: one [`Reply::Waited`].
    Wait(Duration),
    /// Ask an operator for approval: one [`Reply::Approved`] once it is given.
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

/// Returns the action's next step, given the replies of this attempt so far.
///
/// `key` is the step's key: actions of class [`workflow::ActionClass::Marked`] derive their marker from it, so that a
/// repeat changes nothing. `replies` contains the responses to the reads and sends of this attempt, in order. If a response
/// was [`cluster::WriteReply::Unknown`] and [`crate::was_applied`] resolved it, `replies` contains the `Unknown` itself if the
/// request was not applied, and an `Accepted` with the object that the read returned if it was. Every change reads its target first; after a conflict the
/// target is read again, at most three times.
pub fn next(spec: &ActionSpec, args: &Args, key: &str, replies: &[Reply]) -> Next {
    let Some(action) = find(&spec.name) else {
        return Next::refused(
            ErrorCode::UnknownAction,
            format!("there is no action `{}`", spec.name),
        );
    };
    if let Some((path, message)) = check_arguments(spec, args).into_iter().next() {
        return Next::refused(
            ErrorCode::InvalidArguments,
            format!("`{}` has an invalid argument `{path}`: {message}", spec.name),
        );
    }
    action.next(spec, args, key, replies)
}
