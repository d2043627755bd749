use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Kind, ObjectRef};

/// One Kubernetes object: immutable and shared, so that copying a world copies pointers.
///
/// Metadata is typed. Every other top-level field (`spec`, `status`, `data`, …) is a JSON tree behind a pointer of its
/// own: changing the status shares the spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Arc<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    kind: Arc<Kind>,
    metadata: Arc<Metadata>,
    fields: BTreeMap<String, Arc<Value>>,
}

/// An object's metadata, as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Namespace, absent for objects outside namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Incarnation; empty until the cluster made the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Opaque version of the stored object; empty until the cluster stored it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Counts changes of the spec, from 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: i64,
    /// When the cluster made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// When its deletion was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Owners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// What must be done before the object may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// Everything else, `managedFields` and `generateName` among it.
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
    /// Incarnation of the owner.
    pub uid: String,
    /// Whether this owner manages the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether deletion of the owner waits for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// A JSON value that is not an object of Kubernetes.
#[derive(Debug, thiserror::Error)]
pub enum BadObject {
    /// `apiVersion` or `kind` is missing or not a string, or the value is no JSON object.
    #[error("an object needs `{0}`")]
    Missing(&'static str),
    /// `metadata` does not read as metadata.
    #[error("cannot read `metadata`")]
    Metadata(#[source] serde_json::Error),
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl Object {
    /// Makes an object from its parts; `fields` holds every top-level field but apiVersion, kind and metadata.
    pub fn new(kind: Kind, metadata: Metadata, fields: BTreeMap<String, Value>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name, Arc::new(value))).collect();
        Self(Arc::new(Inner { kind: Arc::new(kind), metadata: Arc::new(metadata), fields }))
    }

    /// Reads an object as it stands on the wire.
    ///
    /// # Errors
    /// [`BadObject`] if it has no `apiVersion`, `kind` or readable `metadata`.
    pub fn from_value(value: Value) -> Result<Self, BadObject> {
        let Value::Object(mut map) = value else { return Err(BadObject::Missing("kind")) };
        let mut text = |field: &'static str| match map.remove(field) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(BadObject::Missing(field)),
        };
        let kind = Kind::new(text("apiVersion")?, text("kind")?);
        let metadata = map.remove("metadata").ok_or(BadObject::Missing("metadata"))?;
        let metadata: Metadata = serde_json::from_value(metadata).map_err(BadObject::Metadata)?;
        Ok(Self::new(kind, metadata, map.into_iter().collect()))
    }

    /// The object as it stands on the wire.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("apiVersion".into(), self.0.kind.api_version.clone().into());
        map.insert("kind".into(), self.0.kind.kind.clone().into());
        map.insert(
            "metadata".into(),
            serde_json::to_value(&*self.0.metadata).expect("metadata is plain data"),
        );
        for (name, value) in &self.0.fields {
            map.insert(name.clone(), (**value).clone());
        }
        Value::Object(map)
    }

    /// The object's type.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.metadata.name
    }

    /// Its namespace, if it lives in one.
    pub fn namespace(&self) -> Option<&str> {
        self.0.metadata.namespace.as_deref()
    }

    /// A top-level field: `spec`, `status`, `data`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.fields.get(name).map(|value| &**value)
    }

    /// Names of the top-level fields but apiVersion, kind and metadata, in order.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.0.fields.keys().map(String::as_str)
    }

    /// The value at a JSON pointer (RFC 6901) below the top-level fields: `/spec/replicas`.
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
        // As `Value::pointer`, which copies every step of the way to unescape it.
        below.split('/').skip(1).try_fold(value, |value, step| match value {
            Value::Object(map) => map.get(step),
            // An index is written without a sign and without leading zeros.
            Value::Array(_) if step.starts_with('+') || step.len() > 1 && step.starts_with('0') => {
                None
            }
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// The same object with one top-level field replaced, all others shared.
    pub fn with_field(&self, name: &str, value: Value) -> Self {
        let mut inner = (*self.0).clone();
        inner.fields.insert(name.into(), Arc::new(value));
        Self(Arc::new(inner))
    }

    /// The same object without one top-level field.
    pub fn without_field(&self, name: &str) -> Self {
        let mut inner = (*self.0).clone();
        inner.fields.remove(name);
        Self(Arc::new(inner))
    }

    /// The same object with other metadata, all fields shared.
    pub fn with_metadata(&self, metadata: Metadata) -> Self {
        let mut inner = (*self.0).clone();
        inner.metadata = Arc::new(metadata);
        Self(Arc::new(inner))
    }

    /// Names this incarnation of the object within `cluster`.
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

    /// The owner that manages this object, if one does.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.0.metadata.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether both share the very same stored value: true is cheap proof of equality, false proves nothing.
    pub fn is_same_value(&self, other: &Self) -> bool {
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
    fn an_object_reads_and_writes_as_on_the_wire() {
        let object = Object::from_value(deployment()).unwrap();
        assert_eq!(object.to_value(), deployment());
        assert_eq!(object.at("/spec/replicas"), Some(&json!(2)));
        assert_eq!(object.reference("c").to_string(), "Deployment shop/checkout");
    }

    #[test]
    fn changing_one_field_shares_the_others() {
        let before = Object::from_value(deployment()).unwrap();
        let after = before.with_field("status", json!({}));
        assert!(std::ptr::eq(before.field("spec").unwrap(), after.field("spec").unwrap()));
        assert_eq!(before.at("/status/readyReplicas"), Some(&json!(1)));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(Object::from_value(json!({"kind": "Pod", "metadata": {}})).is_err());
        assert!(Object::from_value(json!([])).is_err());
    }
}
