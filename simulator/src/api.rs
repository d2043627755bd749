//! What the API server does with a request: checks it, decides, stores.

mod admission;
mod defaults;

use std::sync::Arc;

use cluster::{JsonOp, Mode, Object, Patch, Reply, Request, Verb};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::interference::Interference;
use crate::objects::{Key, served};
use crate::queue::Wake;
use crate::world::{Logged, RULES, World};

/// What a request that may be granted does.
enum Change {
    /// A new object.
    Create(Key, Object),
    /// A stored object in another state.
    Update(Key, Object),
    /// A stored object goes at once.
    Remove(Key),
    /// A stored object loses the last thing that held it, and goes.
    Release(Key, Object),
    /// A stored object is marked; whoever is in charge removes it.
    Mark(Key, Object),
    /// Nothing would be different.
    Nothing(Object),
    /// It is going already.
    Going,
}

impl World {
    /// What befalls the next requests that are meant, one each, in order; for tests.
    pub fn inject(&mut self, interference: impl IntoIterator<Item = Interference>) {
        self.interference.extend(interference);
    }

    /// Forbids a verb (`get`, `list`, `create`, `patch`, `delete`) on a kind, in one namespace or in all.
    pub fn forbid(&mut self, verb: &str, kind: &str, namespace: Option<&str>) {
        self.forbidden.insert((verb.into(), kind.into(), namespace.map(Into::into)));
    }

    pub(crate) fn may(&self, verb: &str, kind: &str, namespace: Option<&str>) -> bool {
        let is_forbidden = |namespace: Option<&str>| {
            self.forbidden.contains(&(verb.into(), kind.into(), namespace.map(Into::into)))
        };
        !is_forbidden(None) && (namespace.is_none() || !is_forbidden(namespace))
    }

    /// Takes one request at the present moment and answers it.
    pub fn send(&mut self, request: &Request) -> Reply {
        let interference = match request.mode {
            Mode::Apply => self.interference.pop_front().unwrap_or(Interference::Pass),
            Mode::DryRun => Interference::Pass,
        };
        let lost =
            |when: &str| Reply::Unknown { message: format!("the connection was reset {when}") };
        match interference {
            Interference::UnknownBeforeApply => return lost("before the request arrived"),
            Interference::Conflict => {
                return Reply::Conflict { message: "the object has been modified".into() };
            }
            Interference::Throttled { retry_after_seconds } => {
                return Reply::Throttled { retry_after_seconds };
            }
            Interference::Forbidden => {
                return refused(403, "Forbidden", format!("forbidden: {}", request.target));
            }
            Interference::Pass | Interference::UnknownAfterApply => {}
        }
        let reply = self.answer(request);
        if request.mode == Mode::Apply {
            let logged = Logged {
                at: self.now,
                request: Arc::new(request.clone()),
                reply: Arc::new(reply.clone()),
            };
            Arc::make_mut(&mut self.requests).push(logged);
            self.look_for_forbidden();
        }
        if interference == Interference::UnknownAfterApply {
            lost("before the answer arrived")
        } else {
            reply
        }
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let verb = match &request.verb {
            Verb::Create(_) | Verb::Evict => "create",
            Verb::Patch { .. } => "patch",
            Verb::Delete { .. } => "delete",
        };
        if !self.may(verb, &request.target.kind, request.target.namespace.as_deref()) {
            return refused(403, "Forbidden", format!("cannot {verb} {}", request.target));
        }
        let before = self.objects.version();
        let reply = match self.decide(request) {
            Err(reply) => reply,
            Ok(change) => match request.mode {
                Mode::DryRun => self.pretend(change),
                Mode::Apply => self.commit(change),
            },
        };
        if self.objects.version() != before && !request.agent.effect_key.is_empty() {
            *self.effects.entry(request.agent.effect_key.clone()).or_default() += 1;
        }
        reply
    }

    /// Makes an object as somebody with every right, unseen by the log of requests.
    pub(crate) fn make(&mut self, object: Object) -> Result<Object, Reply> {
        let change = self.admit_create(None, object)?;
        match self.commit(change) {
            Reply::Accepted(object) => Ok(object),
            reply => Err(reply),
        }
    }

    /// Patches an object as somebody with every right, unseen by the log of requests.
    pub(crate) fn patch_as_admin(&mut self, key: &Key, patch: &Patch) -> Result<(), Reply> {
        let object = self.objects.get(key).cloned().ok_or(Reply::Absent)?;
        let change = self.admit_patch(key, &object, patch, None)?;
        self.commit(change);
        Ok(())
    }

    /// Deletes an object as a controller does.
    pub(crate) fn delete(&mut self, key: &Key) {
        if let Some(object) = self.objects.get(key).cloned() {
            let change = self.admit_delete(key, &object, None);
            self.commit(change);
        }
    }

    fn decide(&self, request: &Request) -> Result<Change, Reply> {
        let target = &request.target;
        let Some(kind) = served(&target.object_kind()) else {
            return Err(refused(
                404,
                "NotFound",
                "the server could not find the requested resource".into(),
            ));
        };
        let key = Key::new(kind, target.namespace.as_deref().unwrap_or_default(), &target.name);
        if let Verb::Create(object) = &request.verb {
            return self.admit_create(Some(&key), object.clone());
        }
        let Some(object) = self.objects.get(&key) else { return Err(Reply::Absent) };
        let metadata = object.metadata();
        let wanted = &request.preconditions;
        if wanted.uid.as_ref().is_some_and(|uid| *uid != metadata.uid) {
            return Err(conflict(
                target,
                "the UID in the precondition does not match the UID in record",
            ));
        }
        if wanted
            .resource_version
            .as_ref()
            .is_some_and(|version| *version != metadata.resource_version)
        {
            return Err(conflict(
                target,
                "the object has been modified; please apply your changes to the latest version",
            ));
        }
        match &request.verb {
            Verb::Create(_) => unreachable!("creation was decided above"),
            Verb::Patch { patch, subresource } => {
                self.admit_patch(&key, object, patch, subresource.as_deref())
            }
            Verb::Delete { grace_seconds } => Ok(self.admit_delete(&key, object, *grace_seconds)),
            Verb::Evict if kind != "Pod" => {
                Err(refused(404, "NotFound", format!("{kind} has no subresource eviction")))
            }
            Verb::Evict if self.is_disruption_refused(object) => {
                Err(Reply::Throttled { retry_after_seconds: 10 })
            }
            Verb::Evict => Ok(self.admit_delete(&key, object, None)),
        }
    }

    fn admit_create(&self, key: Option<&Key>, object: Object) -> Result<Change, Reply> {
        let mut object = defaults::fill(object);
        if object.name().is_empty()
            && let Some(Value::String(prefix)) = object.metadata().rest.get("generateName").cloned()
        {
            let mut metadata = object.metadata().clone();
            metadata.name = format!("{prefix}{}", self.chance.clone().suffix(5));
            object = object.with_metadata(metadata);
        }
        let Some(own) = Key::of(&object) else {
            return Err(refused(
                404,
                "NotFound",
                "the server could not find the requested resource".into(),
            ));
        };
        if key.is_some_and(|key| {
            key.kind != own.kind
                || key.namespace != own.namespace
                || (!key.name.is_empty() && key.name != own.name)
        }) {
            return Err(refused(
                400,
                "BadRequest",
                "the object in the body is not the one that the request names".into(),
            ));
        }
        admission::check(&object)?;
        if !object.kind().is_cluster_scoped() {
            let namespace = self.objects.get(&Key::new("Namespace", "", &own.namespace));
            let Some(namespace) = namespace else { return Err(Reply::Absent) };
            if namespace.metadata().deletion_timestamp.is_some() {
                return Err(refused(
                    403,
                    "Forbidden",
                    format!("namespace {} is being terminated", own.namespace),
                ));
            }
        }
        if self.objects.get(&own).is_some() {
            return Err(Reply::Conflict {
                message: format!("{} {:?} already exists", own.kind, &*own.name),
            });
        }
        Ok(Change::Create(own, object))
    }

    fn admit_patch(
        &self,
        key: &Key,
        object: &Object,
        patch: &Patch,
        subresource: Option<&str>,
    ) -> Result<Change, Reply> {
        // A failed `test` of a JSON patch is 422 too, as a real API server has it.
        let apply = |object: &Object| {
            patch.apply(object).map_err(|error| refused(422, "Invalid", error.to_string()))
        };
        let mut after = match subresource {
            None => {
                let after = apply(object)?;
                if defaults::has_status(key.kind) { with_status_of(after, object) } else { after }
            }
            Some("status") => with_status_of(object.clone(), &apply(object)?),
            Some("scale") => rescaled(object, &apply(&scale_of(key, object)?)?)?,
            Some(other) => {
                return Err(refused(
                    404,
                    "NotFound",
                    format!("{} has no subresource {other}", key.kind),
                ));
            }
        };
        let before = object.metadata();
        let mut metadata = after.metadata().clone();
        if metadata.resource_version != before.resource_version
            && !metadata.resource_version.is_empty()
        {
            return Err(Reply::Conflict {
                message: format!("{} {}: the object has been modified", key.kind, key.name),
            });
        }
        if metadata.name != before.name || metadata.namespace != before.namespace {
            return Err(refused(
                422,
                "Invalid",
                "metadata.name and metadata.namespace are immutable".into(),
            ));
        }
        if metadata.uid != before.uid {
            return Err(Reply::Conflict { message: "metadata.uid is immutable".into() });
        }
        metadata.resource_version.clone_from(&before.resource_version);
        metadata.creation_timestamp = before.creation_timestamp;
        metadata.deletion_timestamp = before.deletion_timestamp;
        metadata.generation = before.generation;
        after = defaults::fill(after.with_metadata(metadata));
        if after == *object {
            return Ok(Change::Nothing(object.clone()));
        }
        if subresource != Some("status") {
            admission::check(&after)?;
            admission::check_update(object, &after)?;
        }
        if defaults::has_generation(key.kind) && after.field("spec") != object.field("spec") {
            let mut metadata = after.metadata().clone();
            metadata.generation += 1;
            after = after.with_metadata(metadata);
        }
        if after.metadata().deletion_timestamp.is_some()
            && after.metadata().finalizers.is_empty()
            && !before.finalizers.is_empty()
        {
            return Ok(Change::Release(key.clone(), after));
        }
        Ok(Change::Update(key.clone(), after))
    }

    fn admit_delete(&self, key: &Key, object: &Object, grace_seconds: Option<u32>) -> Change {
        let own =
            object.at("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(30);
        let grace = grace_seconds.map_or(own, u64::from);
        let is_graceful = key.kind == "Pod" && grace > 0 && object.at("/spec/nodeName").is_some();
        if !is_graceful && key.kind != "Namespace" && object.metadata().finalizers.is_empty() {
            return Change::Remove(key.clone());
        }
        if object.metadata().deletion_timestamp.is_some() {
            return Change::Going;
        }
        let mut metadata = object.metadata().clone();
        let seconds = if is_graceful { grace } else { 0 };
        metadata.deletion_timestamp = Some(self.now + SignedDuration::from_secs(seconds as i64));
        metadata.rest.insert("deletionGracePeriodSeconds".into(), seconds.into());
        let marked = object.with_metadata(metadata);
        let marked = if key.kind == "Namespace" {
            marked.with_field("status", json!({"phase": "Terminating"}))
        } else {
            marked
        };
        Change::Mark(key.clone(), marked)
    }

    fn pretend(&self, change: Change) -> Reply {
        match change {
            Change::Create(_, object) => {
                Reply::Accepted(self.born(object, &mut self.chance.clone()))
            }
            Change::Update(_, object) | Change::Release(_, object) | Change::Nothing(object) => {
                Reply::Accepted(object)
            }
            Change::Remove(_) | Change::Mark(..) | Change::Going => Reply::Deleted,
        }
    }

    fn commit(&mut self, change: Change) -> Reply {
        match change {
            Change::Create(key, object) => {
                let mut chance = self.chance.clone();
                if object.metadata().rest.contains_key("generateName") {
                    // The name was drawn from the same place of the stream when the request was checked.
                    chance.suffix(5);
                }
                let object = self.born(object, &mut chance);
                self.chance = chance;
                Reply::Accepted(self.store(&key, &object))
            }
            Change::Update(key, object) => Reply::Accepted(self.store(&key, &object)),
            Change::Nothing(object) => Reply::Accepted(object),
            Change::Remove(key) => {
                self.discard(&key);
                self.wake(RULES, Wake::Rules);
                Reply::Deleted
            }
            Change::Release(key, object) => {
                self.discard(&key);
                Reply::Accepted(object)
            }
            Change::Mark(key, object) => {
                self.store(&key, &object);
                Reply::Deleted
            }
            Change::Going => Reply::Deleted,
        }
    }

    /// The object with what the cluster gives it at birth.
    fn born(&self, object: Object, chance: &mut crate::chance::Chance) -> Object {
        let mut metadata = object.metadata().clone();
        metadata.uid = chance.uid();
        metadata.resource_version = String::new();
        metadata.creation_timestamp = jiff::Timestamp::from_second(self.now.as_second()).ok();
        metadata.deletion_timestamp = None;
        metadata.generation = i64::from(defaults::has_generation(&object.kind().kind));
        let object = object.with_metadata(metadata);
        match object.kind().kind.as_str() {
            "Pod" => {
                object.with_field("status", json!({"phase": "Pending", "qosClass": "Burstable"}))
            }
            "Namespace" => object.with_field("status", json!({"phase": "Active"})),
            "Deployment" | "ReplicaSet" => object.with_field("status", json!({})),
            "Service" if object.at("/spec/clusterIP").is_none() => {
                let mut spec = object.field("spec").cloned().unwrap_or_default();
                spec["clusterIP"] =
                    format!("10.96.{}.{}", chance.below(254) + 1, chance.below(254) + 1).into();
                object.with_field("spec", spec)
            }
            _ => object,
        }
    }

    /// Whether a disruption budget keeps `pod` where it is.
    fn is_disruption_refused(&self, pod: &Object) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        self.objects.of_kind("PodDisruptionBudget", Some(namespace)).any(|budget| {
            let selector = budget
                .at("/spec/selector")
                .and_then(|value| serde_json::from_value::<cluster::Selector>(value.clone()).ok());
            let Some(selector) =
                selector.filter(|selector| selector.matches(&pod.metadata().labels))
            else {
                return false;
            };
            let matching = self
                .objects
                .of_kind("Pod", Some(namespace))
                .filter(|pod| selector.matches(&pod.metadata().labels));
            let (all, ready) = matching.fold((0, 0), |(all, ready), pod| {
                (
                    all + 1,
                    ready
                        + u64::from(
                            cluster::Pod::of(pod)
                                .is_some_and(|pod| pod.is_ready() && !pod.is_terminating()),
                        ),
                )
            });
            let least = budget.at("/spec/minAvailable").and_then(Value::as_u64);
            let most = budget.at("/spec/maxUnavailable").and_then(Value::as_u64);
            let needed =
                least.or_else(|| most.map(|most| u64::saturating_sub(all, most))).unwrap_or(0);
            ready <= needed
        })
    }
}

fn refused(code: u16, reason: &str, message: String) -> Reply {
    Reply::Refused { code, reason: reason.into(), message }
}

fn conflict(target: &cluster::ObjectRef, why: &str) -> Reply {
    Reply::Conflict { message: format!("operation cannot be fulfilled on {target}: {why}") }
}

fn with_status_of(object: Object, other: &Object) -> Object {
    match other.field("status") {
        Some(status) if object.field("status") == Some(status) => object,
        Some(status) => object.with_field("status", status.clone()),
        None if object.field("status").is_none() => object,
        None => object.without_field("status"),
    }
}

/// The Scale that stands for `object` under its subresource.
fn scale_of(key: &Key, object: &Object) -> Result<Object, Reply> {
    if !matches!(key.kind, "Deployment" | "ReplicaSet") {
        return Err(refused(404, "NotFound", format!("{} has no subresource scale", key.kind)));
    }
    let replicas = object.at("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
    let status = object.at("/status/replicas").cloned().unwrap_or_else(|| 0.into());
    let scale = Object::new(
        cluster::Kind::new("autoscaling/v1", "Scale"),
        object.metadata().clone(),
        [
            ("spec".to_string(), json!({"replicas": replicas})),
            ("status".to_string(), json!({"replicas": status})),
        ]
        .into(),
    );
    Ok(scale)
}

/// `object` with the replicas of its changed Scale.
fn rescaled(object: &Object, scale: &Object) -> Result<Object, Reply> {
    let replicas = scale.at("/spec/replicas").cloned().unwrap_or(Value::Null);
    let set = Patch::Json(vec![JsonOp::Add { path: "/spec/replicas".into(), value: replicas }]);
    let after = set.apply(object).map_err(|error| refused(422, "Invalid", error.to_string()))?;
    Ok(after.with_metadata(scale.metadata().clone()))
}
