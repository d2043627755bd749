use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cluster::{Kind, Object};
use serde_json::Value;

use crate::world::World;

/// A resource that the API server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedResource {
    /// The group, version and kind.
    pub kind: Kind,
    /// The plural name, used in paths: `deployments`.
    pub plural: String,
    /// The singular name: `deployment`.
    pub singular: String,
    /// The short names that kubectl accepts: `deploy`.
    pub short_names: Vec<String>,
    /// Whether the resource is namespaced.
    pub namespaced: bool,
    /// The categories that contain the resource: `all`.
    pub categories: Vec<String>,
    /// The supported verbs.
    pub verbs: Vec<String>,
    /// The subresources: `status`, `scale`, `eviction`, `log`.
    pub subresources: Vec<String>,
    /// The name under which its objects are stored, the same for all versions.
    pub(crate) storage_kind: &'static str,
}

/// Kind, version, plural, short names, namespaced, categories, subresources. Lists are separated by spaces.
type BuiltinKind =
    (&'static str, &'static str, &'static str, &'static str, bool, &'static str, &'static str);

/// The built-in kinds.
const BUILTIN_KINDS: &[BuiltinKind] = &[
    ("ConfigMap", "v1", "configmaps", "cm", true, "", ""),
    ("Endpoints", "v1", "endpoints", "ep", true, "", ""),
    ("Event", "v1", "events", "ev", true, "", ""),
    ("LimitRange", "v1", "limitranges", "limits", true, "", ""),
    ("Namespace", "v1", "namespaces", "ns", false, "", "finalize status"),
    ("Node", "v1", "nodes", "no", false, "", "status"),
    ("PersistentVolume", "v1", "persistentvolumes", "pv", false, "", "status"),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims", "pvc", true, "", "status"),
    ("Pod", "v1", "pods", "po", true, "all", "binding eviction log status"),
    ("ReplicationController", "v1", "replicationcontrollers", "rc", true, "all", "scale status"),
    ("ResourceQuota", "v1", "resourcequotas", "quota", true, "", "status"),
    ("Secret", "v1", "secrets", "", true, "", ""),
    ("Service", "v1", "services", "svc", true, "all", "status"),
    ("ServiceAccount", "v1", "serviceaccounts", "sa", true, "", "token"),
    (
        "MutatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        "",
        false,
        "api-extensions",
        "",
    ),
    (
        "ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        "",
        false,
        "api-extensions",
        "",
    ),
    (
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "crd crds",
        false,
        "api-extensions",
        "status",
    ),
    ("ControllerRevision", "apps/v1", "controllerrevisions", "", true, "", ""),
    ("DaemonSet", "apps/v1", "daemonsets", "ds", true, "all", "status"),
    ("Deployment", "apps/v1", "deployments", "deploy", true, "all", "scale status"),
    ("ReplicaSet", "apps/v1", "replicasets", "rs", true, "all", "scale status"),
    ("StatefulSet", "apps/v1", "statefulsets", "sts", true, "all", "scale status"),
    (
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        "horizontalpodautoscalers",
        "hpa",
        true,
        "all",
        "status",
    ),
    ("CronJob", "batch/v1", "cronjobs", "cj", true, "all", "status"),
    ("Job", "batch/v1", "jobs", "", true, "all", "status"),
    ("Lease", "coordination.k8s.io/v1", "leases", "", true, "", ""),
    ("EndpointSlice", "discovery.k8s.io/v1", "endpointslices", "", true, "", ""),
    ("Ingress", "networking.k8s.io/v1", "ingresses", "ing", true, "", "status"),
    ("IngressClass", "networking.k8s.io/v1", "ingressclasses", "", false, "", ""),
    ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", "netpol", true, "", ""),
    ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", "pdb", true, "", "status"),
    ("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles", "", false, "", ""),
    (
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io/v1",
        "clusterrolebindings",
        "",
        false,
        "",
        "",
    ),
    ("Role", "rbac.authorization.k8s.io/v1", "roles", "", true, "", ""),
    ("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings", "", true, "", ""),
    ("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", "pc", false, "", ""),
    ("StorageClass", "storage.k8s.io/v1", "storageclasses", "sc", false, "", ""),
    // Objects of these kinds are only stored; no controller handles them.
    ("ComponentStatus", "v1", "componentstatuses", "cs", false, "", ""),
    ("PodTemplate", "v1", "podtemplates", "", true, "", ""),
    (
        "MutatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1",
        "mutatingadmissionpolicies",
        "",
        false,
        "api-extensions",
        "",
    ),
    (
        "MutatingAdmissionPolicyBinding",
        "admissionregistration.k8s.io/v1",
        "mutatingadmissionpolicybindings",
        "",
        false,
        "api-extensions",
        "",
    ),
    (
        "ValidatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        "",
        false,
        "api-extensions",
        "status",
    ),
    (
        "ValidatingAdmissionPolicyBinding",
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        "",
        false,
        "api-extensions",
        "",
    ),
    (
        "APIService",
        "apiregistration.k8s.io/v1",
        "apiservices",
        "",
        false,
        "api-extensions",
        "status",
    ),
    (
        "CertificateSigningRequest",
        "certificates.k8s.io/v1",
        "certificatesigningrequests",
        "csr",
        false,
        "",
        "approval status",
    ),
    ("FlowSchema", "flowcontrol.apiserver.k8s.io/v1", "flowschemas", "", false, "", "status"),
    (
        "PriorityLevelConfiguration",
        "flowcontrol.apiserver.k8s.io/v1",
        "prioritylevelconfigurations",
        "",
        false,
        "",
        "status",
    ),
    ("IPAddress", "networking.k8s.io/v1", "ipaddresses", "ip", false, "", ""),
    ("ServiceCIDR", "networking.k8s.io/v1", "servicecidrs", "", false, "", "status"),
    ("RuntimeClass", "node.k8s.io/v1", "runtimeclasses", "", false, "", ""),
    ("DeviceClass", "resource.k8s.io/v1", "deviceclasses", "", false, "", ""),
    ("ResourceClaim", "resource.k8s.io/v1", "resourceclaims", "", true, "", "status"),
    ("ResourceClaimTemplate", "resource.k8s.io/v1", "resourceclaimtemplates", "", true, "", ""),
    ("ResourceSlice", "resource.k8s.io/v1", "resourceslices", "", false, "", ""),
    ("CSIDriver", "storage.k8s.io/v1", "csidrivers", "", false, "", ""),
    ("CSINode", "storage.k8s.io/v1", "csinodes", "", false, "", ""),
    ("CSIStorageCapacity", "storage.k8s.io/v1", "csistoragecapacities", "", true, "", ""),
    ("VolumeAttachment", "storage.k8s.io/v1", "volumeattachments", "", false, "", "status"),
    ("VolumeAttributesClass", "storage.k8s.io/v1", "volumeattributesclasses", "vac", false, "", ""),
];

const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

static BUILTIN: LazyLock<BTreeMap<&'static str, Arc<ServedResource>>> = LazyLock::new(|| {
    let words = |text: &str| text.split_whitespace().map(String::from).collect();
    let rows = BUILTIN_KINDS.iter().map(
        |(kind, version, plural, short, namespaced, categories, subresources)| {
            let resource = ServedResource {
                kind: Kind::new(*version, *kind),
                plural: (*plural).into(),
                singular: kind.to_lowercase(),
                short_names: words(short),
                namespaced: *namespaced,
                categories: words(categories),
                verbs: VERBS.map(String::from).into(),
                subresources: words(subresources),
                storage_kind: kind,
            };
            (*kind, Arc::new(resource))
        },
    );
    rows.collect()
});

/// Returns the group of a kind. Empty for the core group.
pub(crate) fn group(kind: &Kind) -> &str {
    kind.api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Returns the version of a kind within its group: `v1`.
#[cfg(feature = "http")]
pub(crate) fn version_of(kind: &Kind) -> &str {
    kind.api_version.rsplit('/').next().unwrap_or_default()
}

/// Returns the built-in resource of `kind`.
pub(crate) fn builtin(kind: &Kind) -> Option<&'static Arc<ServedResource>> {
    BUILTIN.get(kind.kind.as_str()).filter(|known| known.kind.api_version == kind.api_version)
}

/// Returns the name under which objects of a kind are stored: the kind of a built-in resource, `Kind.group` of a custom one.
///
/// The names of custom kinds are leaked, once per kind and process. The key of an object is then a `&'static str`, and
/// cloning a world copies no names.
pub(crate) fn storage_kind(kind: &Kind) -> &'static str {
    static CUSTOM: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if let Some(known) = builtin(kind) {
        return known.storage_kind;
    }
    let name = format!("{}.{}", kind.kind, group(kind));
    let mut custom = CUSTOM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = custom.get(name.as_str()) {
        return known;
    }
    let leaked: &'static str = Box::leak(name.into_boxed_str());
    custom.insert(leaked);
    leaked
}

impl World {
    /// Returns all served resources: the built-in ones and those of established CustomResourceDefinitions.
    pub fn resources(&self) -> Vec<ServedResource> {
        let mut resources: Vec<ServedResource> =
            BUILTIN.values().map(|resource| (**resource).clone()).collect();
        let definitions = self.objects.of_kind("CustomResourceDefinition", None);
        resources.extend(
            definitions.filter(|one| is_established(one)).flat_map(resources_of_definition),
        );
        resources.sort_by(|a, b| {
            (group(&a.kind), &a.kind.api_version, &a.plural).cmp(&(
                group(&b.kind),
                &b.kind.api_version,
                &b.plural,
            ))
        });
        resources
    }

    /// Returns the resource with this group and plural name.
    pub(crate) fn resource_named(
        &self,
        group_name: &str,
        plural: &str,
    ) -> Option<Arc<ServedResource>> {
        let matches = |resource: &ServedResource| {
            resource.plural == plural && group(&resource.kind) == group_name
        };
        let known = BUILTIN.values().find(|resource| matches(resource)).cloned();
        known.or_else(|| self.resources().into_iter().find(matches).map(Arc::new))
    }

    /// Returns the resource of `kind`, if it is served.
    pub fn resource(&self, kind: &Kind) -> Option<Arc<ServedResource>> {
        if let Some(known) = builtin(kind) {
            return Some(known.clone());
        }
        let definitions = self.objects.of_kind("CustomResourceDefinition", None);
        let mut definitions = definitions.filter(|one| {
            let text = |pointer: &str| one.at(pointer).and_then(Value::as_str);
            text("/spec/group") == Some(group(kind))
                && text("/spec/names/kind") == Some(&kind.kind)
                && is_established(one)
        });
        definitions
            .find_map(|one| resources_of_definition(one).into_iter().find(|one| one.kind == *kind))
            .map(Arc::new)
    }
}

fn is_established(definition: &Object) -> bool {
    let conditions = definition.at("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Established" && one["status"] == "True")
}

/// Returns the resources of a CustomResourceDefinition, one per served version.
fn resources_of_definition(definition: &Object) -> Vec<ServedResource> {
    let text = |pointer: &str| {
        definition.at(pointer).and_then(Value::as_str).unwrap_or_default().to_string()
    };
    let strings = |pointer: &str| -> Vec<String> {
        let list = definition.at(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|item| item.as_str().map(String::from)).collect()
    };
    let versions = definition.at("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true);
    let resources = served.map(|version| {
        let name = version["name"].as_str().unwrap_or_default();
        let kind = Kind::new(format!("{}/{name}", text("/spec/group")), text("/spec/names/kind"));
        let subresources = version["subresources"].as_object().into_iter().flatten();
        ServedResource {
            plural: text("/spec/names/plural"),
            singular: text("/spec/names/singular"),
            short_names: strings("/spec/names/shortNames"),
            namespaced: text("/spec/scope") == "Namespaced",
            categories: strings("/spec/names/categories"),
            verbs: VERBS.map(String::from).into(),
            subresources: subresources.map(|(name, _)| name.clone()).collect(),
            storage_kind: storage_kind(&kind),
            kind,
        }
    });
    resources.collect()
}
