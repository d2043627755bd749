//! Discovery: groups, versions and resources, in separate documents or aggregated.

use serde_json::{Value, json};

use super::openapi::group_version_kind;
use crate::api::{ServedResource, group, version_of};
use crate::world::World;

/// The Kubernetes version that the server reports.
pub(super) const GIT_VERSION: &str = "v1.36.3";

/// The order of groups on a real API server. Other groups follow by name.
const GROUP_ORDER: [&str; 19] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
];

/// Virtual resources, whose objects are never stored: group and version, kind, resource, namespaced.
const VIRTUAL_RESOURCES: [(&str, &str, &str, bool); 7] = [
    ("v1", "Binding", "bindings", true),
    ("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", false),
    ("authentication.k8s.io/v1", "TokenReview", "tokenreviews", false),
    ("authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
    ("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", false),
];

/// Returns a virtual resource: a create is answered immediately and nothing is stored.
pub(super) fn virtual_resource(api_version: &str, plural: &str) -> Option<ServedResource> {
    let (version, kind, plural, namespaced) = VIRTUAL_RESOURCES
        .into_iter()
        .find(|(version, _, known, _)| *version == api_version && *known == plural)?;
    Some(ServedResource {
        kind: cluster::Kind::new(version, kind),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        namespaced,
        categories: Vec::new(),
        verbs: vec!["create".into()],
        subresources: Vec::new(),
        storage_kind: "",
    })
}

/// Returns all resources including the virtual ones, ordered by group, version and name.
pub(super) fn resources(world: &World) -> Vec<ServedResource> {
    let mut all = world.resources();
    all.extend(
        VIRTUAL_RESOURCES
            .iter()
            .filter_map(|(version, _, plural, _)| virtual_resource(version, plural)),
    );
    all.sort_by(|a, b| {
        let key = |one: &ServedResource| {
            (group_rank(group(&one.kind)), one.kind.api_version.clone(), one.plural.clone())
        };
        key(a).cmp(&key(b))
    });
    all
}

fn group_rank(group: &str) -> (usize, String) {
    (
        GROUP_ORDER.iter().position(|known| *known == group).unwrap_or(GROUP_ORDER.len()),
        group.into(),
    )
}

/// An API group with its versions, the preferred one first.
struct DiscoveryGroup<'a> {
    name: &'a str,
    versions: Vec<(&'a str, Vec<&'a ServedResource>)>,
}

fn groups(resources: &[ServedResource]) -> Vec<DiscoveryGroup<'_>> {
    let mut groups: Vec<DiscoveryGroup<'_>> = Vec::new();
    for resource in resources {
        let name = group(&resource.kind);
        let version = version_of(&resource.kind);
        let known = match groups.iter_mut().find(|known| known.name == name) {
            Some(known) => known,
            None => {
                groups.push(DiscoveryGroup { name, versions: Vec::new() });
                groups.last_mut().expect("a group was just pushed")
            }
        };
        match known.versions.iter_mut().find(|(known, _)| *known == version) {
            Some((_, resources)) => resources.push(resource),
            None => known.versions.push((version, vec![resource])),
        }
    }
    for group in &mut groups {
        group.versions.sort_by_key(|(version, _)| std::cmp::Reverse(version_rank(version)));
    }
    groups
}

/// Returns the sort key of a version: stable before beta before alpha, then the larger number.
fn version_rank(version: &str) -> (u8, u32, u32) {
    let digits = |text: &str| {
        text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    };
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let major = digits(rest);
    match (rest.split_once("beta"), rest.split_once("alpha")) {
        (Some((_, minor)), _) => (2, major, digits(minor)),
        (None, Some((_, minor))) => (1, major, digits(minor)),
        (None, None) => (3, major, 0),
    }
}

/// `/api`.
pub(super) fn core(address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]})
}

fn group_document(group: &DiscoveryGroup<'_>) -> Value {
    let version = |version: &str| json!({"groupVersion": format!("{}/{version}", group.name), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(|(name, _)| version(name)).collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    json!({"name": group.name, "versions": versions, "preferredVersion": preferred})
}

/// `/apis`.
pub(super) fn group_list(resources: &[ServedResource]) -> Value {
    let groups: Vec<Value> = groups(resources)
        .iter()
        .filter(|group| !group.name.is_empty())
        .map(group_document)
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(super) fn one_group(resources: &[ServedResource], name: &str) -> Option<Value> {
    let groups = groups(resources);
    let mut document =
        group_document(groups.iter().find(|group| group.name == name && !name.is_empty())?);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

/// `/api/v1`, `/apis/GROUP/VERSION`.
pub(super) fn resource_list(resources: &[ServedResource], api_version: &str) -> Option<Value> {
    let selected: Vec<&ServedResource> =
        resources.iter().filter(|one| one.kind.api_version == api_version).collect();
    if selected.is_empty() {
        return None;
    }
    let entries: Vec<Value> = selected.into_iter().flat_map(resource_entries).collect();
    let mut list =
        json!({"kind": "APIResourceList", "groupVersion": api_version, "resources": entries});
    if api_version != "v1" {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

fn resource_entries(resource: &ServedResource) -> Vec<Value> {
    let mut entry = json!({"name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind.kind, "verbs": resource.verbs});
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let mut entries = vec![entry];
    for subresource in &resource.subresources {
        let info = subresource_info(resource, subresource);
        let mut entry = json!({"name": format!("{}/{subresource}", resource.plural), "singularName": "",
            "namespaced": resource.namespaced, "kind": info.kind.kind, "verbs": info.verbs});
        if info.kind.api_version != resource.kind.api_version {
            let (group, version) = info.kind.api_version.split_once('/').unwrap_or(("", "v1"));
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        entries.push(entry);
    }
    entries
}

/// The kind and the verbs of a subresource.
struct SubresourceInfo {
    kind: cluster::Kind,
    verbs: &'static [&'static str],
}

fn subresource_info(resource: &ServedResource, subresource: &str) -> SubresourceInfo {
    let kind = match subresource {
        "scale" => cluster::Kind::new("autoscaling/v1", "Scale"),
        "eviction" => cluster::Kind::new("policy/v1", "Eviction"),
        "token" => cluster::Kind::new("authentication.k8s.io/v1", "TokenRequest"),
        "binding" => cluster::Kind::new("v1", "Binding"),
        _ => resource.kind.clone(),
    };
    let verbs: &[&str] = match subresource {
        "eviction" | "token" | "binding" => &["create"],
        "log" => &["get"],
        "finalize" => &["update"],
        _ => &["get", "patch", "update"],
    };
    SubresourceInfo { kind, verbs }
}

/// Returns the aggregated discovery document of the selected groups.
pub(super) fn aggregated(resources: &[ServedResource], is_wanted: impl Fn(&str) -> bool) -> Value {
    let items: Vec<Value> = groups(resources)
        .iter()
        .filter(|group| is_wanted(group.name))
        .map(|group| {
            let metadata =
                if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
            let versions: Vec<Value> = group
                .versions
                .iter()
                .map(|(version, resources)| {
                    let resources: Vec<Value> =
                        resources.iter().map(|one| discovery_entry(one)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn discovery_entry(resource: &ServedResource) -> Value {
    let mut entry = json!({"resource": resource.plural, "responseKind": group_version_kind(&resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs});
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|name| {
            let info = subresource_info(resource, name);
            json!({"subresource": name, "responseKind": group_version_kind(&info.kind), "verbs": info.verbs})
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

/// `/version`: the response of a real server of this version, so that clients enable the same features.
pub(super) fn version() -> Value {
    let mut numbers = GIT_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let before = minor
        .parse::<u32>()
        .map_or_else(|_| String::new(), |minor| minor.saturating_sub(1).to_string());
    json!({"major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": before, "gitVersion": GIT_VERSION,
        "gitCommit": "$Format:%H$", "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "go1.26.8", "compiler": "gc", "platform": "linux/amd64"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_rank_orders_stable_before_beta_before_alpha() {
        let mut versions = vec!["v1alpha1", "v2", "v1", "v1beta2", "v10"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1alpha1"]);
    }
}
