use std::fmt;

use serde::{Deserialize, Serialize};

/// An object's type: `apps/v1` `Deployment`, `v1` `Pod`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// Group and version as on the wire, `apps/v1` or `v1`.
    pub api_version: String,
    /// The kind, in singular camel case.
    pub kind: String,
}

impl Kind {
    /// The kind `kind` of `api_version`.
    pub fn new(api_version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { api_version: api_version.into(), kind: kind.into() }
    }

    /// The built-in kind of this name in the version that Chiron speaks, or none.
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

    /// Whether objects of this kind live outside namespaces. Unknown kinds are taken to be namespaced.
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

/// Names one object of one cluster.
///
/// With a `uid` it names one incarnation: an object that was deleted and made again under the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Name of the cluster, as configured.
    pub cluster: String,
    /// Group and version as on the wire.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Namespace, absent for objects outside namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Incarnation, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl ObjectRef {
    /// Names an object of a built-in kind, without its uid.
    ///
    /// # Panics
    /// If `kind` is not built in: this is for names written in our own code.
    pub fn builtin(cluster: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let kind = Kind::builtin(kind).expect("only kinds of our own code come here");
        Self {
            cluster: cluster.into(),
            api_version: kind.api_version,
            kind: kind.kind,
            namespace: namespace.map(Into::into),
            name: name.into(),
            uid: None,
        }
    }

    /// The type of the object.
    pub fn object_kind(&self) -> Kind {
        Kind::new(self.api_version.clone(), self.kind.clone())
    }

    /// The same name, for whatever incarnation holds it.
    pub fn without_uid(&self) -> Self {
        Self { uid: None, ..self.clone() }
    }

    /// Whether both name the same place; a uid counts only where both have one.
    pub fn is_same(&self, other: &Self) -> bool {
        let incarnation = match (&self.uid, &other.uid) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        incarnation
            && self.cluster == other.cluster
            && self.kind == other.kind
            && self.namespace == other.namespace
            && self.name == other.name
            && self.api_version == other.api_version
    }
}

/// As people write it: `Deployment shop/checkout`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
