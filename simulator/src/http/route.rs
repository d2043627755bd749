//! Routes of the Kubernetes API.

use super::query::{PlusDecoding, decode};

/// The route of a path. It does not say whether the resource exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiRoute {
    /// `/livez`, `/readyz`, `/healthz`, and their individual checks.
    Health,
    /// `/version`.
    Version,
    /// `/api`.
    Core,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` and `/apis/GROUP/VERSION`.
    GroupVersion(String),
    /// `/openapi/v3` and its documents.
    OpenApi(Option<String>),
    /// `/chiron/effects`: how often each effect key was applied. Not part of Kubernetes.
    Effects,
    /// A resource or its objects.
    Objects(ResourcePath),
    /// No route.
    NotFound,
}

/// The resource path of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResourcePath {
    /// The group and version: `v1`, `apps/v1`.
    pub(super) api_version: String,
    /// The plural name of the resource: `pods`.
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    /// The subresource: `status`, `scale`, `log`.
    pub(super) subresource: Option<String>,
}

impl ApiRoute {
    pub(super) fn of(path: &str) -> Self {
        let segments: Vec<String> = path
            .trim_end_matches('/')
            .split('/')
            .skip(1)
            .map(|segment| decode(segment, PlusDecoding::Literal))
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match &segments[..] {
            ["livez" | "readyz" | "healthz"] | ["livez" | "readyz" | "healthz", _] => Self::Health,
            ["version"] => Self::Version,
            ["api"] => Self::Core,
            ["apis"] => Self::Groups,
            ["api", version] => Self::GroupVersion((*version).into()),
            ["apis", group] => Self::Group((*group).into()),
            ["apis", group, version] => Self::GroupVersion(format!("{group}/{version}")),
            ["openapi", "v3"] => Self::OpenApi(None),
            ["openapi", "v3", document @ ..] => Self::OpenApi(Some(document.join("/"))),
            ["chiron", "effects"] => Self::Effects,
            ["api", version, rest @ ..] => Self::objects((*version).into(), rest),
            ["apis", group, version, rest @ ..] => {
                Self::objects(format!("{group}/{version}"), rest)
            }
            _ => Self::NotFound,
        }
    }

    fn objects(api_version: String, rest: &[&str]) -> Self {
        // An empty namespace selects all namespaces.
        if let ["namespaces", "", plural] = rest {
            return Self::objects(api_version, &[plural]);
        }
        if rest.iter().any(|segment| segment.is_empty()) {
            return Self::NotFound;
        }
        let owned = |text: &&str| (*text).to_string();
        let objects = |namespace: Option<&&str>,
                       plural: &&str,
                       name: Option<&&str>,
                       subresource: Option<&&str>| {
            Self::Objects(ResourcePath {
                api_version: api_version.clone(),
                plural: owned(plural),
                namespace: namespace.map(owned),
                name: name.map(owned),
                subresource: subresource.map(owned),
            })
        };
        match rest {
            // The subresources of a Namespace look like resources in it.
            [plural @ "namespaces", name, subresource @ ("status" | "finalize")] => {
                objects(None, plural, Some(name), Some(subresource))
            }
            ["namespaces", namespace, plural] => objects(Some(namespace), plural, None, None),
            ["namespaces", namespace, plural, name] => {
                objects(Some(namespace), plural, Some(name), None)
            }
            ["namespaces", namespace, plural, name, subresource] => {
                objects(Some(namespace), plural, Some(name), Some(subresource))
            }
            [plural] => objects(None, plural, None, None),
            [plural, name] => objects(None, plural, Some(name), None),
            [plural, name, subresource] => objects(None, plural, Some(name), Some(subresource)),
            _ => Self::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(path: &str) -> String {
        match ApiRoute::of(path) {
            ApiRoute::Objects(target) => format!(
                "{} {} ns={} name={} sub={}",
                target.api_version,
                target.plural,
                target.namespace.unwrap_or_default(),
                target.name.unwrap_or_default(),
                target.subresource.unwrap_or_default()
            ),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn paths_map_to_kubernetes_routes() {
        for (path, expected) in [
            ("/api/v1/pods", "v1 pods ns= name= sub="),
            ("/api/v1/namespaces/a", "v1 namespaces ns= name=a sub="),
            ("/api/v1/namespaces/a/finalize", "v1 namespaces ns= name=a sub=finalize"),
            ("/api/v1/namespaces/a/pods/b/log", "v1 pods ns=a name=b sub=log"),
            ("/apis/apps/v1/namespaces/a/deployments/b", "apps/v1 deployments ns=a name=b sub="),
            ("/apis/x.io/v1/clusters/b%2Fc/status", "x.io/v1 clusters ns= name=b/c sub=status"),
            ("/api/v1/nodes/n/", "v1 nodes ns= name=n sub="),
            ("/apis/apps/v1/", "GroupVersion(\"apps/v1\")"),
            ("/api/v1/namespaces//pods", "v1 pods ns= name= sub="),
            ("/api/v1/namespaces//pods/a", "NotFound"),
            ("/api/v1/a/b/c/d", "NotFound"),
            ("/", "NotFound"),
            ("/readyz/etcd", "Health"),
        ] {
            assert_eq!(describe(path), expected, "{path}");
        }
    }
}
