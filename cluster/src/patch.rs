mod json;
mod merge;
mod strategic;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Metadata, Object};
pub(crate) use strategic::{ListMerge, list_merge};

/// A patch of one object, in one of the three patch formats of Kubernetes.
///
/// Serialized as `{type: merge, patch: {…}}`, with `type` one of `json`, `merge`, `strategic`.
///
/// ```
/// use cluster::{JsonOp, Object, Patch, PatchError};
/// use serde_json::json;
///
/// let deployment = Object::from_value(json!({
///     "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "checkout", "namespace": "shop"},
///     "spec": {"template": {"spec": {"containers": [
///         {"name": "api", "image": "api:2"}, {"name": "proxy", "image": "proxy:1"}]}}},
/// }))?;
///
/// // A strategic patch addresses a container by its name and leaves the others as they are.
/// let patch = Patch::Strategic(
///     json!({"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "api:1"}]}}}}),
/// );
/// let patched = patch.apply(&deployment)?;
/// assert_eq!(patched.at("/spec/template/spec/containers/0/image"), Some(&json!("api:1")));
/// assert_eq!(patched.at("/spec/template/spec/containers/1/image"), Some(&json!("proxy:1")));
/// assert_eq!(patch.changed_pointers(), ["/spec/template/spec/containers/name=api/image"]);
///
/// // A JSON patch with a `test` is refused if the object has changed since it was read.
/// let guarded = Patch::Json(vec![JsonOp::Test {
///     path: "/spec/template/spec/containers/0/image".into(),
///     value: json!("api:2"),
/// }]);
/// assert!(guarded.apply(&deployment).is_ok());
/// assert!(matches!(guarded.apply(&patched), Err(PatchError::TestFailed { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "patch", rename_all = "camelCase")]
pub enum Patch {
    /// JSON patch: operations that are applied in order, all or none (RFC 6902).
    Json(Vec<JsonOp>),
    /// JSON merge patch: null removes a member, lists are replaced (RFC 7386).
    Merge(Value),
    /// Strategic merge patch: null removes a member, lists of named elements are merged by their key.
    Strategic(Value),
}

/// One operation of a JSON patch. Paths are JSON pointers (RFC 6901) into the JSON form of the object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum JsonOp {
    /// Sets a member of an object, or inserts into a list before the index (`-` appends).
    Add {
        /// Pointer to the member or list index.
        path: String,
        /// Value to add.
        value: Value,
    },
    /// Removes a value; a missing target is an error.
    Remove {
        /// Pointer to the value.
        path: String,
    },
    /// Replaces a value. A missing list element is an error; a missing member is set.
    Replace {
        /// Pointer to the value.
        path: String,
        /// New value.
        value: Value,
    },
    /// Removes the value at `from` and adds it at `path`.
    Move {
        /// Pointer to the source.
        from: String,
        /// Pointer to the destination.
        path: String,
    },
    /// Copies the value at `from` to `path`.
    Copy {
        /// Pointer to the source.
        from: String,
        /// Pointer to the destination.
        path: String,
    },
    /// Fails unless the value at `path` equals `value`.
    Test {
        /// Pointer to the value.
        path: String,
        /// Expected value.
        value: Value,
    },
}

/// The error for a patch that cannot be applied to an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A `test` operation found another value, because the object changed since the patch was made.
    #[error("test of `{path}` failed: expected {expected}, found {found}")]
    TestFailed {
        /// JSON pointer of the operation.
        path: String,
        /// Expected value, as JSON.
        expected: String,
        /// Value of the object, as JSON; `nothing` if it is missing.
        found: String,
    },
    /// The patch is malformed, or does not match the structure of the object.
    #[error("cannot apply the patch at `{path}`: {message}")]
    Invalid {
        /// JSON pointer of the operation.
        path: String,
        /// Description of the problem.
        message: String,
    },
}

impl Patch {
    /// Applies the patch to `object` and returns the changed object, which shares unchanged top-level fields with it.
    ///
    /// Checks only the structure of the patch. The API server validates the result.
    ///
    /// # Errors
    /// [`PatchError`] if a test fails or the patch does not match the object; the patch has no effect then.
    pub fn apply(&self, object: &Object) -> Result<Object, PatchError> {
        let before = project(object, &self.fields());
        let after = match self {
            Self::Json(operations) => json::apply(operations, Value::Object(before.clone()))?,
            Self::Merge(patch) => {
                let mut document = Value::Object(before.clone());
                json_patch::merge(&mut document, patch);
                document
            }
            Self::Strategic(patch) => strategic::apply(patch, object.kind(), before.clone())?,
        };
        let Value::Object(after) = after else {
            return Err(invalid("", "the result is not an object"));
        };
        inject(object, &before, after)
    }

    /// Returns the sorted JSON pointers that the patch changes; values that it only tests are not included.
    ///
    /// A strategic merge patch addresses list elements by their merge key, and so does the pointer:
    /// `/spec/template/spec/containers/name=api/image`.
    pub fn changed_pointers(&self) -> Vec<String> {
        let mut pointers = BTreeSet::new();
        match self {
            Self::Json(operations) => json::changed_pointers(operations, &mut pointers),
            Self::Merge(patch) => merge::changed_pointers(patch, "", &mut pointers),
            Self::Strategic(patch) => strategic::changed_pointers(patch, &mut pointers),
        }
        pointers.into_iter().collect()
    }

    /// Returns the names of the top-level fields that the patch reads or writes; `None` means all fields.
    fn fields(&self) -> Option<BTreeSet<String>> {
        match self {
            Self::Json(operations) => json::fields(operations),
            Self::Merge(patch) | Self::Strategic(patch) => {
                let names = patch.as_object()?.keys();
                Some(
                    names.map(|name| name.rsplit('/').next().unwrap_or(name).to_string()).collect(),
                )
            }
        }
    }
}

/// Returns the JSON form of the object, restricted to the named top-level fields (`None`: all).
fn project(object: &Object, names: &Option<BTreeSet<String>>) -> Map<String, Value> {
    let mut map = Map::new();
    let is_named = |name: &str| names.as_ref().is_none_or(|names| names.contains(name));
    map.insert("apiVersion".into(), object.kind().api_version.clone().into());
    map.insert("kind".into(), object.kind().kind.clone().into());
    if is_named("metadata") {
        map.insert(
            "metadata".into(),
            serde_json::to_value(object.metadata()).expect("metadata is serializable"),
        );
    }
    for name in object.field_names().filter(|name| is_named(name)) {
        map.insert(name.to_string(), object.field(name).cloned().unwrap_or_default());
    }
    map
}

/// Applies the differences between `before`, the projection of `object`, and `after` to `object`.
fn inject(
    object: &Object,
    before: &Map<String, Value>,
    mut after: Map<String, Value>,
) -> Result<Object, PatchError> {
    for fixed in ["apiVersion", "kind"] {
        if after.remove(fixed).as_ref() != before.get(fixed) {
            return Err(invalid(&format!("/{fixed}"), "`apiVersion` and `kind` are immutable"));
        }
    }
    let mut changed = object.clone();
    for name in before.keys().filter(|name| !matches!(name.as_str(), "apiVersion" | "kind")) {
        if !after.contains_key(name) {
            if name == "metadata" {
                return Err(invalid("/metadata", "`metadata` cannot be removed"));
            }
            changed = changed.without_field(name);
        }
    }
    for (name, value) in after {
        if before.get(&name) == Some(&value) {
            continue;
        }
        if name == "metadata" {
            let metadata: Metadata = serde_json::from_value(value)
                .map_err(|error| invalid("/metadata", &error.to_string()))?;
            changed = changed.with_metadata(metadata);
        } else {
            changed = changed.with_field(&name, value);
        }
    }
    Ok(changed)
}

fn invalid(path: &str, message: &str) -> PatchError {
    PatchError::Invalid { path: path.into(), message: message.into() }
}

/// Returns whether two JSON values are equal; numbers are compared by value, members in any order.
pub(crate) fn is_same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_json(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same_json(a, b)))
        }
        _ => a == b,
    }
}

/// Appends a member to a JSON pointer, escaped as RFC 6901 requires.
pub(crate) fn child_pointer(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
pub(crate) mod tests;
