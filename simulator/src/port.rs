use std::sync::{Arc, Mutex, MutexGuard};

use crate::api::{Answer, FieldSelector, Refusal, Resource, Selection, group};
use crate::authorize::{self, Deed, Wanted};
use crate::objects::Key;
use crate::user::User;
use crate::world::World;
use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, MetricQuery, Metrics, Object, ObjectRef, Page,
    ReadFailure, Reply, Request, Sample, Verb, WatchEvent,
};
use jiff::Timestamp;

/// The world behind the ports of a cluster: all that a planner or an executor ever meets of it.
#[derive(Clone)]
pub struct SimulatedCluster {
    world: Arc<Mutex<World>>,
    name: String,
    /// Who meets it; absent for somebody with every right.
    user: Option<User>,
}

/// How many objects one page holds where the query does not say.
const PAGE: usize = 500;

impl SimulatedCluster {
    /// Puts `world` behind the ports, under the name that references to its objects carry.
    pub fn new(world: Arc<Mutex<World>>, name: impl Into<String>) -> Self {
        Self { world, name: name.into(), user: None }
    }

    /// The same cluster as a service account meets it, with the rights that roles give it.
    pub fn as_account(&self, namespace: &str, name: &str) -> Self {
        Self { user: Some(User::account(namespace, name, "")), ..self.clone() }
    }

    /// As [`Cluster::send`], with `before` done at the very moment of the request, while nothing else can happen: a
    /// journal that notes it there can give it back to [`World::replay`].
    ///
    /// # Errors
    /// Those of `before`; nothing is sent then.
    pub fn send_after<E>(
        &self,
        request: &Request,
        before: impl FnOnce(Timestamp) -> Result<(), E>,
    ) -> Result<Reply, E> {
        let mut world = self.world();
        before(world.now())?;
        if let Err(refusal) = self.may_send(&world, request) {
            return Ok(Answer::Refused(refusal).reply());
        }
        Ok(match world.send(request) {
            Reply::Accepted(object) => Reply::Accepted(world.secrets().hide(&object)),
            Reply::Found(object) => Reply::Found(world.secrets().hide(&object)),
            other => other,
        })
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic elsewhere leaves the world between two events at worst, and the test that panicked has failed.
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What `kind` is called here, if it may be read.
    fn readable(
        &self,
        world: &World,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Arc<Resource>, ReadFailure> {
        let resource = world.resource(kind).ok_or_else(Refusal::unknown_resource);
        let resource = resource.map_err(|refusal| failure(kind, refusal))?;
        if !world.may(verb, resource.shelf, namespace) {
            let message = format!("cannot {verb} {}", resource.plural);
            return Err(failure(kind, Refusal::new(403, "Forbidden", message)));
        }
        let wanted = wanted(&resource, verb, namespace, name);
        self.is_allowed(world, wanted).map_err(|refusal| failure(kind, refusal))?;
        Ok(resource)
    }

    fn is_allowed(&self, world: &World, wanted: Wanted) -> Result<(), Refusal> {
        let Some(user) = &self.user else { return Ok(()) };
        let deed = Deed::Resource(wanted);
        if authorize::may(world, user, &deed) {
            return Ok(());
        }
        Err(authorize::forbidden(user, &deed))
    }

    fn may_send(&self, world: &World, request: &Request) -> Result<(), Refusal> {
        let target = &request.target;
        let Some(resource) = world.resource(&target.object_kind()) else { return Ok(()) };
        let (verb, subresource, name) = match &request.verb {
            Verb::Create(_) => ("create", "", ""),
            Verb::Patch { subresource, .. } => {
                ("patch", subresource.as_deref().unwrap_or_default(), target.name.as_str())
            }
            Verb::Apply(_) => ("patch", "", target.name.as_str()),
            Verb::Delete { .. } => ("delete", "", target.name.as_str()),
            Verb::Evict => ("create", "eviction", target.name.as_str()),
        };
        let wanted = Wanted {
            subresource: subresource.into(),
            ..wanted(&resource, verb, target.namespace.as_deref(), name)
        };
        self.is_allowed(world, wanted)
    }
}

fn wanted(resource: &Resource, verb: &str, namespace: Option<&str>, name: &str) -> Wanted {
    Wanted {
        verb: verb.into(),
        group: group(&resource.kind).into(),
        plural: resource.plural.clone(),
        subresource: String::new(),
        namespace: namespace.map(String::from),
        name: name.into(),
    }
}

fn failure(kind: &Kind, refusal: Refusal) -> ReadFailure {
    if refusal.code == 410 {
        return ReadFailure::Gone;
    }
    ReadFailure::Refused { what: kind.kind.clone(), code: refusal.code, message: refusal.message }
}

/// Says nothing of the world, least of all of what is planned for it.
impl std::fmt::Debug for SimulatedCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimulatedCluster({})", self.name)
    }
}

#[async_trait]
impl Cluster for SimulatedCluster {
    fn name(&self) -> &str {
        &self.name
    }

    async fn get(
        &self,
        object: &ObjectRef,
        _consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        let world = self.world();
        let namespace = object.namespace.as_deref();
        let kind = self.readable(&world, "get", &object.object_kind(), namespace, &object.name)?;
        let key = Key::new(kind.shelf, namespace.unwrap_or_default(), &object.name);
        let found = world.objects.get(&key);
        let found = found
            .filter(|found| object.uid.as_ref().is_none_or(|uid| *uid == found.metadata().uid));
        Ok(found.map(|found| world.secrets().hide(found)))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        let world = self.world();
        let kind = &query.kind;
        self.readable(&world, "list", kind, query.namespace.as_deref(), "")?;
        let selection = Selection {
            labels: query.selector.clone().unwrap_or_default(),
            fields: FieldSelector::default(),
        };
        let limit = query.limit.filter(|limit| *limit > 0).unwrap_or(PAGE);
        let listed = world
            .collect(
                kind,
                query.namespace.as_deref(),
                &selection,
                Some(limit),
                query.continue_token.as_deref(),
            )
            .map_err(|refusal| failure(kind, refusal))?;
        Ok(Page {
            items: listed.items.iter().map(|object| world.secrets().hide(object)).collect(),
            resource_version: listed.version.to_string(),
            continue_token: listed.continue_token,
        })
    }

    async fn changes(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        let world = self.world();
        self.readable(&world, "watch", kind, namespace, "")?;
        let version: u64 = resource_version.parse().map_err(|_| ReadFailure::Refused {
            what: kind.kind.clone(),
            code: 400,
            message: format!("{resource_version:?} is not a resource version"),
        })?;
        let events = world
            .changes_since(kind, namespace, &Selection::default(), version)
            .map_err(|refusal| failure(kind, refusal))?;
        let hide = |object: Object| world.secrets().hide(&object);
        let mut events: Vec<WatchEvent> = events
            .into_iter()
            .map(|event| match event {
                WatchEvent::Added(object) => WatchEvent::Added(hide(object)),
                WatchEvent::Modified(object) => WatchEvent::Modified(hide(object)),
                WatchEvent::Deleted(object) => WatchEvent::Deleted(hide(object)),
                WatchEvent::Bookmark(version) => WatchEvent::Bookmark(version),
            })
            .collect();
        events.push(WatchEvent::Bookmark(world.objects.version().to_string()));
        Ok(events)
    }

    async fn send(&self, request: &Request) -> Reply {
        match self.send_after(request, |_| Ok::<(), std::convert::Infallible>(())) {
            Ok(reply) => reply,
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        let world = self.world();
        let namespace = query.pod.namespace.as_deref();
        let kind =
            self.readable(&world, "get", &query.pod.object_kind(), namespace, &query.pod.name)?;
        let key = Key::new(kind.shelf, namespace.unwrap_or_default(), &query.pod.name);
        if world.objects.get(&key).is_none() {
            return Err(ReadFailure::Refused {
                what: query.pod.to_string(),
                code: 404,
                message: format!("pods {:?} not found", query.pod.name),
            });
        }
        Ok(world.logs(&key, &query.container, query.previous, query.tail_lines))
    }

    async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        let world = self.world();
        let Some(resource) = world.resource(kind) else { return Ok(false) };
        let wanted = wanted(&resource, verb, namespace, "");
        Ok(world.may(verb, resource.shelf, namespace) && self.is_allowed(&world, wanted).is_ok())
    }
}

#[async_trait]
impl Metrics for SimulatedCluster {
    async fn query(&self, query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure> {
        let samples = self.world().samples(&query.metric, query.window_seconds);
        let is_wanted = |sample: &Sample| {
            query.labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value))
        };
        Ok(samples.into_iter().filter(is_wanted).collect())
    }
}

impl World {
    /// The last lines of a container: what it wrote, and what it says of calls that fail now.
    pub(crate) fn logs(
        &self,
        pod: &Key,
        container: &str,
        previous: bool,
        tail: usize,
    ) -> Vec<String> {
        let Some(object) = self.objects.get(pod) else { return Vec::new() };
        let runtime = self.pods.get(&object.metadata().uid);
        let Some(container) = runtime
            .and_then(|runtime| runtime.containers.iter().find(|known| known.name == container))
        else {
            return Vec::new();
        };
        if previous {
            return last(container.previous_logs.clone(), tail);
        }
        let mut lines = container.logs.clone();
        if let Some(running) = container.running() {
            for call in &running.behaviour.calls {
                let route =
                    (self.workload_of(object), pod.namespace.to_string(), call.service.clone());
                if let Some(flow) = self
                    .traffic
                    .get(&route)
                    .filter(|flow| flow.failing > 0.0 && flow.per_minute > 0.0)
                {
                    let line = format!(
                        "{} error: GET http://{}:{}/: {}",
                        self.now, call.service, call.port, flow.why
                    );
                    lines.push(line);
                }
            }
        }
        last(lines, tail)
    }
}

fn last(mut lines: Vec<String>, tail: usize) -> Vec<String> {
    lines.drain(..lines.len().saturating_sub(tail));
    lines
}
