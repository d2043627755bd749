//! One request, from its head to its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use cluster::Kind;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Response, header};
use tokio::sync::Semaphore;

use super::authenticate::Credentials;
use super::body::{self, Body};
use super::clock::{Clock, Note};
use super::media::{self, Accepted, Shape};
use super::query::Query;
use super::respond::{self, Answered};
use super::route::{Place, Route};
use super::{change, discovery, log, openapi, read, review, watch};
use crate::api::{Refusal, Resource, builtin, group};
use crate::authorize::{self, Deed, Wanted};
use crate::user::User;
use crate::world::World;

/// How many requests are worked at once; others wait their turn. Watches and logs that are followed do not count.
const AT_ONCE: usize = 256;
/// How long a request may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all requests share.
pub(super) struct Door {
    pub(super) clock: Clock,
    pub(super) credentials: Credentials,
    pub(super) note: Option<Note>,
    /// Where the server listens, as discovery says it.
    pub(super) address: String,
    delay: Duration,
    turns: Semaphore,
    built_in: BTreeMap<(String, String), Arc<Resource>>,
}

/// One request without its body.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    pub(super) accepted: Accepted,
    pub(super) place: Place,
    pub(super) user: User,
}

impl Request {
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        text(&self.headers, name)
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Door {
    pub(super) fn new(
        clock: Clock,
        credentials: Credentials,
        address: String,
        delay: Duration,
        note: Option<Note>,
    ) -> Self {
        let built_in = discovery::resources(&clock.world())
            .into_iter()
            .filter(|one| {
                discovery::request(&one.kind.api_version, &one.plural).is_some()
                    || builtin(&one.kind).is_some()
            })
            .map(|one| ((one.kind.api_version.clone(), one.plural.clone()), Arc::new(one)))
            .collect();
        Self { clock, credentials, note, address, delay, turns: Semaphore::new(AT_ONCE), built_in }
    }

    /// The world at the present moment.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.clock.world()
    }

    /// The resource that a path names.
    fn resource(&self, place: &Place) -> Option<Arc<Resource>> {
        let key = (place.api_version.clone(), place.plural.clone());
        if let Some(known) = self.built_in.get(&key) {
            return Some(known.clone());
        }
        let resources = self.world().resources();
        let mut found = resources
            .into_iter()
            .filter(|one| one.kind.api_version == key.0 && one.plural == key.1);
        found.next().map(Arc::new)
    }

    /// Answers a request. Whatever goes wrong is a `Status`.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        let route = Route::of(parts.uri.path());
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, self.turns.acquire()).await else {
            return respond::refused(&Refusal::throttled(1));
        };
        let is_delayed = route != Route::Health && !self.delay.is_zero();
        // Half of the delay before, half after: whoever waits may lose the connection on either side of the effect.
        if is_delayed {
            tokio::time::sleep(self.delay / 2).await;
        }
        let answered = self.dispatch(&parts, &route, incoming).await;
        drop(turn);
        let response = answered.unwrap_or_else(|refusal| respond::refused(&refusal));
        if is_delayed {
            tokio::time::sleep(self.delay / 2).await;
        }
        response
    }

    async fn dispatch(
        self: &Arc<Self>,
        parts: &hyper::http::request::Parts,
        route: &Route,
        incoming: Incoming,
    ) -> Answered {
        let user =
            self.credentials.user(text(&parts.headers, header::AUTHORIZATION), &self.world())?;
        let user = self.act_for(user, &parts.headers)?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let path = parts.uri.path();
        let Route::Objects(place) = route else {
            let verb = parts.method.as_str().to_lowercase();
            let deed = Deed::Path { verb, path: path.into() };
            self.admit(&user, &deed)?;
            let accepted = media::accepted(text(&parts.headers, header::ACCEPT))?;
            return self.look_around(route, &parts.method, accepted, path);
        };
        let resource = self.resource(place);
        let verb = verb(&parts.method, place, &query)?;
        self.admit(&user, &Deed::Resource(wanted(verb, place, &query)))?;
        let resource = resource.ok_or_else(Refusal::no_such_path)?;
        if resource.namespaced
            && place.namespace.is_none()
            && (place.name.is_some() || verb == "create")
        {
            return Err(Refusal::no_such_path());
        }
        if !resource.namespaced && place.namespace.is_some() {
            return Err(Refusal::no_such_path());
        }
        let is_log = place.subresource.as_deref() == Some("log");
        let header = text(&parts.headers, header::ACCEPT);
        let accepted = media::accepted(if is_log { None } else { header })?;
        let request = Request {
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            query,
            accepted,
            place: place.clone(),
            user,
        };
        self.serve(&request, &resource, verb, incoming).await
    }

    /// Who a request is made for, where its headers ask for somebody else.
    fn act_for(&self, user: User, headers: &HeaderMap) -> Result<User, Refusal> {
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(name) = value("impersonate-user") else { return Ok(user) };
        let groups = headers.get_all("impersonate-group").iter();
        let groups: Vec<&str> = groups.filter_map(|value| value.to_str().ok()).collect();
        let impersonate = |plural: &str, name: &str| {
            Deed::Resource(Wanted {
                verb: "impersonate".into(),
                plural: plural.into(),
                name: name.into(),
                ..Wanted::default()
            })
        };
        self.admit(&user, &impersonate("users", name))?;
        for group in &groups {
            self.admit(&user, &impersonate("groups", group))?;
        }
        Ok(User::acting_for(name, value("impersonate-uid").unwrap_or_default(), &groups))
    }

    fn admit(&self, user: &User, deed: &Deed) -> Result<(), Refusal> {
        if authorize::may(&self.world(), user, deed) {
            Ok(())
        } else {
            Err(authorize::forbidden(user, deed))
        }
    }

    /// Paths that are no resource.
    fn look_around(
        &self,
        route: &Route,
        method: &Method,
        accepted: Accepted,
        path: &str,
    ) -> Answered {
        if method != Method::GET && method != Method::HEAD {
            return Err(Refusal::not_allowed());
        }
        let resources = || discovery::resources(&self.world());
        let is_aggregated = accepted.shape == Shape::Discovery;
        let value = match route {
            Route::Health => {
                return Ok(respond::whole(200, "text/plain; charset=utf-8", b"ok".to_vec()));
            }
            Route::Version => discovery::version(),
            Route::Core | Route::Groups if is_aggregated => {
                let is_core = *route == Route::Core;
                let told = discovery::aggregated(&resources(), |group| group.is_empty() == is_core);
                let bytes = serde_json::to_vec(&told).expect("discovery is plain data");
                return Ok(respond::whole(
                    200,
                    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                    bytes,
                ));
            }
            Route::Core => discovery::core(&self.address),
            Route::Groups => discovery::group_list(&resources()),
            Route::Group(name) => {
                discovery::one_group(&resources(), name).ok_or_else(Refusal::no_such_path)?
            }
            Route::GroupVersion(api_version) => discovery::resource_list(&resources(), api_version)
                .ok_or_else(Refusal::no_such_path)?,
            Route::OpenApi(name) => {
                let resources = resources();
                let world = self.world();
                match name {
                    None => openapi::index(&world, &resources),
                    Some(name) => return openapi::document(&world, &resources, name),
                }
            }
            Route::Effects => {
                serde_json::json!({"kind": "Effects", "effects": self.world().effects()})
            }
            Route::Objects(_) => unreachable!("objects are served elsewhere"),
            Route::Nowhere if path == "/" => {
                serde_json::json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})
            }
            Route::Nowhere => return Err(Refusal::no_such_path()),
        };
        Ok(respond::written(200, &value, accepted.writing))
    }

    async fn serve(
        self: &Arc<Self>,
        request: &Request,
        resource: &Arc<Resource>,
        verb: &str,
        incoming: Incoming,
    ) -> Answered {
        let subresource = request.place.subresource.as_deref();
        if let Some(name) = subresource
            && !resource.subresources.iter().any(|known| known == name)
        {
            return Err(Refusal::no_such_path());
        }
        if subresource.is_none() && !resource.verbs.iter().any(|known| known == verb) {
            return Err(Refusal::not_allowed());
        }
        let name = request.place.name.as_deref();
        match (verb, name, subresource) {
            ("get", Some(name), Some("log")) => log::log(self, request, name),
            ("get", Some(name), Some("scale")) => change::scale(self, request, resource, name),
            ("get", Some(name), None | Some("status")) => read::get(self, request, resource, name),
            ("list", None, None) => read::list(self, request, resource),
            ("watch", _, None) => watch::watch(self, request, resource),
            ("get" | "list" | "watch", _, _) => Err(Refusal::not_allowed()),
            _ => {
                let reading = tokio::time::timeout(PATIENCE, body::read(incoming));
                let bytes: Bytes = reading.await.unwrap_or_else(|_| Err(Refusal::too_slow()))?;
                match (verb, subresource) {
                    ("create", Some("token")) => {
                        review::token(self, request, name.unwrap_or_default(), &bytes)
                    }
                    ("create", None) if resource.shelf.is_empty() => {
                        review::review(self, request, resource, &bytes)
                    }
                    _ => change::change(self, request, resource, verb, &bytes),
                }
            }
        }
    }
}

/// What a method means at a place.
fn verb(method: &Method, place: &Place, query: &Query) -> Result<&'static str, Refusal> {
    let is_watch = query.is("watch");
    match (method.as_str(), &place.name) {
        ("GET" | "HEAD", None) if is_watch => Ok("watch"),
        ("GET" | "HEAD", Some(_)) => Ok("get"),
        ("GET" | "HEAD", None) => Ok("list"),
        ("POST", None) => Ok("create"),
        ("POST", Some(_)) if place.subresource.is_some() => Ok("create"),
        ("PUT", Some(_)) => Ok("update"),
        ("PATCH", Some(_)) => Ok("patch"),
        ("DELETE", Some(_)) if place.subresource.is_none() => Ok("delete"),
        ("DELETE", None) => Ok("deletecollection"),
        _ => Err(Refusal::not_allowed()),
    }
}

fn wanted(verb: &str, place: &Place, query: &Query) -> Wanted {
    let one = query.text("fieldSelector").and_then(|text| text.strip_prefix("metadata.name="));
    let kind = Kind::new(place.api_version.clone(), "");
    // What is asked of a namespace is asked within it.
    let own = (place.plural == "namespaces").then(|| place.name.clone()).flatten();
    Wanted {
        verb: verb.into(),
        group: group(&kind).into(),
        plural: place.plural.clone(),
        subresource: place.subresource.clone().unwrap_or_default(),
        namespace: place.namespace.clone().or(own),
        name: place.name.clone().or_else(|| one.map(String::from)).unwrap_or_default(),
    }
}
