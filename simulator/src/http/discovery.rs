//! What there is: groups, versions and resources, one document each or all in one.

use serde_json::{Value, json};

use super::openapi::group_version_kind;
use crate::api::{Resource, group, version_of};
use crate::world::World;

/// The version that the server gives as its own.
pub(super) const GIT_VERSION: &str = "v1.36.3";

/// The order in which a real API server names its groups; others follow by name.
const ORDER: [&str; 19] = [
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

/// Kinds of requests, of which no object is ever kept: group and version, kind, resource, whether it is of a namespace.
const REQUESTS: [(&str, &str, &str, bool); 7] = [
    ("v1", "Binding", "bindings", true),
    ("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", false),
    ("authentication.k8s.io/v1", "TokenReview", "tokenreviews", false),
    ("authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
    ("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", false),
];

/// A resource of which no object is kept: a request is made of it, and answered.
pub(super) fn request(api_version: &str, plural: &str) -> Option<Resource> {
    let (version, kind, plural, namespaced) = REQUESTS
        .into_iter()
        .find(|(version, _, known, _)| *version == api_version && *known == plural)?;
    Some(Resource {
        kind: cluster::Kind::new(version, kind),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        namespaced,
        categories: Vec::new(),
        verbs: vec!["create".into()],
        subresources: Vec::new(),
        shelf: "",
    })
}

/// Every resource, those of which no object is kept among them, by group and version and then by name.
pub(super) fn resources(world: &World) -> Vec<Resource> {
    let mut all = world.resources();
    all.extend(REQUESTS.iter().filter_map(|(version, _, plural, _)| request(version, plural)));
    all.sort_by(|a, b| {
        let key = |one: &Resource| {
            (place(group(&one.kind)), one.kind.api_version.clone(), one.plural.clone())
        };
        key(a).cmp(&key(b))
    });
    all
}

fn place(group: &str) -> (usize, String) {
    (ORDER.iter().position(|known| *known == group).unwrap_or(ORDER.len()), group.into())
}

/// One group with its versions, the preferred one first.
struct Group<'a> {
    name: &'a str,
    versions: Vec<(&'a str, Vec<&'a Resource>)>,
}

fn groups(resources: &[Resource]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for resource in resources {
        let name = group(&resource.kind);
        let version = version_of(&resource.kind);
        let known = match groups.iter_mut().find(|known| known.name == name) {
            Some(known) => known,
            None => {
                groups.push(Group { name, versions: Vec::new() });
                groups.last_mut().expect("it was pushed just now")
            }
        };
        match known.versions.iter_mut().find(|(known, _)| *known == version) {
            Some((_, resources)) => resources.push(resource),
            None => known.versions.push((version, vec![resource])),
        }
    }
    for group in &mut groups {
        group.versions.sort_by_key(|(version, _)| std::cmp::Reverse(rank(version)));
    }
    groups
}

/// How a version stands among others: stable before beta before alpha, then the larger number.
fn rank(version: &str) -> (u8, u32, u32) {
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

fn named(group: &Group<'_>) -> Value {
    let version = |version: &str| json!({"groupVersion": format!("{}/{version}", group.name), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(|(name, _)| version(name)).collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    json!({"name": group.name, "versions": versions, "preferredVersion": preferred})
}

/// `/apis`.
pub(super) fn group_list(resources: &[Resource]) -> Value {
    let groups: Vec<Value> =
        groups(resources).iter().filter(|group| !group.name.is_empty()).map(named).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(super) fn one_group(resources: &[Resource], name: &str) -> Option<Value> {
    let groups = groups(resources);
    let mut told = named(groups.iter().find(|group| group.name == name && !name.is_empty())?);
    told["kind"] = "APIGroup".into();
    told["apiVersion"] = "v1".into();
    Some(told)
}

/// `/api/v1`, `/apis/GROUP/VERSION`.
pub(super) fn resource_list(resources: &[Resource], api_version: &str) -> Option<Value> {
    let own: Vec<&Resource> =
        resources.iter().filter(|one| one.kind.api_version == api_version).collect();
    if own.is_empty() {
        return None;
    }
    let told: Vec<Value> = own.into_iter().flat_map(resource_and_below).collect();
    let mut list =
        json!({"kind": "APIResourceList", "groupVersion": api_version, "resources": told});
    if api_version != "v1" {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

fn resource_and_below(resource: &Resource) -> Vec<Value> {
    let mut own = json!({"name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind.kind, "verbs": resource.verbs});
    if !resource.short_names.is_empty() {
        own["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        own["categories"] = json!(resource.categories);
    }
    let mut told = vec![own];
    for subresource in &resource.subresources {
        let below = below(resource, subresource);
        let mut entry = json!({"name": format!("{}/{subresource}", resource.plural), "singularName": "",
            "namespaced": resource.namespaced, "kind": below.kind.kind, "verbs": below.verbs});
        if below.kind.api_version != resource.kind.api_version {
            let (group, version) = below.kind.api_version.split_once('/').unwrap_or(("", "v1"));
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        told.push(entry);
    }
    told
}

/// What a subresource answers with, and what can be done with it.
struct Below {
    kind: cluster::Kind,
    verbs: &'static [&'static str],
}

fn below(resource: &Resource, subresource: &str) -> Below {
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
    Below { kind, verbs }
}

/// Everything in one document: the core group alone, or all others.
pub(super) fn aggregated(resources: &[Resource], is_wanted: impl Fn(&str) -> bool) -> Value {
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
                        resources.iter().map(|one| discovered(one)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn discovered(resource: &Resource) -> Value {
    let mut told = json!({"resource": resource.plural, "responseKind": group_version_kind(&resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs});
    if !resource.short_names.is_empty() {
        told["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        told["categories"] = json!(resource.categories);
    }
    let below: Vec<Value> = resource
        .subresources
        .iter()
        .map(|name| {
            let below = below(resource, name);
            json!({"subresource": name, "responseKind": group_version_kind(&below.kind), "verbs": below.verbs})
        })
        .collect();
    if !below.is_empty() {
        told["subresources"] = below.into();
    }
    told
}

/// `/version`: what a server of this version says, so that clients treat this one as they treat it.
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
    fn stable_versions_come_before_the_others() {
        let mut versions = vec!["v1alpha1", "v2", "v1", "v1beta2", "v10"];
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1alpha1"]);
    }
}
