//! The API server: routing, authorization and dispatch of requests.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use cluster::Kind;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Response, header};
use tokio::sync::Semaphore;

use super::authenticate::Credentials;
use super::body::{self, ResponseBody};
use super::clock::{ChangeHook, ServerClock};
use super::media::{self, Accepted, Representation};
use super::query::UrlQuery;
use super::respond::{self, HandlerResult};
use super::route::{ApiRoute, ResourcePath};
use super::{change, discovery, log, openapi, read, review, watch};
use crate::api::{ServedResource, StatusError, builtin, group};
use crate::authorize::{self, Attributes, ResourceAttributes};
use crate::user::User;
use crate::world::World;

/// The maximum number of concurrent requests. Further requests wait. Watches and followed logs do not count.
const MAX_IN_FLIGHT: usize = 256;
/// The maximum time that a request waits for a slot, and for its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The state that all requests share.
pub(super) struct ApiServer {
    pub(super) clock: ServerClock,
    pub(super) credentials: Credentials,
    pub(super) change_hook: Option<ChangeHook>,
    /// The address of the server, as discovery reports it.
    pub(super) address: String,
    delay: Duration,
    in_flight: Semaphore,
    built_in: BTreeMap<(String, String), Arc<ServedResource>>,
}

/// A parsed request without its body.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: UrlQuery,
    pub(super) accepted: Accepted,
    pub(super) target: ResourcePath,
    pub(super) user: User,
}

impl ApiRequest {
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        text(&self.headers, name)
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl ApiServer {
    pub(super) fn new(
        clock: ServerClock,
        credentials: Credentials,
        address: String,
        delay: Duration,
        change_hook: Option<ChangeHook>,
    ) -> Self {
        let built_in = discovery::resources(&clock.world())
            .into_iter()
            .filter(|one| {
                discovery::virtual_resource(&one.kind.api_version, &one.plural).is_some()
                    || builtin(&one.kind).is_some()
            })
            .map(|one| ((one.kind.api_version.clone(), one.plural.clone()), Arc::new(one)))
            .collect();
        Self {
            clock,
            credentials,
            change_hook,
            address,
            delay,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            built_in,
        }
    }

    /// Locks the world, advanced to the current time.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.clock.world()
    }

    /// Returns the resource in a path.
    fn resource(&self, target: &ResourcePath) -> Option<Arc<ServedResource>> {
        let key = (target.api_version.clone(), target.plural.clone());
        if let Some(known) = self.built_in.get(&key) {
            return Some(known.clone());
        }
        let resources = self.world().resources();
        let mut found = resources
            .into_iter()
            .filter(|one| one.kind.api_version == key.0 && one.plural == key.1);
        found.next().map(Arc::new)
    }

    /// Handles a request. Every error is returned as a `Status`.
    pub(super) async fn respond(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Response<ResponseBody> {
        let (parts, incoming) = request.into_parts();
        let route = ApiRoute::of(parts.uri.path());
        let Ok(Ok(permit)) = tokio::time::timeout(REQUEST_TIMEOUT, self.in_flight.acquire()).await
        else {
            return respond::error_response(&StatusError::throttled(1));
        };
        let is_delayed = route != ApiRoute::Health && !self.delay.is_zero();
        // Half of the delay comes before the change and half after it, so that a client can lose the connection on either side.
        if is_delayed {
            tokio::time::sleep(self.delay / 2).await;
        }
        let result = self.dispatch(&parts, &route, incoming).await;
        drop(permit);
        let response = result.unwrap_or_else(|error| respond::error_response(&error));
        if is_delayed {
            tokio::time::sleep(self.delay / 2).await;
        }
        response
    }

    async fn dispatch(
        self: &Arc<Self>,
        parts: &hyper::http::request::Parts,
        route: &ApiRoute,
        incoming: Incoming,
    ) -> HandlerResult {
        let user =
            self.credentials.user(text(&parts.headers, header::AUTHORIZATION), &self.world())?;
        let user = self.impersonate(user, &parts.headers)?;
        let query = UrlQuery::parse(parts.uri.query().unwrap_or_default());
        let path = parts.uri.path();
        let ApiRoute::Objects(target) = route else {
            let verb = parts.method.as_str().to_lowercase();
            let attributes = Attributes::Path { verb, path: path.into() };
            self.authorize(&user, &attributes)?;
            let accepted = media::accepted(text(&parts.headers, header::ACCEPT))?;
            return self.serve_discovery(route, &parts.method, accepted, path);
        };
        let resource = self.resource(target);
        let verb = verb(&parts.method, target, &query)?;
        self.authorize(&user, &Attributes::Resource(attributes(verb, target, &query)))?;
        let resource = resource.ok_or_else(StatusError::no_such_path)?;
        if resource.namespaced
            && target.namespace.is_none()
            && (target.name.is_some() || verb == "create")
        {
            return Err(StatusError::no_such_path());
        }
        if !resource.namespaced && target.namespace.is_some() {
            return Err(StatusError::no_such_path());
        }
        let is_log = target.subresource.as_deref() == Some("log");
        let header = text(&parts.headers, header::ACCEPT);
        let accepted = media::accepted(if is_log { None } else { header })?;
        let request = ApiRequest {
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            query,
            accepted,
            target: target.clone(),
            user,
        };
        self.serve(&request, &resource, verb, incoming).await
    }

    /// Returns the impersonated user, if the headers request impersonation and `user` is allowed to impersonate.
    fn impersonate(&self, user: User, headers: &HeaderMap) -> Result<User, StatusError> {
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(name) = value("impersonate-user") else { return Ok(user) };
        let groups = headers.get_all("impersonate-group").iter();
        let groups: Vec<&str> = groups.filter_map(|value| value.to_str().ok()).collect();
        let attributes = |plural: &str, name: &str| {
            Attributes::Resource(ResourceAttributes {
                verb: "impersonate".into(),
                plural: plural.into(),
                name: name.into(),
                ..ResourceAttributes::default()
            })
        };
        self.authorize(&user, &attributes("users", name))?;
        for group in &groups {
            self.authorize(&user, &attributes("groups", group))?;
        }
        Ok(User::impersonated(name, value("impersonate-uid").unwrap_or_default(), &groups))
    }

    fn authorize(&self, user: &User, attributes: &Attributes) -> Result<(), StatusError> {
        if authorize::is_allowed(&self.world(), user, attributes) {
            Ok(())
        } else {
            Err(authorize::forbidden(user, attributes))
        }
    }

    /// Serves non-resource paths.
    fn serve_discovery(
        &self,
        route: &ApiRoute,
        method: &Method,
        accepted: Accepted,
        path: &str,
    ) -> HandlerResult {
        if method != Method::GET && method != Method::HEAD {
            return Err(StatusError::method_not_allowed());
        }
        let resources = || discovery::resources(&self.world());
        let is_aggregated = accepted.representation == Representation::Discovery;
        let value = match route {
            ApiRoute::Health => {
                return Ok(respond::full(200, "text/plain; charset=utf-8", b"ok".to_vec()));
            }
            ApiRoute::Version => discovery::version(),
            ApiRoute::Core | ApiRoute::Groups if is_aggregated => {
                let is_core = *route == ApiRoute::Core;
                let document =
                    discovery::aggregated(&resources(), |group| group.is_empty() == is_core);
                let bytes = serde_json::to_vec(&document).expect("a discovery document serializes");
                return Ok(respond::full(
                    200,
                    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                    bytes,
                ));
            }
            ApiRoute::Core => discovery::core(&self.address),
            ApiRoute::Groups => discovery::group_list(&resources()),
            ApiRoute::Group(name) => {
                discovery::one_group(&resources(), name).ok_or_else(StatusError::no_such_path)?
            }
            ApiRoute::GroupVersion(api_version) => {
                discovery::resource_list(&resources(), api_version)
                    .ok_or_else(StatusError::no_such_path)?
            }
            ApiRoute::OpenApi(name) => {
                let resources = resources();
                let world = self.world();
                match name {
                    None => openapi::index(&world, &resources),
                    Some(name) => return openapi::document(&world, &resources, name),
                }
            }
            ApiRoute::Effects => {
                serde_json::json!({"kind": "Effects", "effects": self.world().effects()})
            }
            ApiRoute::Objects(_) => unreachable!("`dispatch` serves objects"),
            ApiRoute::NotFound if path == "/" => {
                serde_json::json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})
            }
            ApiRoute::NotFound => return Err(StatusError::no_such_path()),
        };
        Ok(respond::encoded(200, &value, accepted.encoding))
    }

    async fn serve(
        self: &Arc<Self>,
        request: &ApiRequest,
        resource: &Arc<ServedResource>,
        verb: &str,
        incoming: Incoming,
    ) -> HandlerResult {
        let subresource = request.target.subresource.as_deref();
        if let Some(name) = subresource
            && !resource.subresources.iter().any(|known| known == name)
        {
            return Err(StatusError::no_such_path());
        }
        if subresource.is_none() && !resource.verbs.iter().any(|known| known == verb) {
            return Err(StatusError::method_not_allowed());
        }
        let name = request.target.name.as_deref();
        match (verb, name, subresource) {
            ("get", Some(name), Some("log")) => log::log(self, request, name),
            ("get", Some(name), Some("scale")) => change::scale(self, request, resource, name),
            ("get", Some(name), None | Some("status")) => read::get(self, request, resource, name),
            ("list", None, None) => read::list(self, request, resource),
            ("watch", _, None) => watch::watch(self, request, resource),
            ("get" | "list" | "watch", _, _) => Err(StatusError::method_not_allowed()),
            _ => {
                let reading = tokio::time::timeout(REQUEST_TIMEOUT, body::read(incoming));
                let bytes: Bytes =
                    reading.await.unwrap_or_else(|_| Err(StatusError::body_timeout()))?;
                match (verb, subresource) {
                    ("create", Some("token")) => {
                        review::token(self, request, name.unwrap_or_default(), &bytes)
                    }
                    ("create", None) if resource.storage_kind.is_empty() => {
                        review::review(self, request, resource, &bytes)
                    }
                    _ => change::change(self, request, resource, verb, &bytes),
                }
            }
        }
    }
}

/// Returns the verb of a request.
fn verb(
    method: &Method,
    target: &ResourcePath,
    query: &UrlQuery,
) -> Result<&'static str, StatusError> {
    let is_watch = query.is("watch");
    match (method.as_str(), &target.name) {
        ("GET" | "HEAD", None) if is_watch => Ok("watch"),
        ("GET" | "HEAD", Some(_)) => Ok("get"),
        ("GET" | "HEAD", None) => Ok("list"),
        ("POST", None) => Ok("create"),
        ("POST", Some(_)) if target.subresource.is_some() => Ok("create"),
        ("PUT", Some(_)) => Ok("update"),
        ("PATCH", Some(_)) => Ok("patch"),
        ("DELETE", Some(_)) if target.subresource.is_none() => Ok("delete"),
        ("DELETE", None) => Ok("deletecollection"),
        _ => Err(StatusError::method_not_allowed()),
    }
}

fn attributes(verb: &str, target: &ResourcePath, query: &UrlQuery) -> ResourceAttributes {
    let selected = query.text("fieldSelector").and_then(|text| text.strip_prefix("metadata.name="));
    let kind = Kind::new(target.api_version.clone(), "");
    // A request for a namespace is authorized within that namespace.
    let namespace = (target.plural == "namespaces").then(|| target.name.clone()).flatten();
    ResourceAttributes {
        verb: verb.into(),
        group: group(&kind).into(),
        plural: target.plural.clone(),
        subresource: target.subresource.clone().unwrap_or_default(),
        namespace: target.namespace.clone().or(namespace),
        name: target.name.clone().or_else(|| selected.map(String::from)).unwrap_or_default(),
    }
}
