use cluster::{JsonOp, Mode, Object, Patch, Reply, Request, Verb};
use workflow::run::Applied;

use crate::sameness::is_same_at;

/// Whether `request`, whose answer was lost, was applied: judged from one read of its target at `Latest`.
///
/// *Yes* if the object holds what the request would have left (or, of a deletion, that incarnation is gone). *No* if the
/// object is still the one that the request was based on: its stored version, or the generation that the patch tests,
/// has not moved; then the request may be sent again with the same preconditions, for only one of the two can win. *No*
/// as well if the incarnation that a patch was meant for is gone: nothing of it remains, and its uid can never match
/// again. Otherwise *unknown*: somebody else wrote meanwhile, and a person must look.
pub fn was_applied(request: &Request, read: &Reply) -> Applied {
    if request.mode == Mode::DryRun {
        return Applied::No;
    }
    let object = match read {
        Reply::Found(object) => Some(object),
        Reply::Absent => None,
        Reply::Listed(_)
        | Reply::Accepted(_)
        | Reply::Deleted
        | Reply::Conflict { .. }
        | Reply::Refused { .. }
        | Reply::Throttled { .. }
        | Reply::Unknown { .. } => return Applied::Unknown,
    };
    match &request.verb {
        Verb::Patch { patch, .. } => patched(request, patch, object),
        Verb::Delete { .. } | Verb::Evict => deleted(request, object),
        Verb::Create(wanted) => created(wanted, object),
        Verb::Apply(wanted) => patched(request, &Patch::Merge(wanted.to_value()), object),
    }
}

fn patched(request: &Request, patch: &Patch, object: Option<&Object>) -> Applied {
    let Some(object) = object.filter(|object| is_meant(request, object)) else {
        return Applied::No;
    };
    if holds(patch, object) {
        return Applied::Yes;
    }
    if is_unmoved(request, object) || is_generation_unmoved(patch, object) {
        Applied::No
    } else {
        Applied::Unknown
    }
}

fn deleted(request: &Request, object: Option<&Object>) -> Applied {
    let Some(object) = object.filter(|object| is_meant(request, object)) else {
        return Applied::Yes;
    };
    if object.metadata().deletion_timestamp.is_some() {
        Applied::Yes
    } else if is_unmoved(request, object) {
        Applied::No
    } else {
        Applied::Unknown
    }
}

fn created(wanted: &Object, object: Option<&Object>) -> Applied {
    let Some(object) = object else { return Applied::No };
    // The name may have been taken by somebody else: ours is told by every field and annotation that we set.
    let has_fields = wanted
        .field_names()
        .all(|name| name == "status" || object.field(name) == wanted.field(name));
    let has_annotations = wanted
        .metadata()
        .annotations
        .iter()
        .all(|(key, value)| object.metadata().annotations.get(key) == Some(value));
    if has_fields && has_annotations { Applied::Yes } else { Applied::Unknown }
}

/// Whether the object is the incarnation that the request was meant for.
fn is_meant(request: &Request, object: &Object) -> bool {
    let meant = request.preconditions.uid.as_ref().or(request.target.uid.as_ref());
    meant.is_none_or(|uid| *uid == object.metadata().uid)
}

fn is_unmoved(request: &Request, object: &Object) -> bool {
    request
        .preconditions
        .resource_version
        .as_ref()
        .is_some_and(|version| *version == object.metadata().resource_version)
}

fn is_generation_unmoved(patch: &Patch, object: &Object) -> bool {
    let Patch::Json(operations) = patch else { return false };
    let is_of_now = |operation: &JsonOp| match operation {
        JsonOp::Test { path, value } => {
            path == "/metadata/generation" && value.as_i64() == Some(object.metadata().generation)
        }
        JsonOp::Add { .. }
        | JsonOp::Remove { .. }
        | JsonOp::Replace { .. }
        | JsonOp::Move { .. }
        | JsonOp::Copy { .. } => false,
    };
    operations.iter().any(is_of_now)
}

/// Whether the object holds all that the patch sets, and nothing that it removes.
fn holds(patch: &Patch, object: &Object) -> bool {
    match patch {
        Patch::Json(operations) => {
            let tree = object.to_value();
            operations.iter().all(|operation| match operation {
                JsonOp::Add { path, value } | JsonOp::Replace { path, value } => {
                    tree.pointer(path).is_some_and(|stored| is_same_at(path, stored, value))
                }
                JsonOp::Remove { path } => tree.pointer(path).is_none(),
                JsonOp::Test { .. } => true,
                // What moved from where cannot be told from the end alone.
                JsonOp::Move { .. } | JsonOp::Copy { .. } => false,
            })
        }
        Patch::Merge(_) | Patch::Strategic(_) => {
            patch.apply(object).is_ok_and(|after| after == *object)
        }
    }
}
