//! JSON patches: RFC 6902, applied by `json_patch`, with the two deviations of the Kubernetes API server.

use std::collections::BTreeSet;

use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchErrorKind, PatchOperation, RemoveOperation,
    ReplaceOperation,
};
use serde_json::Value;

use super::{JsonOp, PatchError, invalid, is_same_json};

pub(super) fn apply(operations: &[JsonOp], mut document: Value) -> Result<Value, PatchError> {
    for operation in operations {
        let operation = match operation {
            JsonOp::Test { path, value } => {
                test(&document, path, value)?;
                continue;
            }
            JsonOp::Add { path, value } => {
                PatchOperation::Add(AddOperation { path: pointer(path)?, value: value.clone() })
            }
            JsonOp::Remove { path } => {
                PatchOperation::Remove(RemoveOperation { path: pointer(path)? })
            }
            JsonOp::Replace { path, value } => replace(&document, pointer(path)?, value.clone()),
            JsonOp::Move { from, path } => {
                PatchOperation::Move(MoveOperation { from: pointer(from)?, path: pointer(path)? })
            }
            JsonOp::Copy { from, path } => {
                PatchOperation::Copy(CopyOperation { from: pointer(from)?, path: pointer(path)? })
            }
        };
        // The document is our own copy and is dropped on errors, so nothing has to be reverted.
        json_patch::patch_unsafe(&mut document, std::slice::from_ref(&operation))
            .map_err(|error| refusal(&operation, &error.kind))?;
    }
    Ok(document)
}

/// Replaces a value. A missing member of an object is set, as the Kubernetes API server does (the RFC requires an error);
/// a missing list element is an error.
fn replace(document: &Value, path: PointerBuf, value: Value) -> PatchOperation {
    let parent = path.parent().and_then(|parent| document.pointer(parent.as_str()));
    if parent.is_some_and(Value::is_object) {
        PatchOperation::Add(AddOperation { path, value })
    } else {
        PatchOperation::Replace(ReplaceOperation { path, value })
    }
}

/// Compares a value. Unlike in `json_patch`, `2` equals `2.0`, as in the API server, which compares numbers by value.
fn test(document: &Value, path: &str, expected: &Value) -> Result<(), PatchError> {
    // An invalid pointer is an invalid patch, not a failed test.
    let found = document.pointer(pointer(path)?.as_str());
    if found.is_some_and(|found| is_same_json(found, expected)) {
        return Ok(());
    }
    let found = found.map_or_else(|| "nothing".to_string(), ToString::to_string);
    Err(PatchError::TestFailed { path: path.into(), expected: expected.to_string(), found })
}

fn pointer(text: &str) -> Result<PointerBuf, PatchError> {
    Pointer::parse(text).map(Pointer::to_buf).map_err(|error| {
        invalid(
            text,
            if error.is_no_leading_slash() {
                "a JSON pointer has to start with `/`"
            } else {
                "`~` is only allowed in the escapes `~0` and `~1`"
            },
        )
    })
}

/// Returns our error for an operation that `json_patch` refused; it does not say which part of the path is wrong.
fn refusal(operation: &PatchOperation, kind: &PatchErrorKind) -> PatchError {
    let path = operation.path();
    match (operation, kind) {
        (_, PatchErrorKind::CannotMoveInsideItself) => {
            invalid(path.as_str(), "a value cannot move into itself")
        }
        (
            PatchOperation::Move(MoveOperation { from, .. })
            | PatchOperation::Copy(CopyOperation { from, .. }),
            PatchErrorKind::InvalidFromPointer,
        ) => invalid(from.as_str(), "there is no value at this path"),
        (PatchOperation::Remove(_), _) if path.is_root() => {
            invalid("", "the whole object cannot be removed")
        }
        (PatchOperation::Remove(_) | PatchOperation::Replace(_), _) => {
            invalid(path.as_str(), "there is no value at this path")
        }
        (_, _) => invalid(
            path.as_str(),
            "the parent is missing, is not an object or list, or is a list without this index",
        ),
    }
}

pub(super) fn changed_pointers(operations: &[JsonOp], pointers: &mut BTreeSet<String>) {
    for operation in operations {
        match operation {
            JsonOp::Add { path, .. }
            | JsonOp::Remove { path }
            | JsonOp::Replace { path, .. }
            | JsonOp::Copy { path, .. } => {
                pointers.insert(path.clone());
            }
            JsonOp::Move { from, path } => {
                pointers.insert(from.clone());
                pointers.insert(path.clone());
            }
            JsonOp::Test { .. } => {}
        }
    }
}

/// Returns the top-level fields that the operations read or write; `None` if an operation affects the whole object.
pub(super) fn fields(operations: &[JsonOp]) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for operation in operations {
        let pointers: [Option<&String>; 2] = match operation {
            JsonOp::Move { from, path } | JsonOp::Copy { from, path } => [Some(from), Some(path)],
            JsonOp::Add { path, .. }
            | JsonOp::Remove { path }
            | JsonOp::Replace { path, .. }
            | JsonOp::Test { path, .. } => [Some(path), None],
        };
        for pointer in pointers.into_iter().flatten() {
            // `apply` rejects an invalid pointer.
            names.insert(Pointer::parse(pointer).ok()?.first()?.decoded().into_owned());
        }
    }
    Some(names)
}
