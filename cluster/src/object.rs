use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Kind, ObjectRef};

/// An immutable Kubernetes object with shared storage: cloning it (or a whole simulated world) copies pointers only.
///
/// The metadata is typed. Every other top-level field (`spec`, `status`, `data`, …) is a JSON value behind its own `Arc`,
/// so that an object with a changed status still shares the spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Arc<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    kind: Arc<Kind>,
    metadata: Arc<Metadata>,
    fields: BTreeMap<String, Arc<Value>>,
}

/// Metadata of an object (`ObjectMeta`), in its serialized form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Object name.
    #[serde(default)]
    pub name: String,
    /// Namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Object identity; empty until the API server creates the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Opaque version of the stored object; empty until the API server stores it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Number of changes of the spec, starting at 1; 0 for kinds without a generation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: i64,
    /// Time of creation, set by the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// Time of the deletion request; absent unless the object is terminating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Labels, for selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations; not used for selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Owners; the object is garbage-collected when all of them are deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// Keys that have to be removed before a terminating object is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// All other metadata fields, including `managedFields` and `generateName`.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One owner of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// Group and version of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner, in the same namespace.
    pub name: String,
    /// Uid of the owner.
    pub uid: String,
    /// Whether this owner is the managing controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// The error for a JSON value that is not a Kubernetes object.
#[derive(Debug, thiserror::Error)]
pub enum InvalidObject {
    /// `apiVersion`, `kind` or `metadata` is missing or has the wrong type, or the value is not a JSON object.
    #[error("a Kubernetes object requires the field `{0}`")]
    Missing(&'static str),
    /// `metadata` cannot be parsed.
    #[error("cannot parse `metadata`")]
    Metadata(#[source] serde_json::Error),
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl Object {
    /// Creates an object; `fields` contains all top-level fields except `apiVersion`, `kind` and `metadata`.
    pub fn new(kind: Kind, metadata: Metadata, fields: BTreeMap<String, Value>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name, Arc::new(value))).collect();
        Self(Arc::new(Inner { kind: Arc::new(kind), metadata: Arc::new(metadata), fields }))
    }

    /// Parses an object from its JSON form.
    ///
    /// # Errors
    /// [`InvalidObject`] if it has no `apiVersion`, `kind` or valid `metadata`.
    pub fn from_value(value: Value) -> Result<Self, InvalidObject> {
        let Value::Object(mut map) = value else { return Err(InvalidObject::Missing("kind")) };
        let mut text = |field: &'static str| match map.remove(field) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(InvalidObject::Missing(field)),
        };
        let kind = Kind::new(text("apiVersion")?, text("kind")?);
        let metadata = map.remove("metadata").ok_or(InvalidObject::Missing("metadata"))?;
        let metadata: Metadata =
            serde_json::from_value(metadata).map_err(InvalidObject::Metadata)?;
        Ok(Self::new(kind, metadata, map.into_iter().collect()))
    }

    /// Returns the JSON form of the object.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("apiVersion".into(), self.0.kind.api_version.clone().into());
        map.insert("kind".into(), self.0.kind.kind.clone().into());
        map.insert(
            "metadata".into(),
            serde_json::to_value(&*self.0.metadata).expect("metadata is serializable"),
        );
        for (name, value) in &self.0.fields {
            map.insert(name.clone(), (**value).clone());
        }
        Value::Object(map)
    }

    /// Returns the API version and kind.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// Returns the metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.0.metadata.name
    }

    /// Returns the namespace; `None` for cluster-scoped objects.
    pub fn namespace(&self) -> Option<&str> {
        self.0.metadata.namespace.as_deref()
    }

    /// Returns a top-level field: `spec`, `status`, `data`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.fields.get(name).map(|value| &**value)
    }

    /// Returns the sorted names of the top-level fields except `apiVersion`, `kind` and `metadata`.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.0.fields.keys().map(String::as_str)
    }

    /// Returns the value at a JSON pointer (RFC 6901) that starts at a top-level field: `/spec/replicas`.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        let rest = pointer.strip_prefix('/')?;
        let (field, below) = match rest.find('/') {
            Some(slash) => (&rest[..slash], &rest[slash..]),
            None => (rest, ""),
        };
        let value = self.field(field)?;
        if below.contains('~') {
            return value.pointer(below);
        }
        // Same result as `Value::pointer`, which allocates a string per segment to unescape it.
        below.split('/').skip(1).try_fold(value, |value, segment| match value {
            Value::Object(map) => map.get(segment),
            // RFC 6901: an array index has no sign and no leading zeros.
            Value::Array(_)
                if segment.starts_with('+') || segment.len() > 1 && segment.starts_with('0') =>
            {
                None
            }
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// Returns the object with one top-level field replaced; all other fields are shared.
    pub fn with_field(&self, name: &str, value: Value) -> Self {
        let mut inner = (*self.0).clone();
        inner.fields.insert(name.into(), Arc::new(value));
        Self(Arc::new(inner))
    }

    /// Returns the object without one top-level field.
    pub fn without_field(&self, name: &str) -> Self {
        let mut inner = (*self.0).clone();
        inner.fields.remove(name);
        Self(Arc::new(inner))
    }

    /// Returns the object with other metadata; all fields are shared.
    pub fn with_metadata(&self, metadata: Metadata) -> Self {
        let mut inner = (*self.0).clone();
        inner.metadata = Arc::new(metadata);
        Self(Arc::new(inner))
    }

    /// Returns a reference to this object in `cluster`, including its uid if it has one.
    pub fn reference(&self, cluster: &str) -> ObjectRef {
        let uid = &self.0.metadata.uid;
        ObjectRef {
            cluster: cluster.into(),
            api_version: self.0.kind.api_version.clone(),
            kind: self.0.kind.kind.clone(),
            namespace: self.0.metadata.namespace.clone(),
            name: self.0.metadata.name.clone(),
            uid: (!uid.is_empty()).then(|| uid.clone()),
        }
    }

    /// Returns the owner reference of the managing controller.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.0.metadata.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Returns whether both share the same allocation. `true` implies equality at the cost of a pointer comparison;
    /// `false` implies nothing.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "checkout", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generateName": "x"},
            "spec": {"replicas": 2}, "status": {"readyReplicas": 1}})
    }

    #[test]
    fn object_json_round_trips() {
        let object = Object::from_value(deployment()).unwrap();
        assert_eq!(object.to_value(), deployment());
        assert_eq!(object.at("/spec/replicas"), Some(&json!(2)));
        assert_eq!(object.reference("c").to_string(), "Deployment shop/checkout");
    }

    #[test]
    fn with_field_shares_other_fields() {
        let before = Object::from_value(deployment()).unwrap();
        let after = before.with_field("status", json!({}));
        assert!(std::ptr::eq(before.field("spec").unwrap(), after.field("spec").unwrap()));
        assert_eq!(before.at("/status/readyReplicas"), Some(&json!(1)));
    }

    #[test]
    fn from_value_rejects_non_objects() {
        for (value, message) in [
            (json!([]), "a Kubernetes object requires the field `kind`"),
            (
                json!({"kind": "Pod", "metadata": {}}),
                "a Kubernetes object requires the field `apiVersion`",
            ),
            (
                json!({"apiVersion": "v1", "kind": "", "metadata": {}}),
                "a Kubernetes object requires the field `kind`",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Pod"}),
                "a Kubernetes object requires the field `metadata`",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 1}}),
                "cannot parse `metadata`",
            ),
        ] {
            assert_eq!(Object::from_value(value).unwrap_err().to_string(), message);
        }
    }
}
