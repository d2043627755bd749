//! [`Cluster`] implementation for a real Kubernetes API server.
//!
//! The `kube` crate provides configuration, credentials, TLS and transport. This module builds the requests itself, with
//! JSON bodies, so that one place ([`response`]) decides what a response means for a change, and no lower layer retries a
//! request. Only a 422 response requires an additional read, to distinguish an invalid patch from a stale object.

mod change;
mod connect;
mod discovery;
mod http_client;
mod path;
mod response;
mod token;
mod watch;

use async_trait::async_trait;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Object, ObjectRef, Page, Preconditions,
    ReadFailure, Request, SecretKey, Verb, WatchEvent, WriteReply,
};
pub use connect::{ConnectError, KubeSource};
use discovery::{ApiResource, Discovery};
pub use http_client::KubeLimits;
use http_client::{CallOutcome, HttpClient, HttpRequest};
use path::{RequestPath, is_segment};
use response::{MessagePolicy, change_reply, parse_object, read_failure_reply, read_result, stale};

/// A real cluster, accessed through its API server.
///
/// Every call has a timeout and a limit for the size of the response; a change is sent once. Values of Secrets are
/// replaced by keyed digests. API discovery runs once, and again for an unknown kind.
pub struct KubeCluster {
    name: String,
    /// Namespace of the kubeconfig context. Read permissions in this namespace are sufficient.
    namespace: String,
    client: HttpClient,
    discovery: Discovery,
    secrets: SecretKey,
}

/// Omits the credentials.
impl std::fmt::Debug for KubeCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KubeCluster({} at {})", self.name, self.client.server)
    }
}

impl KubeCluster {
    /// Returns the URL of the API server.
    pub fn server(&self) -> &str {
        &self.client.server
    }

    async fn resource(&self, kind: &Kind) -> Result<ApiResource, ReadFailure> {
        self.discovery.find(&self.client, kind).await
    }

    /// Returns the URL path of an object; `None` if its name or namespace is not a valid path segment.
    async fn object_path(&self, target: &ObjectRef) -> Result<Option<RequestPath>, ReadFailure> {
        let resource = self.resource(&target.object_kind()).await?;
        let has_namespace = target.namespace.as_deref().is_some_and(is_segment);
        if !is_segment(&target.name) || (resource.is_namespaced && !has_namespace) {
            return Ok(None);
        }
        Ok(Some(resource.list_path(target.namespace.as_deref()).join(&target.name)))
    }

    async fn read(
        &self,
        target: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        let Some(path) = self.object_path(target).await? else { return Ok(None) };
        let path = match consistency {
            Consistency::Latest => path,
            Consistency::Cached => path.with("resourceVersion", "0"),
        };
        let outcome = self.client.send(HttpRequest::get(path)).await;
        if let CallOutcome::Response(response) = &outcome
            && response.status == StatusCode::NOT_FOUND
        {
            return Ok(None);
        }
        let response = read_result(outcome, &target.to_string(), message_policy(&target.kind))?;
        let found = parse_object(&response.body).map_err(|error| ReadFailure::Unavailable {
            resource: target.to_string(),
            message: format!("invalid response: {error}"),
        })?;
        Ok(Some(found))
    }

    /// Reads one page. Reduces the page size until the response fits into the limit.
    async fn page(&self, query: &ListQuery, all: &RequestPath) -> Result<Page, ReadFailure> {
        let mut limit =
            query.limit.filter(|limit| *limit > 0).unwrap_or(self.client.limits.page_size);
        let mut consistency = query.consistency;
        loop {
            let path = page_path(query, all, limit, consistency);
            let outcome = self.client.send(HttpRequest::get(path)).await;
            if let CallOutcome::TooLarge(_) = outcome {
                match consistency {
                    // The API server ignores `limit` for reads from its watch cache.
                    Consistency::Cached => consistency = Consistency::Latest,
                    Consistency::Latest if limit > 1 => limit = (limit / 4).max(1),
                    Consistency::Latest => return Err(discovery::object_too_large(&query.kind)),
                }
                continue;
            }
            let response =
                read_result(outcome, &query.kind.kind, message_policy(&query.kind.kind))?;
            return self.parse_list(query, &response.body).map_err(|error| {
                ReadFailure::Unavailable {
                    resource: query.kind.kind.clone(),
                    message: format!("the response is not a list: {error}"),
                }
            });
        }
    }

    fn parse_list(&self, query: &ListQuery, body: &[u8]) -> Result<Page, String> {
        let list: ObjectList = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut items = Vec::with_capacity(list.items.len());
        for mut value in list.items {
            // Items of a list omit `apiVersion` and `kind`.
            if let Value::Object(map) = &mut value {
                map.insert("apiVersion".into(), query.kind.api_version.clone().into());
                map.insert("kind".into(), query.kind.kind.clone().into());
            }
            let object = Object::from_value(value).map_err(|error| error.to_string())?;
            items.push(self.secrets.redact(&object));
        }
        items.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        let ListMetadata { resource_version, next } = list.metadata;
        let continue_token = Some(next).filter(|token| !token.is_empty());
        Ok(Page { items, resource_version, continue_token })
    }

    /// Returns the preconditions to send.
    ///
    /// The API server does not check a uid for the `scale` subresource, so the resource version of the object with that
    /// uid is sent instead. It takes 10 s to reject an eviction with a wrong uid, longer than the request
    /// timeout, so the uid is checked by a read.
    async fn resolve_preconditions(&self, request: &Request) -> Result<Preconditions, WriteReply> {
        let requested = &request.preconditions;
        let is_scale =
            matches!(&request.verb, Verb::Patch { subresource: Some(of), .. } if of == "scale");
        let has_version = requested.resource_version.is_some() && is_scale;
        let Some(uid) = requested
            .uid
            .as_ref()
            .filter(|_| (is_scale && !has_version) || matches!(request.verb, Verb::Evict))
        else {
            return Ok(requested.clone());
        };
        match self.read(&request.target.without_uid(), Consistency::Latest).await {
            Ok(Some(now)) if now.metadata().uid != *uid => Err(stale(&request.target)),
            Ok(Some(now)) if is_scale => {
                let resource_version = Some(now.metadata().resource_version.clone());
                Ok(Preconditions { resource_version, ..requested.clone() })
            }
            Ok(Some(_)) => Ok(requested.clone()),
            Ok(None) => Err(WriteReply::NotFound),
            Err(failure) => Err(read_failure_reply(failure)),
        }
    }

    /// Returns whether the preconditions of a rejected patch are violated.
    ///
    /// The API server may reject a patch with violated preconditions for another reason first: a failed `test` operation
    /// of the patch, or a changed uid. Nothing was stored in that case, so the stored object shows the actual reason.
    async fn is_stale(&self, request: &Request) -> bool {
        let requested = &request.preconditions;
        if *requested == Preconditions::default() || !matches!(request.verb, Verb::Patch { .. }) {
            return false;
        }
        let Ok(Some(now)) = self.read(&request.target.without_uid(), Consistency::Latest).await
        else {
            return false;
        };
        let now = now.metadata();
        requested.uid.as_ref().is_some_and(|uid| *uid != now.uid)
            || requested
                .resource_version
                .as_ref()
                .is_some_and(|version| *version != now.resource_version)
    }
}

/// Returns whether messages of the API server about objects of a kind can be passed on.
fn message_policy(kind: &str) -> MessagePolicy {
    if kind == "Secret" { MessagePolicy::Redacted } else { MessagePolicy::Verbatim }
}

fn page_path(
    query: &ListQuery,
    all: &RequestPath,
    limit: usize,
    consistency: Consistency,
) -> RequestPath {
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
struct ObjectList {
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
        Ok(found.filter(is_one).map(|found| self.secrets.redact(&found)))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        let resource = self.resource(&query.kind).await?;
        self.page(query, &resource.list_path(query.namespace.as_deref())).await
    }

    async fn watch_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        let all = self.resource(kind).await?.list_path(namespace);
        let policy = message_policy(&kind.kind);
        let events =
            watch::watch_since(&self.client, &all, &kind.kind, resource_version, policy).await?;
        let redact = |object: Object| self.secrets.redact(&object);
        let redacted = events.into_iter().map(|event| match event {
            WatchEvent::Added(object) => WatchEvent::Added(redact(object)),
            WatchEvent::Modified(object) => WatchEvent::Modified(redact(object)),
            WatchEvent::Deleted(object) => WatchEvent::Deleted(redact(object)),
            WatchEvent::Bookmark(version) => WatchEvent::Bookmark(version),
        });
        Ok(redacted.collect())
    }

    async fn send(&self, request: &Request) -> WriteReply {
        let resource = match self.resource(&request.target.object_kind()).await {
            Ok(resource) => resource,
            Err(failure) => return read_failure_reply(failure),
        };
        let preconditions = match self.resolve_preconditions(request).await {
            Ok(preconditions) => preconditions,
            Err(reply) => return reply,
        };
        let http_request = match change::build_request(request, &preconditions, &resource) {
            Ok(http_request) => http_request,
            Err(not_sent) => return WriteReply::NotSent(not_sent),
        };
        let is_removal = matches!(request.verb, Verb::Delete { .. } | Verb::Evict);
        let outcome = self.client.send(http_request).await;
        let reply = change_reply(outcome, message_policy(&request.target.kind), |body| {
            if is_removal {
                return Ok(WriteReply::Deleted);
            }
            Ok(WriteReply::Accepted(self.secrets.redact(&parse_object(body)?)))
        });
        match reply {
            WriteReply::Refused { code: 422, .. } if self.is_stale(request).await => {
                stale(&request.target)
            }
            reply => reply,
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        let resource = format!("the log of {}", query.pod);
        let Some(path) = self.object_path(&query.pod).await? else {
            let message = "the name or namespace of the pod is invalid".to_string();
            return Err(ReadFailure::Refused { resource, code: 404, message });
        };
        let mut path = path
            .join("log")
            .with("container", &query.container)
            .with("tailLines", &query.tail_lines.to_string())
            .with("limitBytes", &self.client.limits.max_response_bytes.to_string());
        if query.previous {
            path = path.with("previous", "true");
        }
        let outcome =
            self.client.send(HttpRequest { accept: "*/*", ..HttpRequest::get(path) }).await;
        if let CallOutcome::Response(response) = &outcome
            && response.status == StatusCode::BAD_REQUEST
            && has_not_written(&response::Status::of(response).message)
        {
            return Ok(Vec::new());
        }
        let response = read_result(outcome, &resource, MessagePolicy::Verbatim)?;
        Ok(String::from_utf8_lossy(&response.body).lines().map(str::to_string).collect())
    }

    async fn can_i(
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
        self.client.can_i(verb, &resource, namespace).await
    }
}

/// Returns whether a log read failed because no log exists: the container is waiting, or has no previous instance.
fn has_not_written(message: &str) -> bool {
    ["is waiting to start", "previous terminated container", "does not have a host assigned"]
        .iter()
        .any(|part| message.contains(part))
}

impl HttpClient {
    /// Returns whether the current user has a permission, by a `SelfSubjectAccessReview`.
    async fn can_i(
        &self,
        verb: &str,
        resource: &ApiResource,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": resource.group, "version": resource.version,
                "resource": resource.plural, "namespace": namespace.unwrap_or_default()}}});
        let what = "the permissions of the current user";
        let path = RequestPath::new("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
        let response = read_result(
            self.send(HttpRequest::post(path, &review)).await,
            what,
            MessagePolicy::Verbatim,
        )?;
        let review: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let allowed = review.pointer("/status/allowed").and_then(Value::as_bool);
        allowed.ok_or_else(|| ReadFailure::Unavailable {
            resource: what.into(),
            message: "the response has no `status.allowed`".into(),
        })
    }
}

#[cfg(test)]
mod tests;
