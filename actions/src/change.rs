//! The procedure by which every action changes an object: read, compute the change, send it, and on a conflict read again.

use cluster::{
    JsonOp, NotSent, Object, ObjectRef, Patch, Preconditions, ReadReply, Verb, WriteReply,
};
use serde_json::{Value, json};
use workflow::manifest::RetryOn;
use workflow::run::ObjectQuery;
use workflow::{ActionSpec, Args, ErrorCode};

use crate::refused::Refused;
use crate::{Next, Reply, target};

/// Number of retries after a conflict with another writer.
const MAX_CONFLICT_RETRIES: usize = 3;

/// What an action proposes a change from.
#[derive(Clone, Copy, Debug)]
pub struct ChangeInput<'a> {
    /// Arguments of the action.
    pub args: &'a Args,
    /// Key of the step; see [`crate::next`].
    pub key: &'a str,
    /// The target as it was read.
    pub object: &'a Object,
    /// Replies to the queries of [`Action::also_read`](crate::Action::also_read), in order.
    pub also_read: &'a [&'a ReadReply],
}

/// The change that an action proposes for the current object.
#[derive(Clone, Debug)]
pub enum Proposed {
    /// The object already has the desired state.
    NoChange {
        /// The current value.
        value: Value,
    },
    /// These operations produce the desired state.
    Change(ProposedChange),
}

/// A change and how to undo it.
#[derive(Clone, Debug)]
pub struct ProposedChange {
    /// Idempotent operations.
    pub operations: Vec<JsonOp>,
    /// The value before.
    pub before: Value,
    /// The value after.
    pub after: Value,
    /// Arguments that restore `before`, without `target` and `expect`; `None` if the change cannot be undone.
    pub undo: Option<Args>,
}

/// A value that an action compares and sets.
pub(crate) struct FieldUpdate {
    /// The current value.
    pub(crate) current: Value,
    /// The desired value.
    pub(crate) desired: Value,
    /// Whether two values are equivalent.
    pub(crate) is_same: fn(&Value, &Value) -> bool,
}

impl FieldUpdate {
    /// Proposes no change if the current value is equivalent to the desired one, and refuses if the argument `expect` is
    /// given and differs from the current value. Otherwise proposes the change that `make` returns: the operations and the
    /// arguments that undo them.
    pub(crate) fn propose(
        self,
        args: &Args,
        make: impl FnOnce(&Self) -> (Vec<JsonOp>, Option<Args>),
    ) -> Result<Proposed, Refused> {
        if (self.is_same)(&self.current, &self.desired) {
            return Ok(Proposed::NoChange { value: self.current });
        }
        if let Some(expected) =
            args.get("expect").filter(|expected| !(self.is_same)(&self.current, expected))
        {
            let message = format!(
                "found {}, expected {}: changed by someone else since; not modified",
                truncated(&self.current),
                truncated(expected)
            );
            return Err(Refused { code: ErrorCode::ChangedConcurrently, message });
        }
        let (operations, undo) = make(&self);
        Ok(Proposed::Change(ProposedChange {
            operations,
            before: self.current,
            after: self.desired,
            undo,
        }))
    }
}

/// Replays the replies of this attempt and returns the next step. `also_read` returns what is read together with the target.
pub(crate) fn read_then_patch(
    spec: &ActionSpec,
    args: &Args,
    replies: &[Reply],
    also_read: impl Fn(&ObjectRef) -> Vec<ObjectQuery>,
    propose: impl Fn(&Object, &[&ReadReply]) -> Result<Proposed, Refused>,
) -> Next {
    let Some(target) = target(spec, args, "") else {
        return Next::refused(
            ErrorCode::InvalidArguments,
            format!("`{}` requires an object reference as its target", spec.name),
        );
    };
    let mut queries = vec![ObjectQuery::One(target.clone())];
    queries.extend(also_read(&target));
    let mut rest = replies;
    // The change whose response was lost: a later read may show that it was applied.
    let mut sent: Option<(ObjectRef, ProposedChange)> = None;
    for _ in 0..=MAX_CONFLICT_RETRIES {
        let Some((answers, after)) = rest.split_at_checked(queries.len()) else {
            return Next::Read(queries);
        };
        rest = after;
        let Some(read_replies) = answers.iter().map(read_reply).collect::<Option<Vec<_>>>() else {
            return unexpected(&target);
        };
        let object = match read_object(read_replies[0], &target) {
            Ok(object) => object,
            Err(refused) => return refused,
        };
        let reference = object.reference(&target.cluster);
        let change = match propose(object, &read_replies[1..]) {
            Ok(Proposed::Change(change)) => change,
            Ok(Proposed::NoChange { value }) => {
                return match sent {
                    Some((reference, change)) => done(&reference, change),
                    None => Next::Done {
                        output: output(&reference, false, &value, &value),
                        prior: Value::Null,
                    },
                };
            }
            Err(Refused { code, message }) => {
                return Next::refused(code, format!("{reference}: {message}"));
            }
        };
        let Some((reply, after)) = rest.split_first() else {
            return send(reference, object, change);
        };
        rest = after;
        let Reply::Write(reply) = reply else { return unexpected(&reference) };
        match reply {
            WriteReply::Accepted(_) => return done(&reference, change),
            WriteReply::Conflict { .. } => {}
            WriteReply::Unknown { .. } => sent = Some((reference, change)),
            // An API server responds with 422 both to a failed `test` and to an invalid patch. The current state of the
            // object shows which of the two it was.
            WriteReply::Refused { code: 422, .. } => match rest.first() {
                Some(Reply::Read(ReadReply::Found(now))) if has_changed(object, now) => {}
                Some(_) => return write_failed(reply, &reference),
                None => return Next::Read(queries),
            },
            WriteReply::NotFound => {
                let message = format!("{reference} was deleted before the change was applied");
                return Next::refused(ErrorCode::NotFound, message);
            }
            WriteReply::Refused { .. }
            | WriteReply::Throttled { .. }
            | WriteReply::NotSent(_)
            | WriteReply::Deleted => return write_failed(reply, &reference),
        }
    }
    let message = format!(
        "{target} was changed by another writer before each of {MAX_CONFLICT_RETRIES} retries"
    );
    Next::Refused { on: Some(RetryOn::Conflict), code: ErrorCode::Conflict, message }
}

/// Whether the object changed since it was read.
fn has_changed(before: &Object, now: &Object) -> bool {
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

fn read_reply(reply: &Reply) -> Option<&ReadReply> {
    match reply {
        Reply::Read(reply) => Some(reply),
        Reply::Write(_) | Reply::Waited | Reply::Approved => None,
    }
}

/// Returns the object that a read found.
///
/// # Errors
/// If it does not exist, is being deleted, or could not be read.
fn read_object<'a>(reply: &'a ReadReply, target: &ObjectRef) -> Result<&'a Object, Next> {
    let (on, code, message) = match reply {
        ReadReply::Found(object) if object.metadata().deletion_timestamp.is_some() => {
            return Err(Next::refused(
                ErrorCode::Terminating,
                format!("{target} is being deleted"),
            ));
        }
        ReadReply::Found(object) => return Ok(object),
        ReadReply::NotFound => {
            let recreated =
                if target.uid.is_some() { ", or it was recreated with another uid" } else { "" };
            return Err(Next::refused(
                ErrorCode::NotFound,
                format!("{target} does not exist{recreated}"),
            ));
        }
        ReadReply::Refused { code, message } => (
            None,
            ErrorCode::Refused,
            format!("the API server rejected the read with {code}: {message}"),
        ),
        ReadReply::Unavailable { message } => (
            Some(RetryOn::Unavailable),
            ErrorCode::Unavailable,
            format!("no response from the API server: {message}"),
        ),
        ReadReply::NotSent(not_sent) => return Err(not_sent_failed(not_sent, target)),
        ReadReply::NotRecordable { message } => (None, ErrorCode::NotRecordable, message.clone()),
        ReadReply::Listed(_) => return Err(unexpected(target)),
    };
    Err(Next::Refused { on, code, message: format!("{target}: {message}") })
}

/// Returns the failure of the attempt that a reply to its change means.
fn write_failed(reply: &WriteReply, reference: &ObjectRef) -> Next {
    let (on, code, message) = match reply {
        WriteReply::Refused { code, reason, message } => (
            None,
            ErrorCode::Refused,
            format!("the API server rejected the request with {code} {reason}: {message}"),
        ),
        WriteReply::Throttled { retry_after_seconds } => (
            Some(RetryOn::Throttled),
            ErrorCode::Throttled,
            format!("the API server throttles requests; retry after {retry_after_seconds} s"),
        ),
        WriteReply::NotSent(not_sent) => return not_sent_failed(not_sent, reference),
        WriteReply::Unknown { message } => (
            Some(RetryOn::Unavailable),
            ErrorCode::Unavailable,
            format!("no response from the API server: {message}"),
        ),
        WriteReply::Conflict { message } => (
            Some(RetryOn::Conflict),
            ErrorCode::Conflict,
            format!("conflict with another writer: {message}"),
        ),
        WriteReply::NotFound | WriteReply::Accepted(_) | WriteReply::Deleted => {
            return unexpected(reference);
        }
    };
    Next::Refused { on, code, message: format!("{reference}: {message}") }
}

fn not_sent_failed(not_sent: &NotSent, reference: &ObjectRef) -> Next {
    let (on, code) = match not_sent {
        NotSent::Unavailable { .. } => (Some(RetryOn::Unavailable), ErrorCode::Unavailable),
        NotSent::OtherCluster { .. }
        | NotSent::InvalidRequest { .. }
        | NotSent::JournalFailed { .. } => (None, ErrorCode::NotSent),
    };
    Next::Refused {
        on,
        code,
        message: format!("{reference}: the request was not sent: {not_sent}"),
    }
}

/// Returns the failure for a reply that belongs to another request than the action made.
fn unexpected(reference: &ObjectRef) -> Next {
    let message = format!("{reference}: the API server sent an unexpected response");
    Next::refused(ErrorCode::UnexpectedReply, message)
}

/// Returns the request for a change, with preconditions on the state that the change is based on.
///
/// The status of a workload changes continuously while its pods fail, so a precondition on the resource version would fail
/// most of the time. `metadata.generation` only counts changes of the spec: a test of it ignores status updates and later
/// shows whether a change whose response was lost was applied. Objects without a generation use their resource version.
fn send(reference: ObjectRef, object: &Object, change: ProposedChange) -> Next {
    let metadata = object.metadata();
    let mut operations = change.operations;
    let mut preconditions = Preconditions { uid: reference.uid.clone(), resource_version: None };
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
    Next::Send { target: reference, verb, preconditions }
}

fn done(reference: &ObjectRef, change: ProposedChange) -> Next {
    let output = output(reference, true, &change.before, &change.after);
    let mut prior = json!({"target": reference, "before": change.before, "after": change.after});
    if let Some(mut undo) = change.undo {
        undo.insert("target".into(), json!(reference));
        undo.insert("expect".into(), change.after);
        prior["undo"] = Value::Object(undo);
    }
    Next::Done { output, prior }
}

fn output(reference: &ObjectRef, changed: bool, before: &Value, after: &Value) -> Value {
    json!({"changed": changed, "target": reference.to_string(), "before": before, "after": after})
}

fn truncated(value: &Value) -> String {
    workflow::text::truncate(&value.to_string(), 120)
}

/// Appends one member to a JSON pointer, escaped per RFC 6901.
pub(crate) fn child_pointer(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// Returns the operation that sets `value` at the path of `members`, creating missing parent objects.
pub(crate) fn add_with_parents(object: &Object, members: &[&str], value: Value) -> JsonOp {
    let mut path = String::new();
    for (depth, member) in members.iter().enumerate() {
        path = child_pointer(&path, member);
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
