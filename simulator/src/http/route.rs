//! Where a path leads.

use super::query::{Plus, decode};

/// Where a path leads, before anybody knows whether there is such a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/livez`, `/readyz`, `/healthz`, and one check below them.
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
    /// `/openapi/v3`, and a document below it.
    OpenApi(Option<String>),
    /// `/chiron/effects`: how often each effect key was applied. No part of Kubernetes.
    Effects,
    /// Objects of a resource.
    Objects(Place),
    /// Nowhere.
    Nowhere,
}

/// Which objects a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Group and version: `v1`, `apps/v1`.
    pub(super) api_version: String,
    /// The resource: `pods`.
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    /// `status`, `scale`, `log`.
    pub(super) subresource: Option<String>,
}

impl Route {
    pub(super) fn of(path: &str) -> Self {
        let segments: Vec<String> = path
            .trim_end_matches('/')
            .split('/')
            .skip(1)
            .map(|segment| decode(segment, Plus::IsPlus))
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
            _ => Self::Nowhere,
        }
    }

    fn objects(api_version: String, rest: &[&str]) -> Self {
        // An empty namespace is every namespace.
        if let ["namespaces", "", plural] = rest {
            return Self::objects(api_version, &[plural]);
        }
        if rest.iter().any(|segment| segment.is_empty()) {
            return Self::Nowhere;
        }
        let own = |text: &&str| (*text).to_string();
        let place = |namespace: Option<&&str>,
                     plural: &&str,
                     name: Option<&&str>,
                     subresource: Option<&&str>| {
            Self::Objects(Place {
                api_version: api_version.clone(),
                plural: own(plural),
                namespace: namespace.map(own),
                name: name.map(own),
                subresource: subresource.map(own),
            })
        };
        match rest {
            // A namespace's own subresources look like resources in it.
            [plural @ "namespaces", name, subresource @ ("status" | "finalize")] => {
                place(None, plural, Some(name), Some(subresource))
            }
            ["namespaces", namespace, plural] => place(Some(namespace), plural, None, None),
            ["namespaces", namespace, plural, name] => {
                place(Some(namespace), plural, Some(name), None)
            }
            ["namespaces", namespace, plural, name, subresource] => {
                place(Some(namespace), plural, Some(name), Some(subresource))
            }
            [plural] => place(None, plural, None, None),
            [plural, name] => place(None, plural, Some(name), None),
            [plural, name, subresource] => place(None, plural, Some(name), Some(subresource)),
            _ => Self::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> String {
        match Route::of(path) {
            Route::Objects(place) => format!(
                "{} {} ns={} name={} sub={}",
                place.api_version,
                place.plural,
                place.namespace.unwrap_or_default(),
                place.name.unwrap_or_default(),
                place.subresource.unwrap_or_default()
            ),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn paths_lead_where_kubernetes_says() {
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
            ("/api/v1/namespaces//pods/a", "Nowhere"),
            ("/api/v1/a/b/c/d", "Nowhere"),
            ("/", "Nowhere"),
            ("/readyz/etcd", "Health"),
        ] {
            assert_eq!(place(path), expected, "{path}");
        }
    }
}
