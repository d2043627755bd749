//! Conversion between the requests of the `cluster` port and API calls.

use std::sync::Arc;

use cluster::{Mode, Request, Verb, WriteReply};

use super::call::{ApiCall, CallOptions, CallResult, Operation};
use crate::injected_reply::InjectedReply;
use crate::world::{LoggedRequest, World};

/// The field manager of requests through the port.
const FIELD_MANAGER: &str = "chiron";
/// The retry delay of a 429 without `Retry-After`, in seconds.
const DEFAULT_RETRY_AFTER_SECONDS: u32 = 10;

impl ApiCall {
    /// Converts a request of the port to a call.
    pub fn of(request: &Request) -> Self {
        let (operation, subresource, grace_seconds) = match &request.verb {
            Verb::Create(object) => (Operation::Create(object.clone()), None, None),
            Verb::Patch { patch, subresource } => {
                (Operation::Patch(patch.clone()), subresource.clone(), None)
            }
            Verb::Delete { grace_seconds } => (Operation::Delete, None, *grace_seconds),
            Verb::Evict => (Operation::Evict, None, None),
            Verb::Apply(object) => (Operation::Apply(object.clone()), None, None),
        };
        Self {
            kind: request.target.object_kind(),
            namespace: request.target.namespace.clone(),
            name: request.target.name.clone(),
            subresource,
            operation,
            options: CallOptions {
                mode: request.mode,
                manager: FIELD_MANAGER.into(),
                preconditions: request.preconditions.clone(),
                grace_seconds,
                ..CallOptions::default()
            },
            agent: request.agent.clone(),
        }
    }
}

impl CallResult {
    /// Converts the result to a reply of the port.
    pub fn reply(&self) -> WriteReply {
        match self {
            Self::Created(object) | Self::Stored(object) => WriteReply::Accepted(object.clone()),
            Self::Terminating(_) | Self::Deleted(_) | Self::DeletedAll(_) => WriteReply::Deleted,
            Self::ConnectionLost { message } => WriteReply::Unknown { message: message.clone() },
            Self::Refused(error) => match error.code {
                404 if !error.name.is_empty() => WriteReply::NotFound,
                409 | 412 => WriteReply::Conflict { message: error.message.clone() },
                429 => WriteReply::Throttled {
                    retry_after_seconds: error
                        .retry_after_seconds
                        .unwrap_or(DEFAULT_RETRY_AFTER_SECONDS),
                },
                code => WriteReply::Refused {
                    code,
                    reason: error.reason.clone(),
                    message: error.message.clone(),
                },
            },
        }
    }
}

impl World {
    /// Injects replies into the next requests that are not dry runs, one each, in order. For tests.
    pub fn inject(&mut self, interference: impl IntoIterator<Item = InjectedReply>) {
        self.injected_replies.extend(interference);
    }

    /// Forbids a verb (`get`, `list`, `create`, `patch`, `delete`) on a kind, in one namespace or in all namespaces.
    pub fn forbid(&mut self, verb: &str, kind: &str, namespace: Option<&str>) {
        self.denied_requests.insert((verb.into(), kind.into(), namespace.map(Into::into)));
    }

    pub(crate) fn is_verb_allowed(&self, verb: &str, kind: &str, namespace: Option<&str>) -> bool {
        let is_forbidden = |namespace: Option<&str>| {
            self.denied_requests.contains(&(verb.into(), kind.into(), namespace.map(Into::into)))
        };
        !is_forbidden(None) && (namespace.is_none() || !is_forbidden(namespace))
    }

    /// Executes a request of the port at the current simulated time.
    pub fn send(&mut self, request: &Request) -> WriteReply {
        let (decided, visible) = self.execute(&ApiCall::of(request));
        if let (Mode::Commit, Some(decided)) = (request.mode, decided) {
            let logged = LoggedRequest {
                at: self.now,
                request: Arc::new(request.clone()),
                reply: Arc::new(decided.reply()),
            };
            Arc::make_mut(&mut self.requests).push(logged);
        }
        visible.reply()
    }
}
