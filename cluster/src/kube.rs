//! The port over a real Kubernetes API.
//!
//! `kube` gives configuration, credentials, TLS and transport. The requests are ours, with JSON bodies, so that what an
//! answer means for a change is decided in one place, [`answer`], and nothing below it sends anything twice. A 422 alone
//! wants a second read: only that tells a bad patch from an object that had moved.

mod answer;
mod change;
mod connect;
mod discovery;
mod path;
mod token;
mod watch;
mod wire;

use async_trait::async_trait;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Object, ObjectRef, Page, Preconditions,
    ReadFailure, Reply, Request, SecretKey, Verb, WatchEvent,
};
use answer::{Words, failure, moved, object, reply, unread};
pub use connect::{ConnectError, KubeSource};
use discovery::{Discovery, Resource};
use path::{Path, is_segment};
pub use wire::KubeLimits;
use wire::{Call, Heard, Wire};

/// A real cluster, reached through its API server.
///
/// Every call ends within the deadline and reads a bounded answer; a change is sent once. Secrets come through as keyed
/// digests. What the kinds of the cluster are called is asked for once, and again for a kind that is not known.
pub struct KubeCluster {
    name: String,
    /// The namespace of the context that was named: where we may read if not everywhere.
    namespace: String,
    wire: Wire,
    discovery: Discovery,
    secrets: SecretKey,
}

/// Says where the cluster is, and nothing of credentials.
impl std::fmt::Debug for KubeCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KubeCluster({} at {})", self.name, self.wire.server)
    }
}

impl KubeCluster {
    /// The address of the API server.
    pub fn server(&self) -> &str {
        &self.wire.server
    }

    async fn resource(&self, kind: &Kind) -> Result<Resource, ReadFailure> {
        self.discovery.find(&self.wire, kind).await
    }

    /// The path of one object, where it can have one.
    async fn place(&self, target: &ObjectRef) -> Result<Option<Path>, ReadFailure> {
        let resource = self.resource(&target.object_kind()).await?;
        let has_namespace = target.namespace.as_deref().is_some_and(is_segment);
        if !is_segment(&target.name) || (resource.is_namespaced && !has_namespace) {
            return Ok(None);
        }
        Ok(Some(resource.all(target.namespace.as_deref()).at(&target.name)))
    }

    async fn read(
        &self,
        target: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        let Some(path) = self.place(target).await? else { return Ok(None) };
        let path = match consistency {
            Consistency::Latest => path,
            Consistency::Cached => path.with("resourceVersion", "0"),
        };
        let heard = self.wire.call(Call::get(path)).await;
        if let Heard::Answer(answer) = &heard
            && answer.status == StatusCode::NOT_FOUND
        {
            return Ok(None);
        }
        let answer = failure(heard, &target.to_string(), words(&target.kind))?;
        let found = object(&answer.body).map_err(|why| ReadFailure::Unavailable {
            what: target.to_string(),
            message: format!("an answer that {why}"),
        })?;
        Ok(Some(found))
    }

    /// One page; the largest that fits into an answer where the asked one does not.
    async fn page(&self, query: &ListQuery, all: &Path) -> Result<Page, ReadFailure> {
        let mut limit = query.limit.filter(|limit| *limit > 0).unwrap_or(self.wire.limits.page);
        let mut consistency = query.consistency;
        loop {
            let path = list_path(query, all, limit, consistency);
            let heard = self.wire.call(Call::get(path)).await;
            if let Heard::TooLarge(_) = heard {
                match consistency {
                    // A cache gives all at once, whatever the limit.
                    Consistency::Cached => consistency = Consistency::Latest,
                    Consistency::Latest if limit > 1 => limit = (limit / 4).max(1),
                    Consistency::Latest => return Err(discovery::one_is_too_large(&query.kind)),
                }
                continue;
            }
            let answer = failure(heard, &query.kind.kind, words(&query.kind.kind))?;
            return self.items(query, &answer.body).map_err(|why| ReadFailure::Unavailable {
                what: query.kind.kind.clone(),
                message: format!("an answer that is no list: {why}"),
            });
        }
    }

    fn items(&self, query: &ListQuery, body: &[u8]) -> Result<Page, String> {
        let list: List = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut items = Vec::with_capacity(list.items.len());
        for mut value in list.items {
            // The items of a list leave out what the list says.
            if let Value::Object(map) = &mut value {
                map.insert("apiVersion".into(), query.kind.api_version.clone().into());
                map.insert("kind".into(), query.kind.kind.clone().into());
            }
            let object = Object::from_value(value).map_err(|error| error.to_string())?;
            items.push(self.secrets.hide(&object));
        }
        items.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        let ListMetadata { resource_version, next } = list.metadata;
        let continue_token = Some(next).filter(|token| !token.is_empty());
        Ok(Page { items, resource_version, continue_token })
    }

    /// What the server is to be held to. It does not hold the scale of an object to a uid, so there the version of that
    /// incarnation is demanded; and it takes ten seconds to refuse an eviction for a wrong uid, longer than we wait, so
    /// there we look first.
    async fn pinned(&self, request: &Request) -> Result<Preconditions, Reply> {
        let wanted = &request.preconditions;
        let is_scale =
            matches!(&request.verb, Verb::Patch { subresource: Some(of), .. } if of == "scale");
        let is_pinned = wanted.resource_version.is_some() && is_scale;
        let Some(uid) = wanted
            .uid
            .as_ref()
            .filter(|_| (is_scale && !is_pinned) || matches!(request.verb, Verb::Evict))
        else {
            return Ok(wanted.clone());
        };
        match self.read(&request.target.without_uid(), Consistency::Latest).await {
            Ok(Some(now)) if now.metadata().uid != *uid => Err(moved(&request.target)),
            Ok(Some(now)) if is_scale => {
                let resource_version = Some(now.metadata().resource_version.clone());
                Ok(Preconditions { resource_version, ..wanted.clone() })
            }
            Ok(Some(_)) => Ok(wanted.clone()),
            Ok(None) => Err(Reply::Absent),
            Err(failure) => Err(unread(failure)),
        }
    }

    /// A patch whose preconditions do not hold may be refused for another reason first: a `test` of its own that fails,
    /// a uid that cannot be changed. Nothing was stored then, and what stands there now tells which it was.
    async fn is_stale(&self, request: &Request) -> bool {
        let wanted = &request.preconditions;
        if *wanted == Preconditions::default() || !matches!(request.verb, Verb::Patch { .. }) {
            return false;
        }
        let Ok(Some(now)) = self.read(&request.target.without_uid(), Consistency::Latest).await
        else {
            return false;
        };
        let now = now.metadata();
        wanted.uid.as_ref().is_some_and(|uid| *uid != now.uid)
            || wanted
                .resource_version
                .as_ref()
                .is_some_and(|version| *version != now.resource_version)
    }
}

/// What may be repeated of the cluster's words about a kind.
fn words(kind: &str) -> Words {
    if kind == "Secret" { Words::Withheld } else { Words::Told }
}

fn list_path(query: &ListQuery, all: &Path, limit: usize, consistency: Consistency) -> Path {
    let mut path = all.clone().with("limit", &limit.to_string());
    if let Some(selector) = query.selector.as_ref().filter(|selector| !selector.is_empty()) {
        path = path.with("labelSelector", &selector.to_string());
    }
    match (&query.continue_token, consistency) {
        (Some(token), _) => path.with("continue", token),
        (None, Consistency::Cached) => path.with("resourceVersion", "0"),
        (None, Consistency::Latest) => path,
    }
}

#[derive(Deserialize)]
struct List {
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

#[async_trait]
impl Cluster for KubeCluster {
    fn name(&self) -> &str {
        &self.name
    }

    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        let found = self.read(object, consistency).await?;
        let is_one =
            |found: &Object| object.uid.as_ref().is_none_or(|uid| *uid == found.metadata().uid);
        Ok(found.filter(is_one).map(|found| self.secrets.hide(&found)))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        let resource = self.resource(&query.kind).await?;
        self.page(query, &resource.all(query.namespace.as_deref())).await
    }

    async fn changes(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        let all = self.resource(kind).await?.all(namespace);
        let words = words(&kind.kind);
        let told = watch::changes(&self.wire, &all, &kind.kind, resource_version, words).await?;
        let hide = |object: Object| self.secrets.hide(&object);
        let hidden = told.into_iter().map(|event| match event {
            WatchEvent::Added(object) => WatchEvent::Added(hide(object)),
            WatchEvent::Modified(object) => WatchEvent::Modified(hide(object)),
            WatchEvent::Deleted(object) => WatchEvent::Deleted(hide(object)),
            WatchEvent::Bookmark(version) => WatchEvent::Bookmark(version),
        });
        Ok(hidden.collect())
    }

    async fn send(&self, request: &Request) -> Reply {
        let resource = match self.resource(&request.target.object_kind()).await {
            Ok(resource) => resource,
            Err(failure) => return unread(failure),
        };
        let preconditions = match self.pinned(request).await {
            Ok(preconditions) => preconditions,
            Err(reply) => return reply,
        };
        let call = match change::call(request, &preconditions, &resource) {
            Ok(call) => call,
            Err(reply) => return reply,
        };
        let is_removal = matches!(request.verb, Verb::Delete { .. } | Verb::Evict);
        let heard = self.wire.call(call).await;
        let answered = reply(heard, words(&request.target.kind), |body| {
            if is_removal {
                return Ok(Reply::Deleted);
            }
            Ok(Reply::Accepted(self.secrets.hide(&object(body)?)))
        });
        match answered {
            Reply::Refused { code: 422, .. } if self.is_stale(request).await => {
                moved(&request.target)
            }
            answered => answered,
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        let what = format!("the log of {}", query.pod);
        let Some(path) = self.place(&query.pod).await? else {
            let message = "there is no such pod".to_string();
            return Err(ReadFailure::Refused { what, code: 404, message });
        };
        let mut path = path
            .at("log")
            .with("container", &query.container)
            .with("tailLines", &query.tail_lines.to_string())
            .with("limitBytes", &self.wire.limits.answer_bytes.to_string());
        if query.previous {
            path = path.with("previous", "true");
        }
        let heard = self.wire.call(Call { accept: "*/*", ..Call::get(path) }).await;
        if let Heard::Answer(answer) = &heard
            && answer.status == StatusCode::BAD_REQUEST
            && has_not_written(&answer::Status::of(answer).message)
        {
            return Ok(Vec::new());
        }
        let answer = failure(heard, &what, Words::Told)?;
        Ok(String::from_utf8_lossy(&answer.body).lines().map(str::to_string).collect())
    }

    async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        let resource = match self.resource(kind).await {
            Ok(resource) => resource,
            Err(ReadFailure::Refused { code: 404, .. }) => return Ok(false),
            Err(failure) => return Err(failure),
        };
        self.wire.may(verb, &resource, namespace).await
    }
}

/// Whether a log was refused because there is none yet: the container waits, or had no life before this one.
fn has_not_written(message: &str) -> bool {
    ["is waiting to start", "previous terminated container", "does not have a host assigned"]
        .iter()
        .any(|part| message.contains(part))
}

impl Wire {
    /// Asks the cluster whether we may.
    async fn may(
        &self,
        verb: &str,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": resource.group, "version": resource.version,
                "resource": resource.plural, "namespace": namespace.unwrap_or_default()}}});
        let what = "our permissions";
        let path = Path::new("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
        let answer = failure(self.call(Call::post(path, &review)).await, what, Words::Told)?;
        let review: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let allowed = review.pointer("/status/allowed").and_then(Value::as_bool);
        allowed.ok_or_else(|| ReadFailure::Unavailable {
            what: what.into(),
            message: "an answer that says neither yes nor no".into(),
        })
    }
}

#[cfg(test)]
mod tests;
