use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Deserialize;
use tokio::sync::OnceCell;

use super::answer::{Words, failure, too_large};
use super::path::Path;
use super::wire::{Answer, Call, Heard, JSON, Wire};
use crate::{Kind, ReadFailure};

/// Where a cluster serves one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    /// Its name in paths: `deployments`.
    pub(super) plural: String,
    pub(super) is_namespaced: bool,
}

impl Resource {
    /// All its objects in `namespace`, or in all namespaces.
    pub(super) fn all(&self, namespace: Option<&str>) -> Path {
        let root = if self.group.is_empty() {
            Path::new("/api").at(&self.version)
        } else {
            Path::new("/apis").at(&self.group).at(&self.version)
        };
        match namespace.filter(|_| self.is_namespaced) {
            Some(namespace) => root.at("namespaces").at(namespace).at(&self.plural),
            None => root.at(&self.plural),
        }
    }
}

/// Which kinds a cluster serves, custom ones among them: asked for once, and again for a kind that is not known yet.
#[derive(Default)]
pub(super) struct Discovery {
    known: Mutex<BTreeMap<Kind, Resource>>,
    whole: OnceCell<()>,
}

/// Everything in two answers.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl Discovery {
    /// Where `kind` is served.
    ///
    /// # Errors
    /// [`ReadFailure::Refused`] with 404 where the cluster does not know the kind.
    pub(super) async fn find(&self, wire: &Wire, kind: &Kind) -> Result<Resource, ReadFailure> {
        if let Some(resource) = self.known(kind) {
            return Ok(resource);
        }
        self.whole.get_or_try_init(|| self.ask_for_all(wire)).await?;
        if let Some(resource) = self.known(kind) {
            return Ok(resource);
        }
        // Perhaps it came since, or the server does not tell of all at once.
        self.ask_for(wire, &kind.api_version).await?;
        self.known(kind).ok_or_else(|| ReadFailure::Refused {
            what: kind.kind.clone(),
            code: 404,
            message: format!("the cluster serves no {} of {}", kind.kind, kind.api_version),
        })
    }

    fn known(&self, kind: &Kind) -> Option<Resource> {
        self.lock().get(kind).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Kind, Resource>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn ask_for_all(&self, wire: &Wire) -> Result<(), ReadFailure> {
        for root in ["/api", "/apis"] {
            let accept = concat!(
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                ",application/json"
            );
            let heard = wire.call(Call { accept, ..Call::get(Path::new(root)) }).await;
            // What is too large to read whole is asked for piece by piece, and so is what an older server lists.
            if matches!(heard, Heard::TooLarge(_)) {
                continue;
            }
            let answer = failure(heard, "the list of kinds", Words::Told)?;
            if answer.content_type().replace(' ', "").starts_with(AGGREGATED) {
                let groups: Groups = read(&answer, "the list of kinds")?;
                self.lock().extend(groups.resources());
            }
        }
        Ok(())
    }

    async fn ask_for(&self, wire: &Wire, api_version: &str) -> Result<(), ReadFailure> {
        let (group, version) = split(api_version);
        let path = if group.is_empty() {
            Path::new("/api").at(version)
        } else {
            Path::new("/apis").at(group).at(version)
        };
        let what = format!("the kinds of {api_version}");
        let heard = wire.call(Call { accept: JSON, ..Call::get(path) }).await;
        if let Heard::Answer(answer) = &heard
            && answer.status == http::StatusCode::NOT_FOUND
        {
            return Ok(());
        }
        let answer = failure(heard, &what, Words::Told)?;
        let list: Plain = read(&answer, &what)?;
        self.lock().extend(list.resources(api_version));
        Ok(())
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer, what: &str) -> Result<T, ReadFailure> {
    serde_json::from_slice(&answer.body).map_err(|error| ReadFailure::Unavailable {
        what: what.into(),
        message: format!("the answer is none: {error}"),
    })
}

/// Group and version of an `apiVersion`; the oldest group has no name.
fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn join(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Named,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Served>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
struct ResponseKind {
    kind: String,
}

impl Groups {
    fn resources(self) -> Vec<(Kind, Resource)> {
        let mut found = Vec::new();
        for group in self.items {
            for version in group.versions {
                let api_version = join(&group.metadata.name, &version.version);
                for served in version.resources {
                    let Some(of) = served.response_kind else { continue };
                    let resource = Resource {
                        group: group.metadata.name.clone(),
                        version: version.version.clone(),
                        plural: served.resource,
                        is_namespaced: served.scope == "Namespaced",
                    };
                    found.push((Kind::new(api_version.clone(), of.kind), resource));
                }
            }
        }
        found
    }
}

#[derive(Deserialize)]
struct Plain {
    #[serde(default)]
    resources: Vec<PlainResource>,
}

#[derive(Deserialize)]
struct PlainResource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
}

impl Plain {
    fn resources(self, api_version: &str) -> Vec<(Kind, Resource)> {
        let (group, version) = split(api_version);
        // `deployments/scale` is a subresource, and of another kind.
        let whole = self.resources.into_iter().filter(|resource| !resource.name.contains('/'));
        whole
            .map(|resource| {
                let of = Resource {
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

/// The failure of a list that cannot be read even one object at a time.
pub(super) fn one_is_too_large(kind: &Kind) -> ReadFailure {
    too_large(format!("one {}", kind.kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_of_discovery_say_the_same() {
        let aggregated: Groups = serde_json::from_value(json!({"items": [{"metadata": {"name": "apps"}, "versions": [
            {"version": "v1", "resources": [{"resource": "deployments", "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                "scope": "Namespaced", "subresources": [{"subresource": "scale"}]}]}]}]}))
        .unwrap();
        let plain: Plain = serde_json::from_value(json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true}]}))
        .unwrap();
        let found = aggregated.resources();
        assert_eq!(found, plain.resources("apps/v1"));
        let (kind, resource) = &found[0];
        assert_eq!(kind, &Kind::builtin("Deployment").unwrap());
        assert_eq!(
            resource.all(Some("shop")).to_string(),
            "/apis/apps/v1/namespaces/shop/deployments"
        );
        assert_eq!(resource.all(None).to_string(), "/apis/apps/v1/deployments");
    }

    #[test]
    fn the_oldest_group_and_kinds_outside_namespaces_have_their_own_paths() {
        let plain: Plain = serde_json::from_value(
            json!({"resources": [{"name": "nodes", "kind": "Node", "namespaced": false}]}),
        )
        .unwrap();
        assert_eq!(plain.resources("v1")[0].1.all(Some("shop")).to_string(), "/api/v1/nodes");
    }
}
