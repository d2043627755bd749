use std::sync::{Arc, Mutex, MutexGuard};

use crate::api::{CallResult, FieldSelector, Selection, ServedResource, StatusError, group};
use crate::authorize::{self, Attributes, ResourceAttributes};
use crate::objects::Key;
use crate::user::User;
use crate::world::World;
use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, MetricQuery, Metrics, Object, ObjectRef, Page,
    ReadFailure, Request, Sample, Verb, WatchEvent, WriteReply,
};
use jiff::Timestamp;

/// Implements the ports of the `cluster` crate over a [`World`]. The planner and the executor see the world only through it.
#[derive(Clone)]
pub struct SimulatedCluster {
    world: Arc<Mutex<World>>,
    name: String,
    /// The user whose permissions apply. `None`: no restrictions.
    user: Option<User>,
}

/// The page size of a list without a limit, in objects.
const DEFAULT_PAGE_SIZE: usize = 500;

impl SimulatedCluster {
    /// Returns a cluster over `world`. `name` is the cluster name in references to its objects.
    pub fn new(world: Arc<Mutex<World>>, name: impl Into<String>) -> Self {
        Self { world, name: name.into(), user: None }
    }

    /// Returns the same cluster with the permissions of a service account.
    pub fn as_service_account(&self, namespace: &str, name: &str) -> Self {
        Self { user: Some(User::service_account(namespace, name, "")), ..self.clone() }
    }

    /// Like [`Cluster::send`], but calls `before` first, while the world is locked. A journal entry that `before` writes
    /// therefore has the same timestamp and order as the request, and [`World::replay`] reproduces it.
    ///
    /// # Errors
    /// Returns the error of `before`; the request is then not sent.
    pub fn send_after<E>(
        &self,
        request: &Request,
        before: impl FnOnce(Timestamp) -> Result<(), E>,
    ) -> Result<WriteReply, E> {
        let mut world = self.world();
        before(world.now())?;
        if let Err(error) = self.check_request(&world, request) {
            return Ok(CallResult::Refused(error).reply());
        }
        Ok(match world.send(request) {
            WriteReply::Accepted(object) => {
                WriteReply::Accepted(world.secret_key().redact(&object))
            }
            other => other,
        })
    }

    fn world(&self) -> MutexGuard<'_, World> {
        World::lock(&self.world)
    }

    /// Resolves `kind` and checks that `verb` is allowed on it.
    fn check_read(
        &self,
        world: &World,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Arc<ServedResource>, ReadFailure> {
        let resource = world.resource(kind).ok_or_else(StatusError::unknown_resource);
        let resource = resource.map_err(|error| failure(kind, error))?;
        if !world.is_verb_allowed(verb, resource.storage_kind, namespace) {
            let message = format!("cannot {verb} {}", resource.plural);
            return Err(failure(kind, StatusError::new(403, "Forbidden", message)));
        }
        let attributes = attributes(&resource, verb, namespace, name);
        self.check_access(world, attributes).map_err(|error| failure(kind, error))?;
        Ok(resource)
    }

    fn check_access(
        &self,
        world: &World,
        attributes: ResourceAttributes,
    ) -> Result<(), StatusError> {
        let Some(user) = &self.user else { return Ok(()) };
        let attributes = Attributes::Resource(attributes);
        if authorize::is_allowed(world, user, &attributes) {
            return Ok(());
        }
        Err(authorize::forbidden(user, &attributes))
    }

    fn check_request(&self, world: &World, request: &Request) -> Result<(), StatusError> {
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
        let attributes = ResourceAttributes {
            subresource: subresource.into(),
            ..attributes(&resource, verb, target.namespace.as_deref(), name)
        };
        self.check_access(world, attributes)
    }
}

fn attributes(
    resource: &ServedResource,
    verb: &str,
    namespace: Option<&str>,
    name: &str,
) -> ResourceAttributes {
    ResourceAttributes {
        verb: verb.into(),
        group: group(&resource.kind).into(),
        plural: resource.plural.clone(),
        subresource: String::new(),
        namespace: namespace.map(String::from),
        name: name.into(),
    }
}

fn failure(kind: &Kind, error: StatusError) -> ReadFailure {
    if error.code == 410 {
        return ReadFailure::Gone;
    }
    ReadFailure::Refused { resource: kind.kind.clone(), code: error.code, message: error.message }
}

/// Prints only the name: the world contains the scheduled faults, which logs must not reveal.
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
        let kind =
            self.check_read(&world, "get", &object.object_kind(), namespace, &object.name)?;
        let key = Key::new(kind.storage_kind, namespace.unwrap_or_default(), &object.name);
        let found = world.objects.get(&key);
        let found = found
            .filter(|found| object.uid.as_ref().is_none_or(|uid| *uid == found.metadata().uid));
        Ok(found.map(|found| world.secret_key().redact(found)))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        let world = self.world();
        let kind = &query.kind;
        self.check_read(&world, "list", kind, query.namespace.as_deref(), "")?;
        let selection = Selection {
            labels: query.selector.clone().unwrap_or_default(),
            fields: FieldSelector::default(),
        };
        let limit = query.limit.filter(|limit| *limit > 0).unwrap_or(DEFAULT_PAGE_SIZE);
        let page = world
            .list(
                kind,
                query.namespace.as_deref(),
                &selection,
                Some(limit),
                query.continue_token.as_deref(),
            )
            .map_err(|error| failure(kind, error))?;
        Ok(Page {
            items: page.items.iter().map(|object| world.secret_key().redact(object)).collect(),
            resource_version: page.version.to_string(),
            continue_token: page.continue_token,
        })
    }

    async fn watch_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        let world = self.world();
        self.check_read(&world, "watch", kind, namespace, "")?;
        let version: u64 = resource_version.parse().map_err(|_| ReadFailure::Refused {
            resource: kind.kind.clone(),
            code: 400,
            message: format!("{resource_version:?} is not a resource version"),
        })?;
        let events = world
            .changes_since(kind, namespace, &Selection::default(), version)
            .map_err(|error| failure(kind, error))?;
        let hide = |object: Object| world.secret_key().redact(&object);
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

    async fn send(&self, request: &Request) -> WriteReply {
        match self.send_after(request, |_| Ok::<(), std::convert::Infallible>(())) {
            Ok(reply) => reply,
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        let world = self.world();
        let namespace = query.pod.namespace.as_deref();
        let kind =
            self.check_read(&world, "get", &query.pod.object_kind(), namespace, &query.pod.name)?;
        let key = Key::new(kind.storage_kind, namespace.unwrap_or_default(), &query.pod.name);
        if world.objects.get(&key).is_none() {
            return Err(ReadFailure::Refused {
                resource: query.pod.to_string(),
                code: 404,
                message: format!("pods {:?} not found", query.pod.name),
            });
        }
        Ok(world.logs(&key, &query.container, query.previous, query.tail_lines))
    }

    async fn can_i(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        let world = self.world();
        let Some(resource) = world.resource(kind) else { return Ok(false) };
        let attributes = attributes(&resource, verb, namespace, "");
        Ok(world.is_verb_allowed(verb, resource.storage_kind, namespace)
            && self.check_access(&world, attributes).is_ok())
    }
}

#[async_trait]
impl Metrics for SimulatedCluster {
    async fn query(&self, query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure> {
        let samples = self.world().samples(&query.metric, query.window_seconds);
        let matches = |sample: &Sample| {
            query.labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value))
        };
        Ok(samples.into_iter().filter(matches).collect())
    }
}

impl World {
    /// Returns the last `tail` log lines of a container: the lines it wrote and one line per call that is failing now.
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
                    .filter(|flow| flow.failure_rate > 0.0 && flow.per_minute > 0.0)
                {
                    let line = format!(
                        "{} error: GET http://{}:{}/: {}",
                        self.now, call.service, call.port, flow.error
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
