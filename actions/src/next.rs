use cluster::{ObjectRef, Preconditions, Reply, Verb};
use serde_json::Value;
use workflow::duration::Span;
use workflow::manifest::RetryOn;
use workflow::run::ObjectQuery;
use workflow::{ActionSpec, Args};

/// What an action wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// To see these objects as they are stored now: one reply each, in order.
    Read(Vec<ObjectQuery>),
    /// To change this object, once: one reply.
    Send {
        /// The object, with its uid.
        target: ObjectRef,
        /// The change.
        verb: Verb,
        /// What must still hold for the change to be made.
        preconditions: Preconditions,
    },
    /// To let this much time pass: one `Reply::Absent`.
    Wait(Span),
    /// To ask a person: one `Reply::Absent` once they said yes.
    Ask(String),
    /// Nothing more: it is done.
    Done {
        /// What later steps may use. `output.changed` says whether anything was changed.
        output: Value,
        /// The state before, for [`crate::inverse`]; null where there is nothing to undo.
        prior: Value,
    },
    /// It cannot be done.
    Refused {
        /// The kind of failure that this is, where another attempt may help.
        on: Option<RetryOn>,
        /// One word for it: `not-found`, `drifted`, `bad-arguments`.
        code: String,
        /// What failed, where, and how to mend it.
        why: String,
    },
}

/// What the action of `spec` wants next, told `args`, after these replies of the present attempt.
///
/// `key` is the step's key: class B actions derive their marker from it, so that a repeat changes nothing. `replies`
/// holds the answers to reads and sends of this attempt in order; an answer that stayed [`Reply::Unknown`] and was
/// settled as *not applied* stays in the list as it came, one that was settled as applied stands there as what the
/// read found. Every change reads its target first, and a conflict is met by reading again, at most three times.
pub fn next(spec: &ActionSpec, args: &Args, key: &str, replies: &[Reply]) -> Next {
    let _ = (args, key, replies);
    Next::Refused { on: None, code: "unknown-action".into(), why: format!("no action is called `{}`", spec.name) }
}
