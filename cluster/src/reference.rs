use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// API version and kind of an object: `apps/v1` `Deployment`, `v1` `Pod`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// Group and version as serialized: `apps/v1`, or `v1` for the core group.
    pub api_version: String,
    /// Kind name, singular and in Pascal case.
    pub kind: String,
}

impl Kind {
    /// Creates a kind from its API version and name.
    pub fn new(api_version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { api_version: api_version.into(), kind: kind.into() }
    }

    /// Returns the built-in kind with this name, in the API version that Chiron uses.
    pub fn builtin(kind: &str) -> Option<Self> {
        let api_version = match kind {
            "Namespace"
            | "Node"
            | "Pod"
            | "Service"
            | "ConfigMap"
            | "Secret"
            | "Event"
            | "ServiceAccount"
            | "PersistentVolumeClaim"
            | "PersistentVolume"
            | "ResourceQuota"
            | "LimitRange"
            | "ReplicationController"
            | "Endpoints" => "v1",
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ControllerRevision" => {
                "apps/v1"
            }
            "EndpointSlice" => "discovery.k8s.io/v1",
            "Job" | "CronJob" => "batch/v1",
            "HorizontalPodAutoscaler" => "autoscaling/v2",
            "PodDisruptionBudget" => "policy/v1",
            "NetworkPolicy" | "Ingress" | "IngressClass" => "networking.k8s.io/v1",
            "Lease" => "coordination.k8s.io/v1",
            "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
                "rbac.authorization.k8s.io/v1"
            }
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                "admissionregistration.k8s.io/v1"
            }
            "StorageClass" => "storage.k8s.io/v1",
            "PriorityClass" => "scheduling.k8s.io/v1",
            "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
            _ => return None,
        };
        Some(Self::new(api_version, kind))
    }

    /// Returns whether objects of this kind are cluster-scoped. Unknown kinds are assumed to be namespaced.
    pub fn is_cluster_scoped(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "Namespace"
                | "Node"
                | "PersistentVolume"
                | "ClusterRole"
                | "ClusterRoleBinding"
                | "ValidatingWebhookConfiguration"
                | "MutatingWebhookConfiguration"
                | "StorageClass"
                | "PriorityClass"
                | "IngressClass"
                | "CustomResourceDefinition"
        )
    }
}

/// A reference to one object of one cluster.
///
/// With a `uid` it identifies one specific object: an object that is deleted and recreated under the same name has
/// another uid.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Configured name of the cluster.
    pub cluster: String,
    /// Group and version as serialized.
    pub api_version: String,
    /// Kind name.
    pub kind: String,
    /// Namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Object name.
    pub name: String,
    /// Object identity; absent if unknown or irrelevant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl ObjectRef {
    /// References an object of a built-in kind, without a uid.
    ///
    /// # Panics
    /// If `kind` is not a built-in kind. Use this only with constant kind names.
    pub fn builtin(cluster: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let kind = Kind::builtin(kind).expect("callers pass constant names of built-in kinds");
        Self {
            cluster: cluster.into(),
            api_version: kind.api_version,
            kind: kind.kind,
            namespace: namespace.map(Into::into),
            name: name.into(),
            uid: None,
        }
    }

    /// Returns the API version and kind of the object.
    pub fn object_kind(&self) -> Kind {
        Kind::new(self.api_version.clone(), self.kind.clone())
    }

    /// Returns the reference without its uid.
    pub fn without_uid(&self) -> Self {
        Self { uid: None, ..self.clone() }
    }

    /// Returns whether both references name the same object; uids are compared only if both have one.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_same_uid = match (&self.uid, &other.uid) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        is_same_uid
            && self.cluster == other.cluster
            && self.kind == other.kind
            && self.namespace == other.namespace
            && self.name == other.name
            && self.api_version == other.api_version
    }
}

/// Formats as `Deployment shop/checkout`, or `Node worker-1` for cluster-scoped objects.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
