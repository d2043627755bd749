use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Object, ObjectRef};

/// One difference of intent between two states of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The object: its later incarnation, or the earlier one if it is gone.
    pub object: ObjectRef,
    /// What is different.
    pub change: Change,
}

/// What is different about an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "change")]
pub enum Change {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// One field of what is asked of it changed.
    Field {
        /// Where, as a JSON pointer: with the index in the later state, or in the earlier one if it is gone there.
        pointer: String,
        /// Where, for people, elements by name: `spec.template.spec.containers[api].image`.
        path: String,
        /// What stood there; absent if nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
        /// What stands there now; absent if nothing does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Value>,
    },
}

/// Compares what is asked of an object in two states: spec, data, labels, annotations, never what a cluster keeps of
/// it by itself (status, versions, times, managed fields).
pub fn difference(cluster: &str, before: Option<&Object>, after: Option<&Object>) -> Vec<Difference> {
    unimplemented!("{cluster} {before:?} {after:?}")
}
