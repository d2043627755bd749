//! How every action changes an object: read it, propose, send once, and on a conflict read again.

use cluster::{JsonOp, Object, ObjectRef, Patch, Preconditions, Reply, Verb};
use serde_json::{Value, json};
use workflow::manifest::RetryOn;
use workflow::run::ObjectQuery;
use workflow::{ActionSpec, Args};

use crate::{Next, target};

/// How often an object is read again because another writer was first.
const CONFLICTS: usize = 3;

/// What an action wants of the object that it sees.
pub(crate) enum Proposal {
    /// It is so already.
    Already {
        /// The value that stands there.
        value: Value,
    },
    /// These operations make it so.
    Make(Making),
    /// It cannot be made so.
    Refuse {
        /// One word.
        code: &'static str,
        /// What, where, and how to mend it.
        why: String,
    },
}

/// A change, and what is needed to turn it back.
pub(crate) struct Making {
    /// Operations that can be repeated without doing more.
    pub(crate) operations: Vec<JsonOp>,
    /// The value before.
    pub(crate) before: Value,
    /// The value after.
    pub(crate) after: Value,
    /// Arguments that put `before` back, without `target` and `expect`; absent where there is no way back.
    pub(crate) undo: Option<Args>,
}

/// What an action compares and sets.
pub(crate) struct Field {
    /// What stands there.
    pub(crate) current: Value,
    /// What shall stand there.
    pub(crate) wanted: Value,
    /// When two values of it mean the same.
    pub(crate) is_same: fn(&Value, &Value) -> bool,
}

impl Field {
    /// Nothing if it is so already; a refusal if the argument `expect` is given and something else stands there; else
    /// what `make` says: the operations, and the arguments that turn them back.
    pub(crate) fn propose(
        self,
        args: &Args,
        make: impl FnOnce(&Self) -> (Vec<JsonOp>, Option<Args>),
    ) -> Proposal {
        if (self.is_same)(&self.current, &self.wanted) {
            return Proposal::Already { value: self.current };
        }
        if let Some(expected) =
            args.get("expect").filter(|expected| !(self.is_same)(&self.current, expected))
        {
            let why = format!(
                "found {}, expected {}: somebody changed it since, so it is left as it is",
                short(&self.current),
                short(expected)
            );
            return Proposal::Refuse { code: "drifted", why };
        }
        let (operations, undo) = make(&self);
        Proposal::Make(Making { operations, before: self.current, after: self.wanted, undo })
    }
}

/// Walks the replies of this attempt and says what comes next. `beside` names what is read together with the target.
pub(crate) fn change(
    spec: &ActionSpec,
    args: &Args,
    replies: &[Reply],
    beside: impl Fn(&ObjectRef) -> Vec<ObjectQuery>,
    propose: impl Fn(&Object, &[Reply]) -> Proposal,
) -> Next {
    let Some(target) = target(spec, args, "") else {
        return Next::refused(
            "bad-arguments",
            format!("`{}` was told no object to act on", spec.name),
        );
    };
    let mut queries = vec![ObjectQuery::One(target.clone())];
    queries.extend(beside(&target));
    let mut rest = replies;
    // The change whose answer was lost, for a later read may show it after all.
    let mut sent: Option<(ObjectRef, Making)> = None;
    for _ in 0..=CONFLICTS {
        let Some((seen, after)) = rest.split_at_checked(queries.len()) else {
            return Next::Read(queries);
        };
        rest = after;
        let object = match read(&seen[0], &target) {
            Ok(object) => object,
            Err(refused) => return refused,
        };
        let place = object.reference(&target.cluster);
        let making = match propose(object, &seen[1..]) {
            Proposal::Make(making) => making,
            Proposal::Already { value } => {
                return match sent {
                    Some((place, making)) => done(&place, making),
                    None => Next::Done {
                        output: output(&place, false, &value, &value),
                        prior: Value::Null,
                    },
                };
            }
            Proposal::Refuse { code, why } => {
                return Next::refused(code, format!("{place}: {why}"));
            }
        };
        let Some((answer, after)) = rest.split_first() else { return send(place, object, making) };
        rest = after;
        match answer {
            Reply::Accepted(_) | Reply::Found(_) => return done(&place, making),
            Reply::Conflict { .. } => {}
            Reply::Unknown { .. } => sent = Some((place, making)),
            // An API server answers a failed `test` as it answers a bad patch. Which of the two it
            // was shows in what stands there now.
            Reply::Refused { code: 422, .. } => match rest.first() {
                Some(Reply::Found(now)) if is_moved(object, now) => {}
                Some(_) => return failed(answer, &place),
                None => return Next::Read(queries),
            },
            Reply::Absent => {
                let why = format!("{place} went away before the change reached it");
                return Next::refused("not-found", why);
            }
            Reply::Refused { .. } | Reply::Throttled { .. } | Reply::Listed(_) | Reply::Deleted => {
                return failed(answer, &place);
            }
        }
    }
    let why = format!(
        "{target} was changed by another writer each of the {CONFLICTS} times that it was read again"
    );
    Next::Refused { on: Some(RetryOn::Conflict), code: "conflict".into(), why }
}

/// Whether what a change was based on is no longer what stands there.
fn is_moved(before: &Object, now: &Object) -> bool {
    let (before, now) = (before.metadata(), now.metadata());
    if before.uid != now.uid {
        return true;
    }
    if before.generation > 0 {
        before.generation != now.generation
    } else {
        before.resource_version != now.resource_version
    }
}

/// The object that a read found, if it can be changed.
fn read<'a>(reply: &'a Reply, target: &ObjectRef) -> Result<&'a Object, Next> {
    match reply {
        Reply::Found(object) | Reply::Accepted(object)
            if object.metadata().deletion_timestamp.is_some() =>
        {
            Err(Next::refused("terminating", format!("{target} is being deleted")))
        }
        Reply::Found(object) | Reply::Accepted(object) => Ok(object),
        Reply::Absent => {
            let incarnation =
                if target.uid.is_some() { ", or it was deleted and made again since" } else { "" };
            Err(Next::refused("not-found", format!("there is no {target}{incarnation}")))
        }
        Reply::Conflict { .. }
        | Reply::Refused { .. }
        | Reply::Throttled { .. }
        | Reply::Unknown { .. }
        | Reply::Listed(_)
        | Reply::Deleted => Err(failed(reply, target)),
    }
}

/// What a bad answer means for the attempt.
pub(crate) fn failed(reply: &Reply, place: &ObjectRef) -> Next {
    let (on, code, why) = match reply {
        Reply::Refused { code, reason, message } => {
            (None, "refused", format!("the cluster refused with {code} {reason}: {message}"))
        }
        Reply::Throttled { retry_after_seconds } => (
            Some(RetryOn::Throttled),
            "throttled",
            format!("the cluster asks to wait {retry_after_seconds} s"),
        ),
        Reply::Unknown { message } => (
            Some(RetryOn::Unavailable),
            "unavailable",
            format!("the cluster gave no answer: {message}"),
        ),
        Reply::Conflict { message } => {
            (Some(RetryOn::Conflict), "conflict", format!("another writer was first: {message}"))
        }
        Reply::Found(_)
        | Reply::Absent
        | Reply::Listed(_)
        | Reply::Accepted(_)
        | Reply::Deleted => (
            None,
            "unexpected-reply",
            "the cluster answered something else than was asked".to_string(),
        ),
    };
    Next::Refused { on, code: code.into(), why: format!("{place}: {why}") }
}

/// The change, guarded by what it was based on.
///
/// The status of a workload changes all the time while its pods fail, so the stored version would be a precondition that
/// seldom holds. `metadata.generation` counts the changes of its spec alone: a test of it lets status pass, and tells
/// afterwards whether a change whose answer was lost was made. Objects without one are guarded by their stored version.
fn send(place: ObjectRef, object: &Object, making: Making) -> Next {
    let metadata = object.metadata();
    let mut operations = making.operations;
    let mut preconditions = Preconditions { uid: place.uid.clone(), resource_version: None };
    if metadata.generation > 0 {
        operations.insert(
            0,
            JsonOp::Test { path: "/metadata/generation".into(), value: metadata.generation.into() },
        );
    } else {
        preconditions.resource_version =
            Some(metadata.resource_version.clone()).filter(|version| !version.is_empty());
    }
    let verb = Verb::Patch { patch: Patch::Json(operations), subresource: None };
    Next::Send { target: place, verb, preconditions }
}

fn done(place: &ObjectRef, making: Making) -> Next {
    let output = output(place, true, &making.before, &making.after);
    let mut prior = json!({"target": place, "before": making.before, "after": making.after});
    if let Some(mut undo) = making.undo {
        undo.insert("target".into(), json!(place));
        undo.insert("expect".into(), making.after);
        prior["undo"] = Value::Object(undo);
    }
    Next::Done { output, prior }
}

fn output(place: &ObjectRef, changed: bool, before: &Value, after: &Value) -> Value {
    json!({"changed": changed, "target": place.to_string(), "before": before, "after": after})
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 120 {
        text
    } else {
        format!("{}…", text.chars().take(119).collect::<String>())
    }
}

/// `pointer` with one more member, escaped as RFC 6901 asks.
pub(crate) fn below(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// Sets `value` at the path of `members` within a top-level field, making the objects on the way that are missing.
pub(crate) fn put(object: &Object, members: &[&str], value: Value) -> JsonOp {
    let mut path = String::new();
    for (depth, member) in members.iter().enumerate() {
        path = below(&path, member);
        if object.at(&path).is_none_or(Value::is_null) {
            let value = members[depth + 1..]
                .iter()
                .rev()
                .fold(value, |inner, outer| json!({*outer: inner}));
            return JsonOp::Add { path, value };
        }
    }
    JsonOp::Add { path, value }
}
