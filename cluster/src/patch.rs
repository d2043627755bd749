use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Object;

/// A change of one object, in one of the three forms that Kubernetes takes.
///
/// Written `{type: merge, patch: {…}}`, with `type` one of `json`, `merge`, `strategic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "patch", rename_all = "camelCase")]
pub enum Patch {
    /// Operations in order, all or none (RFC 6902).
    Json(Vec<JsonOp>),
    /// A tree laid over the object: null removes, lists are replaced whole (RFC 7386).
    Merge(Value),
    /// A tree laid over the object: null removes, lists of named elements are merged by their key.
    Strategic(Value),
}

/// One operation of a JSON patch; every path is a JSON pointer (RFC 6901) into the object as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum JsonOp {
    /// Sets a member, or inserts into a list before the index (`-` appends).
    Add {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Removes what is there; an absent target is an error.
    Remove {
        /// Where.
        path: String,
    },
    /// Replaces what is there; an absent target is an error.
    Replace {
        /// Where.
        path: String,
        /// By what.
        value: Value,
    },
    /// Removes what is at `from` and adds it at `path`.
    Move {
        /// From where.
        from: String,
        /// To where.
        path: String,
    },
    /// Adds at `path` what is at `from`.
    Copy {
        /// From where.
        from: String,
        /// To where.
        path: String,
    },
    /// Demands that this is there now.
    Test {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
}

/// Why a patch cannot be applied to an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchRefused {
    /// A `test` operation met another value: the object moved on.
    #[error("test of `{path}` failed: the object holds {found}, the patch expected {expected}")]
    TestFailed {
        /// Where.
        path: String,
        /// What the patch expected, as JSON.
        expected: String,
        /// What the object holds, as JSON; `nothing` where it holds none.
        found: String,
    },
    /// The patch does not fit the object.
    #[error("cannot apply the patch at `{path}`: {reason}")]
    Invalid {
        /// Where, as a JSON pointer.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Patch {
    /// Applies the patch to `object` and gives the changed object; unchanged top-level fields are shared with it.
    ///
    /// # Errors
    /// [`PatchRefused`] if a test failed or the patch does not fit.
    pub fn apply(&self, object: &Object) -> Result<Object, PatchRefused> {
        unimplemented!("{object:?}")
    }

    /// The JSON pointers that the patch changes, sorted, each once; what it merely tests is not among them.
    pub fn touched(&self) -> Vec<String> {
        unimplemented!()
    }
}
