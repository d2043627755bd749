use cluster::{JsonOp, Mode, Object, Patch, ReadReply, Request, Verb};
use workflow::run::Applied;

use crate::equivalence::is_same_at;

/// Determines from one read of the target at `Latest` whether `request`, whose response was lost, was applied.
///
/// - `Yes` if the object has the state that the request produces (for a deletion: if the object with that uid no longer
///   exists).
/// - `No` if the object is unchanged: its resource version, or the generation that the patch tests, is the same. The request
///   may then be sent again with the same preconditions, because only one of the two can be applied. Also `No` if the object
///   with the uid of a patch no longer exists, because that uid can never match again.
/// - `Unknown` otherwise: another client has changed the object, and an operator must decide.
pub fn was_applied(request: &Request, read: &ReadReply) -> Applied {
    if request.mode == Mode::DryRun {
        return Applied::No;
    }
    let object = match read {
        ReadReply::Found(object) => Some(object),
        ReadReply::NotFound => None,
        ReadReply::Listed(_)
        | ReadReply::Refused { .. }
        | ReadReply::Unavailable { .. }
        | ReadReply::NotSent(_)
        | ReadReply::NotRecordable { .. } => return Applied::Unknown,
    };
    match &request.verb {
        Verb::Patch { patch, .. } => patched(request, patch, object),
        Verb::Delete { .. } | Verb::Evict => deleted(request, object),
        Verb::Create(desired) => created(desired, object),
        Verb::Apply(desired) => patched(request, &Patch::Merge(desired.to_value()), object),
    }
}

fn patched(request: &Request, patch: &Patch, object: Option<&Object>) -> Applied {
    let Some(object) = object.filter(|object| matches_uid(request, object)) else {
        return Applied::No;
    };
    if is_applied(patch, object) {
        return Applied::Yes;
    }
    if matches_version(request, object) || matches_generation(patch, object) {
        Applied::No
    } else {
        Applied::Unknown
    }
}

fn deleted(request: &Request, object: Option<&Object>) -> Applied {
    let Some(object) = object.filter(|object| matches_uid(request, object)) else {
        return Applied::Yes;
    };
    if object.metadata().deletion_timestamp.is_some() {
        Applied::Yes
    } else if matches_version(request, object) {
        Applied::No
    } else {
        Applied::Unknown
    }
}

fn created(desired: &Object, object: Option<&Object>) -> Applied {
    let Some(object) = object else { return Applied::No };
    // Another client may have created an object with this name. Ours has every field and annotation that we set.
    let has_fields = desired
        .field_names()
        .all(|name| name == "status" || object.field(name) == desired.field(name));
    let has_annotations = desired
        .metadata()
        .annotations
        .iter()
        .all(|(key, value)| object.metadata().annotations.get(key) == Some(value));
    if has_fields && has_annotations { Applied::Yes } else { Applied::Unknown }
}

/// Whether the object has the uid that the request is for.
fn matches_uid(request: &Request, object: &Object) -> bool {
    let expected = request.preconditions.uid.as_ref().or(request.target.uid.as_ref());
    expected.is_none_or(|uid| *uid == object.metadata().uid)
}

fn matches_version(request: &Request, object: &Object) -> bool {
    request
        .preconditions
        .resource_version
        .as_ref()
        .is_some_and(|version| *version == object.metadata().resource_version)
}

fn matches_generation(patch: &Patch, object: &Object) -> bool {
    let Patch::Json(operations) = patch else { return false };
    let tests_current_generation = |operation: &JsonOp| match operation {
        JsonOp::Test { path, value } => {
            path == "/metadata/generation" && value.as_i64() == Some(object.metadata().generation)
        }
        JsonOp::Add { .. }
        | JsonOp::Remove { .. }
        | JsonOp::Replace { .. }
        | JsonOp::Move { .. }
        | JsonOp::Copy { .. } => false,
    };
    operations.iter().any(tests_current_generation)
}

/// Whether the object has every value that the patch sets and none that it removes.
fn is_applied(patch: &Patch, object: &Object) -> bool {
    match patch {
        Patch::Json(operations) => {
            let tree = object.to_value();
            operations.iter().all(|operation| match operation {
                JsonOp::Add { path, value } | JsonOp::Replace { path, value } => {
                    tree.pointer(path).is_some_and(|stored| is_same_at(path, stored, value))
                }
                JsonOp::Remove { path } => tree.pointer(path).is_none(),
                JsonOp::Test { .. } => true,
                // The source of a move or copy cannot be determined from the final state.
                JsonOp::Move { .. } | JsonOp::Copy { .. } => false,
            })
        }
        Patch::Merge(_) | Patch::Strategic(_) => {
            patch.apply(object).is_ok_and(|after| after == *object)
        }
    }
}
