use cluster::{ObjectRef, Preconditions, Reply, Verb};
use serde_json::Value;
use workflow::duration::Span;
use workflow::manifest::RetryOn;
use workflow::run::ObjectQuery;
use workflow::{ActionSpec, Args};

use crate::catalogue::row;
use crate::check_arguments;

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

impl Next {
    /// A refusal that another attempt would only meet again.
    pub(crate) fn refused(code: &str, why: impl Into<String>) -> Self {
        Self::Refused { on: None, code: code.into(), why: why.into() }
    }
}

/// What the action of `spec` wants next, told `args`, after these replies of the present attempt.
///
/// `key` is the step's key: class B actions derive their marker from it, so that a repeat changes nothing. `replies`
/// holds the answers to reads and sends of this attempt in order. An answer that was [`Reply::Unknown`] and was settled
/// by [`crate::was_applied`] stands there as it came where it was not applied, and as what the read found where it was.
/// Every change reads its target first; a conflict is met by reading again, at most three times.
pub fn next(spec: &ActionSpec, args: &Args, key: &str, replies: &[Reply]) -> Next {
    let Some(row) = row(&spec.name) else {
        return Next::refused("unknown-action", format!("no action is called `{}`", spec.name));
    };
    if let Some((path, message)) = check_arguments(spec, args).into_iter().next() {
        return Next::refused(
            "bad-arguments",
            format!("`{}` cannot take its argument `{path}`: {message}", spec.name),
        );
    }
    (row.next)(spec, args, key, replies)
}
