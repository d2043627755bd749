//! The requests of the port, as calls.

use std::sync::Arc;

use cluster::{Mode, Reply, Request, Verb};

use super::call::{Answer, Call, Deed, Options};
use crate::interference::Interference;
use crate::world::{Logged, World};

/// The field manager of whatever comes through the port.
const MANAGER: &str = "chiron";
/// When to ask again where the cluster does not say.
const PATIENCE: u32 = 10;

impl Call {
    /// The call that a request of the port makes.
    pub fn of(request: &Request) -> Self {
        let (deed, subresource, grace_seconds) = match &request.verb {
            Verb::Create(object) => (Deed::Create(object.clone()), None, None),
            Verb::Patch { patch, subresource } => {
                (Deed::Patch(patch.clone()), subresource.clone(), None)
            }
            Verb::Delete { grace_seconds } => (Deed::Delete, None, *grace_seconds),
            Verb::Evict => (Deed::Evict, None, None),
            Verb::Apply(object) => (Deed::Apply(object.clone()), None, None),
        };
        Self {
            kind: request.target.object_kind(),
            namespace: request.target.namespace.clone(),
            name: request.target.name.clone(),
            subresource,
            deed,
            options: Options {
                mode: request.mode,
                manager: MANAGER.into(),
                preconditions: request.preconditions.clone(),
                grace_seconds,
                ..Options::default()
            },
            agent: request.agent.clone(),
        }
    }
}

impl Answer {
    /// The answer in the words of the port.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Created(object) | Self::Stored(object) => Reply::Accepted(object.clone()),
            Self::Marked(_) | Self::Deleted(_) | Self::DeletedAll(_) => Reply::Deleted,
            Self::Lost { message } => Reply::Unknown { message: message.clone() },
            Self::Refused(refusal) => match refusal.code {
                404 if !refusal.name.is_empty() => Reply::Absent,
                409 | 412 => Reply::Conflict { message: refusal.message.clone() },
                429 => Reply::Throttled {
                    retry_after_seconds: refusal.retry_after_seconds.unwrap_or(PATIENCE),
                },
                code => Reply::Refused {
                    code,
                    reason: refusal.reason.clone(),
                    message: refusal.message.clone(),
                },
            },
        }
    }
}

impl World {
    /// What befalls the next requests that are meant, one each, in order; for tests.
    pub fn inject(&mut self, interference: impl IntoIterator<Item = Interference>) {
        self.interference.extend(interference);
    }

    /// Forbids a verb (`get`, `list`, `create`, `patch`, `delete`) on a kind, in one namespace or in all.
    pub fn forbid(&mut self, verb: &str, kind: &str, namespace: Option<&str>) {
        self.forbidden.insert((verb.into(), kind.into(), namespace.map(Into::into)));
    }

    pub(crate) fn may(&self, verb: &str, kind: &str, namespace: Option<&str>) -> bool {
        let is_forbidden = |namespace: Option<&str>| {
            self.forbidden.contains(&(verb.into(), kind.into(), namespace.map(Into::into)))
        };
        !is_forbidden(None) && (namespace.is_none() || !is_forbidden(namespace))
    }

    /// Takes one request of the port at the present moment and answers it.
    pub fn send(&mut self, request: &Request) -> Reply {
        let (decided, seen) = self.take(&Call::of(request));
        if let (Mode::Apply, Some(decided)) = (request.mode, decided) {
            let logged = Logged {
                at: self.now,
                request: Arc::new(request.clone()),
                reply: Arc::new(decided.reply()),
            };
            Arc::make_mut(&mut self.requests).push(logged);
        }
        seen.reply()
    }
}
