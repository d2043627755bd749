use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Kind, ObjectRef};

/// Name of an object among all objects of all clusters, without its version and its uid.
///
/// An object that is deleted and recreated has the same key. Formatted and serialized as
/// `CLUSTER/KIND.GROUP/NAMESPACE/NAME`, without `.GROUP` for the core group and with an empty namespace for
/// cluster-scoped objects, so a map by key is a JSON object.
///
/// ```
/// use cluster::{ObjectKey, ObjectRef};
///
/// let cart = ObjectRef::builtin("prod", "Deployment", Some("shop"), "cart");
/// let key = ObjectKey::from(&cart);
/// assert_eq!(key.to_string(), "prod/Deployment.apps/shop/cart");
/// assert_eq!(key, ObjectKey::from(&ObjectRef { uid: Some("1".into()), ..cart }));
/// assert_eq!("prod/Deployment.apps/shop/cart".parse(), Ok(key));
///
/// let node = ObjectRef::builtin("prod", "Node", None, "worker-1");
/// assert_eq!(ObjectKey::from(&node).to_string(), "prod/Node//worker-1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey {
    /// Configured name of the cluster.
    pub cluster: String,
    /// Kind name.
    pub kind: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Namespace; absent for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Object name.
    pub name: String,
}

impl ObjectKey {
    /// Creates the key of an object from its parts.
    pub fn new(cluster: &str, kind: &Kind, namespace: Option<&str>, name: &str) -> Self {
        Self {
            cluster: cluster.into(),
            kind: kind.kind.clone(),
            group: group_of(&kind.api_version).into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
        }
    }
}

/// Returns the group of an API version: `apps` of `apps/v1`, the empty string of `v1`.
fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl From<&ObjectRef> for ObjectKey {
    fn from(object: &ObjectRef) -> Self {
        Self {
            cluster: object.cluster.clone(),
            kind: object.kind.clone(),
            group: group_of(&object.api_version).into(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        write!(f, "/{}/{}", self.namespace.as_deref().unwrap_or_default(), self.name)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.to_string()
    }
}

/// Error of a text that is no object key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an object key; expected `CLUSTER/KIND.GROUP/NAMESPACE/NAME`")]
pub struct ParseObjectKeyError(String);

impl FromStr for ObjectKey {
    type Err = ParseObjectKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // From the end, because the name of a cluster may contain a slash, as the ARN of an EKS cluster does.
        let parts: Vec<&str> = text.rsplitn(4, '/').collect();
        let [name, namespace, kind, cluster] = parts[..] else {
            return Err(ParseObjectKeyError(text.into()));
        };
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        if kind.is_empty() || name.is_empty() {
            return Err(ParseObjectKeyError(text.into()));
        }
        Ok(Self {
            cluster: cluster.into(),
            kind: kind.into(),
            group: group.into(),
            namespace: (!namespace.is_empty()).then(|| namespace.into()),
            name: name.into(),
        })
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = ParseObjectKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn object_key_is_parsed_from_its_text() {
        for text in
            ["prod/Deployment.apps/shop/cart", "arn:x:cluster/a/Pod/shop/cart-1", "/Node//worker-1"]
        {
            assert_eq!(text.parse::<ObjectKey>().map(|key| key.to_string()), Ok(text.to_string()));
        }
        let key: ObjectKey = "arn:x:cluster/a/Ingress.networking.k8s.io/shop/cart".parse().unwrap();
        assert_eq!(
            (key.cluster.as_str(), key.group.as_str()),
            ("arn:x:cluster/a", "networking.k8s.io")
        );
        for text in ["", "Pod/shop/cart", "prod//shop/cart", "prod/Pod/shop/"] {
            assert_eq!(text.parse::<ObjectKey>(), Err(ParseObjectKeyError(text.into())));
        }
    }

    #[test]
    fn object_key_is_a_json_map_key() {
        let service = ObjectRef::builtin("prod", "Service", Some("shop"), "cart");
        let map = BTreeMap::from([(ObjectKey::from(&service), 1)]);
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(text, r#"{"prod/Service/shop/cart":1}"#);
        assert_eq!(serde_json::from_str::<BTreeMap<ObjectKey, i32>>(&text).unwrap(), map);
    }
}
