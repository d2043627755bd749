use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Deserialize;
use tokio::sync::OnceCell;

use super::http_client::{CallOutcome, HttpClient, HttpRequest, HttpResponse, JSON};
use super::path::RequestPath;
use super::response::{MessagePolicy, read_result, too_large};
use crate::{Kind, ReadFailure};

/// The API resource of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiResource {
    pub(super) group: String,
    pub(super) version: String,
    /// Plural name, as used in paths: `deployments`.
    pub(super) plural: String,
    pub(super) is_namespaced: bool,
}

impl ApiResource {
    /// Returns the path of the collection in `namespace` (default: all namespaces).
    pub(super) fn list_path(&self, namespace: Option<&str>) -> RequestPath {
        let root = if self.group.is_empty() {
            RequestPath::new("/api").join(&self.version)
        } else {
            RequestPath::new("/apis").join(&self.group).join(&self.version)
        };
        match namespace.filter(|_| self.is_namespaced) {
            Some(namespace) => root.join("namespaces").join(namespace).join(&self.plural),
            None => root.join(&self.plural),
        }
    }
}

/// The API resources of a cluster, including custom ones. Discovery runs once, and again for an unknown kind.
#[derive(Default)]
pub(super) struct Discovery {
    known: Mutex<BTreeMap<Kind, ApiResource>>,
    is_complete: OnceCell<()>,
}

/// Media type of aggregated discovery, which returns all API groups in two responses.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl Discovery {
    /// Returns the API resource of `kind`.
    ///
    /// # Errors
    /// [`ReadFailure::Refused`] with code 404 if the cluster does not serve the kind.
    pub(super) async fn find(
        &self,
        client: &HttpClient,
        kind: &Kind,
    ) -> Result<ApiResource, ReadFailure> {
        if let Some(resource) = self.known(kind) {
            return Ok(resource);
        }
        self.is_complete.get_or_try_init(|| self.discover_all(client)).await?;
        if let Some(resource) = self.known(kind) {
            return Ok(resource);
        }
        // The kind may be new, or the server does not support aggregated discovery.
        self.discover_group(client, &kind.api_version).await?;
        self.known(kind).ok_or_else(|| ReadFailure::Refused {
            resource: kind.kind.clone(),
            code: 404,
            message: format!("the cluster does not serve {} of {}", kind.kind, kind.api_version),
        })
    }

    fn known(&self, kind: &Kind) -> Option<ApiResource> {
        self.lock().get(kind).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Kind, ApiResource>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn discover_all(&self, client: &HttpClient) -> Result<(), ReadFailure> {
        for root in ["/api", "/apis"] {
            let accept = concat!(
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                ",application/json"
            );
            let outcome = client
                .send(HttpRequest { accept, ..HttpRequest::get(RequestPath::new(root)) })
                .await;
            // A list that exceeds the size limit, or that an older server returns in another format, is discovered group by
            // group.
            if matches!(outcome, CallOutcome::TooLarge(_)) {
                continue;
            }
            let response = read_result(outcome, "the API discovery", MessagePolicy::Verbatim)?;
            if response.content_type().replace(' ', "").starts_with(AGGREGATED) {
                let groups: ApiGroupList = read(&response, "the API discovery")?;
                self.lock().extend(groups.resources());
            }
        }
        Ok(())
    }

    async fn discover_group(
        &self,
        client: &HttpClient,
        api_version: &str,
    ) -> Result<(), ReadFailure> {
        let (group, version) = split(api_version);
        let path = if group.is_empty() {
            RequestPath::new("/api").join(version)
        } else {
            RequestPath::new("/apis").join(group).join(version)
        };
        let what = format!("the API discovery of {api_version}");
        let outcome = client.send(HttpRequest { accept: JSON, ..HttpRequest::get(path) }).await;
        if let CallOutcome::Response(response) = &outcome
            && response.status == http::StatusCode::NOT_FOUND
        {
            return Ok(());
        }
        let response = read_result(outcome, &what, MessagePolicy::Verbatim)?;
        let list: LegacyResourceList = read(&response, &what)?;
        self.lock().extend(list.resources(api_version));
        Ok(())
    }
}

fn read<'a, T: Deserialize<'a>>(response: &'a HttpResponse, what: &str) -> Result<T, ReadFailure> {
    serde_json::from_slice(&response.body).map_err(|error| ReadFailure::Unavailable {
        resource: what.into(),
        message: format!("invalid response: {error}"),
    })
}

/// Splits an `apiVersion` into group and version; the core group has an empty name.
fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn join(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

#[derive(Deserialize)]
struct ApiGroupList {
    #[serde(default)]
    items: Vec<ApiGroup>,
}

#[derive(Deserialize)]
struct ApiGroup {
    #[serde(default)]
    metadata: GroupMetadata,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct GroupMetadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<AggregatedResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedResource {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
struct ResponseKind {
    kind: String,
}

impl ApiGroupList {
    fn resources(self) -> Vec<(Kind, ApiResource)> {
        let mut found = Vec::new();
        for group in self.items {
            for version in group.versions {
                let api_version = join(&group.metadata.name, &version.version);
                for resource in version.resources {
                    let Some(of) = resource.response_kind else { continue };
                    let resource = ApiResource {
                        group: group.metadata.name.clone(),
                        version: version.version.clone(),
                        plural: resource.resource,
                        is_namespaced: resource.scope == "Namespaced",
                    };
                    found.push((Kind::new(api_version.clone(), of.kind), resource));
                }
            }
        }
        found
    }
}

#[derive(Deserialize)]
struct LegacyResourceList {
    #[serde(default)]
    resources: Vec<LegacyResource>,
}

#[derive(Deserialize)]
struct LegacyResource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
}

impl LegacyResourceList {
    fn resources(self, api_version: &str) -> Vec<(Kind, ApiResource)> {
        let (group, version) = split(api_version);
        // `deployments/scale` is a subresource with another kind.
        let resources = self.resources.into_iter().filter(|resource| !resource.name.contains('/'));
        resources
            .map(|resource| {
                let of = ApiResource {
                    group: group.into(),
                    version: version.into(),
                    plural: resource.name,
                    is_namespaced: resource.namespaced,
                };
                (Kind::new(api_version, resource.kind), of)
            })
            .collect()
    }
}

/// Returns the failure of a list with an object that exceeds the size limit on its own.
pub(super) fn object_too_large(kind: &Kind) -> ReadFailure {
    too_large(format!("one {}", kind.kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_discovery_formats_return_same_resources() {
        let aggregated: ApiGroupList = serde_json::from_value(json!({"items": [{"metadata": {"name": "apps"}, "versions": [
            {"version": "v1", "resources": [{"resource": "deployments", "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                "scope": "Namespaced", "subresources": [{"subresource": "scale"}]}]}]}]}))
        .unwrap();
        let plain: LegacyResourceList = serde_json::from_value(json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true}]}))
        .unwrap();
        let found = aggregated.resources();
        assert_eq!(found, plain.resources("apps/v1"));
        let (kind, resource) = &found[0];
        assert_eq!(kind, &Kind::builtin("Deployment").unwrap());
        assert_eq!(
            resource.list_path(Some("shop")).to_string(),
            "/apis/apps/v1/namespaces/shop/deployments"
        );
        assert_eq!(resource.list_path(None).to_string(), "/apis/apps/v1/deployments");
    }

    #[test]
    fn core_group_and_cluster_scoped_kinds_have_own_paths() {
        let plain: LegacyResourceList = serde_json::from_value(
            json!({"resources": [{"name": "nodes", "kind": "Node", "namespaced": false}]}),
        )
        .unwrap();
        assert_eq!(plain.resources("v1")[0].1.list_path(Some("shop")).to_string(), "/api/v1/nodes");
    }
}
