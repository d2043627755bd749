//! Serialization of objects without copies.

use cluster::{Metadata, Object};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A serializable object. In a list of a built-in kind it has no `kind` and `apiVersion`, because the list has them.
pub(super) struct WireObject<'a> {
    object: &'a Object,
    is_typed: bool,
}

impl<'a> WireObject<'a> {
    pub(super) fn with_type(object: &'a Object) -> Self {
        Self { object, is_typed: true }
    }

    pub(super) fn without_type(object: &'a Object) -> Self {
        Self { object, is_typed: false }
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("an object serializes")
    }

    pub(super) fn metadata(object: &Object) -> Value {
        let metadata: &Metadata = object.metadata();
        serde_json::to_value(metadata).expect("metadata serializes")
    }
}

impl Serialize for WireObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.is_typed {
            map.serialize_entry("kind", &self.object.kind().kind)?;
            map.serialize_entry("apiVersion", &self.object.kind().api_version)?;
        }
        map.serialize_entry("metadata", self.object.metadata())?;
        for name in self.object.field_names() {
            map.serialize_entry(name, &self.object.field(name))?;
        }
        map.end()
    }
}
