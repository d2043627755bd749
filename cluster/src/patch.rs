mod json;
mod merge;
mod strategic;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Metadata, Object};
pub(crate) use strategic::{ListMerge, list_merge};

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
    /// Replaces what is there; an absent element of a list is an error, an absent member is set.
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
    /// Only the form is checked here: whether a cluster accepts the result is the cluster's to say.
    ///
    /// # Errors
    /// [`PatchRefused`] if a test failed or the patch does not fit. Apart from that a patch is applied whole or not at
    /// all.
    pub fn apply(&self, object: &Object) -> Result<Object, PatchRefused> {
        let before = project(object, &self.fields());
        let after = match self {
            Self::Json(operations) => json::apply(operations, Value::Object(before.clone()))?,
            Self::Merge(patch) => merge::apply(patch, Value::Object(before.clone())),
            Self::Strategic(patch) => strategic::apply(patch, object.kind(), before.clone())?,
        };
        let Value::Object(after) = after else {
            return Err(invalid("", "the result is no object"));
        };
        inject(object, &before, after)
    }

    /// The JSON pointers that the patch changes, sorted, each once; what it merely tests is not among them.
    ///
    /// Where a strategic patch speaks of one element of a list by its merge key, the pointer does too:
    /// `/spec/template/spec/containers/name=api/image`.
    pub fn touched(&self) -> Vec<String> {
        let mut pointers = BTreeSet::new();
        match self {
            Self::Json(operations) => json::touched(operations, &mut pointers),
            Self::Merge(patch) => merge::touched(patch, "", &mut pointers),
            Self::Strategic(patch) => strategic::touched(patch, &mut pointers),
        }
        pointers.into_iter().collect()
    }

    /// Names of the top-level fields that the patch reads or writes; none for all of them.
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

/// The object as on the wire, without the top-level fields that are not named.
fn project(object: &Object, names: &Option<BTreeSet<String>>) -> Map<String, Value> {
    let mut map = Map::new();
    let is_named = |name: &str| names.as_ref().is_none_or(|names| names.contains(name));
    map.insert("apiVersion".into(), object.kind().api_version.clone().into());
    map.insert("kind".into(), object.kind().kind.clone().into());
    if is_named("metadata") {
        map.insert(
            "metadata".into(),
            serde_json::to_value(object.metadata()).expect("metadata is plain data"),
        );
    }
    for name in object.field_names().filter(|name| is_named(name)) {
        map.insert(name.to_string(), object.field(name).cloned().unwrap_or_default());
    }
    map
}

/// `object` with what differs between `before`, its projection, and `after`.
fn inject(
    object: &Object,
    before: &Map<String, Value>,
    mut after: Map<String, Value>,
) -> Result<Object, PatchRefused> {
    for fixed in ["apiVersion", "kind"] {
        if after.remove(fixed).as_ref() != before.get(fixed) {
            return Err(invalid(&format!("/{fixed}"), "an object keeps its type"));
        }
    }
    let mut changed = object.clone();
    for name in before.keys().filter(|name| !matches!(name.as_str(), "apiVersion" | "kind")) {
        if !after.contains_key(name) {
            if name == "metadata" {
                return Err(invalid("/metadata", "an object keeps its metadata"));
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

fn invalid(path: &str, reason: &str) -> PatchRefused {
    PatchRefused::Invalid { path: path.into(), reason: reason.into() }
}

/// Whether two values are the same JSON: numbers by what they amount to, members in any order.
pub(crate) fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        _ => a == b,
    }
}

/// `pointer` with one more member, escaped as RFC 6901 asks.
pub(crate) fn below(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests;
