use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster::{Digest, Kind, Object, Request, SecretKey, Service, WriteReply, digest_of_parts};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use workflow::alertmanager::Webhook;

use crate::alertmanager::AlertGroups;
use crate::behaviour::Behaviour;
use crate::dirty::Dirty;
use crate::file::{InvalidFile, WorkloadEntry, WorldFile};
use crate::injected_reply::InjectedReply;
use crate::kubelet::PodRuntime;
use crate::names::{Naming, SymbolValues};
use crate::objects::{Key, Objects, builtin_storage_kind};
use crate::oracle::ForbiddenPatterns;
use crate::queue::{Timer, TimerQueue};
use crate::recurring::RecurringSchedule;
use crate::rng::SeededRng;
use crate::rule::{ActiveSeries, AlertState, Rule};
use crate::script::Script;
use crate::tick::TickMode;
use crate::traffic::{ClientTraffic, Routes, Traffic, TrafficPattern};

/// Reaction times of the components of the control plane to a change.
pub(crate) const CONTROLLER_DELAY: SignedDuration = SignedDuration::from_millis(12);
pub(crate) const ENDPOINTS_DELAY: SignedDuration = SignedDuration::from_millis(25);
pub(crate) const SCHEDULER_DELAY: SignedDuration = SignedDuration::from_millis(8);
pub(crate) const KUBELET_DELAY: SignedDuration = SignedDuration::from_millis(40);
/// Traffic and rules react later, and handle all changes up to then together.
pub(crate) const TRAFFIC_DELAY: SignedDuration = SignedDuration::from_millis(100);
pub(crate) const RULES_DELAY: SignedDuration = SignedDuration::from_secs(1);

/// How the alerts of the world's rules are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertMode {
    /// Rules are not evaluated.
    None,
    /// A built-in Alertmanager groups the alerts; [`World::advance`] returns its notifications.
    Internal,
    /// [`World::firing_alerts`] lists the alerts for an external Alertmanager.
    External,
}

/// Output of the world to the outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Emission {
    /// A notification of the built-in Alertmanager.
    Alerts(Webhook),
}

/// Result of [`World::advance`].
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// Current time in the world: the requested time, or that of the first emission.
    pub now: Timestamp,
    /// Emissions at `now`, possibly none.
    pub emitted: Vec<Emission>,
}

/// A mutating request to the world, and its reply.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedRequest {
    /// Time in the world at which the request arrived.
    pub at: Timestamp,
    pub request: Arc<Request>,
    /// WriteReply of the cluster, even if an [`InjectedReply`] replaced it on the way to the client.
    pub reply: Arc<WriteReply>,
}

/// A seeded Kubernetes in virtual time.
///
/// A clone is independent of the original and shares its data copy-on-write. The same file, seed, start and requests
/// give the same state, byte for byte.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) id: Arc<str>,
    pub(crate) started_at: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) rng: SeededRng,
    pub(crate) objects: Objects,
    pub(crate) timers: TimerQueue,
    pub(crate) pods: BTreeMap<String, Arc<PodRuntime>>,
    pub(crate) images: Arc<BTreeMap<String, Arc<Behaviour>>>,
    pub(crate) pulled_images: BTreeSet<(String, String)>,
    pub(crate) assigned_ips: u32,
    pub(crate) events_swept: Timestamp,
    pub(crate) client_traffic: Arc<Vec<ClientTraffic>>,
    pub(crate) traffic_pattern: Option<TrafficPattern>,
    /// Current factor on the requests per minute.
    pub(crate) factor: f64,
    pub(crate) traffic: Traffic,
    pub(crate) routes: Routes,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) scrape_interval: Option<SignedDuration>,
    pub(crate) alerts: AlertState,
    pub(crate) active_series: ActiveSeries,
    pub(crate) dirty: Dirty,
    /// By uid of a Deployment: a generation and the hash of its template. A cache derived from the objects.
    pub(crate) template_hashes: BTreeMap<String, (i64, String)>,
    pub(crate) recurring: RecurringSchedule,
    pub(crate) tick_mode: TickMode,
    /// Whether the component that runs now was triggered by [`Timer::Tick`]. It must set no timer if nothing changed.
    pub(crate) is_idle: bool,
    timers_fired: u64,
    pub(crate) alert_mode: AlertMode,
    pub(crate) groups: AlertGroups,
    pub(crate) outbox: Vec<Emission>,
    pub(crate) workloads: Arc<Vec<WorkloadEntry>>,
    pub(crate) script: Script,
    pub(crate) forbidden_patterns: ForbiddenPatterns,
    pub(crate) injected_replies: VecDeque<InjectedReply>,
    pub(crate) denied_requests: BTreeSet<(String, String, Option<String>)>,
    pub(crate) effects: BTreeMap<String, u32>,
    pub(crate) requests: Arc<Vec<LoggedRequest>>,
    /// How the symbols of the world file were replaced, and the values of the symbols.
    pub(crate) naming: Arc<(Naming, SymbolValues)>,
    secret_key: SecretKey,
}

impl World {
    /// Locks a shared world.
    ///
    /// After a panic in another thread the world is between two events at worst, so the lock is taken all the same: one
    /// failed request must not fail all later ones.
    pub fn lock(shared: &Mutex<Self>) -> MutexGuard<'_, Self> {
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the world of `file` at `start` with [`Naming::Literal`]. Its pods become ready during the first
    /// minute.
    ///
    /// # Errors
    /// [`InvalidFile`] if a symbol is unknown or the cluster rejects an object of the file.
    pub fn new(file: &WorldFile, seed: u64, start: Timestamp) -> Result<Self, InvalidFile> {
        Self::with_naming(file, seed, start, Naming::Literal)
    }

    pub(crate) fn from_resolved(
        file: &WorldFile,
        seed: u64,
        start: Timestamp,
    ) -> Result<Self, InvalidFile> {
        let id = format!("{}/{seed}", file.metadata.name);
        let images = file
            .spec
            .images
            .iter()
            .map(|(image, behaviour)| (image.clone(), Arc::new(behaviour.clone())));
        if let Some(base) = &file.spec.base {
            let reason = format!("the base world {base} is missing; hint: call `extend` with it");
            return Err(file.invalid("spec.base", &reason));
        }
        let mut world = Self {
            id: id.as_str().into(),
            started_at: start,
            now: start,
            rng: SeededRng::new("world", &id),
            objects: Objects::default(),
            timers: TimerQueue::default(),
            pods: BTreeMap::new(),
            images: Arc::new(images.collect()),
            pulled_images: BTreeSet::new(),
            assigned_ips: 0,
            events_swept: start,
            client_traffic: Arc::new(file.spec.traffic.clone()),
            traffic_pattern: file.spec.traffic_pattern.clone(),
            factor: 1.0,
            traffic: Traffic::default(),
            routes: Routes::default(),
            rules: Arc::new(file.spec.rules.clone()),
            scrape_interval: file.spec.scrape_interval.map(|every| every.signed()),
            alerts: AlertState::default(),
            active_series: ActiveSeries::default(),
            dirty: Dirty::default(),
            template_hashes: BTreeMap::new(),
            recurring: RecurringSchedule::default(),
            tick_mode: TickMode::SkipIdle,
            is_idle: false,
            timers_fired: 0,
            alert_mode: AlertMode::Internal,
            groups: AlertGroups::new(file.spec.alertmanager.clone()),
            outbox: Vec::new(),
            workloads: Arc::new(file.spec.workloads.clone()),
            script: Script::default(),
            forbidden_patterns: ForbiddenPatterns::default(),
            injected_replies: VecDeque::new(),
            denied_requests: BTreeSet::new(),
            effects: BTreeMap::new(),
            requests: Arc::default(),
            naming: Arc::new((Naming::Literal, SymbolValues::new())),
            secret_key: SecretKey::from_bytes(workflow::seed::seed("secret-key", &id)),
        };
        (world.dirty.all_rules, world.dirty.flows) = (true, true);
        world.dirty.namespaces =
            file.spec.traffic.iter().map(|one| one.namespace.as_str().into()).collect();
        world.update_traffic();
        for (i, object) in file.spec.objects.iter().enumerate() {
            world.create_object(object.clone()).map_err(|reply| InvalidFile::Invalid {
                document: format!("world {}", file.metadata.name),
                location: format!("spec.objects[{i}], {} {}", object.kind().kind, object.name()),
                reason: format!("{reply:?}"),
            })?;
        }
        Ok(world)
    }

    /// Returns the current time in the world.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the time of the next event, provided that no request arrives before.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Sets how alerts are delivered. Default: [`AlertMode::Internal`].
    pub fn set_alert_mode(&mut self, mode: AlertMode) {
        self.alert_mode = mode;
        (self.dirty.all_rules, self.dirty.flows) = (true, true);
        self.set_timer(RULES_DELAY, Timer::Rules);
    }

    /// Advances the time to `until`, or to the first emission.
    ///
    /// All events at one time are processed before this returns. The state that a later request finds therefore does
    /// not depend on how the time was divided into advances. Time never goes back: an earlier `until` has no effect.
    pub fn advance(&mut self, until: Timestamp) -> Advance {
        while let Some((at, timer)) = self.timers.pop(until) {
            self.now = self.now.max(at);
            self.fire(timer);
            if !self.outbox.is_empty() && self.timers.next().is_none_or(|next| next > self.now) {
                return Advance { now: self.now, emitted: std::mem::take(&mut self.outbox) };
            }
        }
        self.now = self.now.max(until);
        Advance { now: self.now, emitted: std::mem::take(&mut self.outbox) }
    }

    /// Advances the time to `until`, and returns all emissions on the way.
    pub fn advance_fully(&mut self, until: Timestamp) -> Vec<Emission> {
        let mut emitted = Vec::new();
        while self.now < until {
            emitted.append(&mut self.advance(until).emitted);
        }
        emitted
    }

    /// Replays a stored request: advances the time to `at` and sends the request.
    ///
    /// A world of the same file, seed and start reaches the same state by replaying the stored requests in order.
    pub fn replay(&mut self, at: Timestamp, request: &Request) -> WriteReply {
        self.advance_fully(at);
        self.send(request)
    }

    /// Returns a digest of the whole state of the world.
    pub fn digest(&self) -> Digest {
        let mut parts =
            vec![self.now.to_string(), self.rng.position(), self.objects.version().to_string()];
        parts.extend(
            self.objects
                .all()
                .map(|object| Digest::of(canonical(&object.to_value()).as_bytes()).hex()),
        );
        parts.extend(self.timers.all().map(|(at, timer)| format!("{at} {timer:?}")));
        parts.extend(self.internal_state());
        parts.push(format!("{:?}", self.effects));
        digest_of_parts(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Returns the state besides the objects: pods on their nodes, traffic, alerts, and scheduled actions.
    pub(crate) fn internal_state(&self) -> Vec<String> {
        let pods = self.pods.iter().map(|(uid, pod)| format!("{uid} {pod:?}"));
        let mut parts: Vec<String> = pods.collect();
        parts.push(format!("{:?} {}", self.traffic, self.factor));
        parts.push(format!("{:?} {:?} {:?}", self.alerts, self.groups, self.script));
        parts.push(format!("{:?}", self.recurring.next()));
        parts
    }

    /// Returns how often each effect key was applied: the cluster accepted the request and an object changed, whether
    /// or not the reply reached the client. A request that changed nothing does not count.
    pub fn effects(&self) -> &BTreeMap<String, u32> {
        &self.effects
    }

    /// Returns every mutating request in order, including rejected ones.
    pub fn requests(&self) -> &[LoggedRequest] {
        &self.requests
    }

    /// Returns all stored objects, including Secrets: for oracles and digests, never for planners.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.all()
    }

    /// Discards past changes, as a compaction of etcd does.
    pub fn compact(&mut self) {
        self.objects.compact();
    }

    /// Returns the key of the digests that replace Secret values outside this world.
    pub(crate) fn secret_key(&self) -> &SecretKey {
        &self.secret_key
    }

    /// Sets `timer` to fire after `delay`, which is never zero: a request has no other effect at the time of its
    /// arrival.
    pub(crate) fn set_timer(&mut self, delay: SignedDuration, timer: Timer) {
        // With a scrape interval, rules see a change at the next scrape, even one that is nearer than `delay`.
        let is_scraped = timer == Timer::Rules && self.scrape_interval.is_some();
        self.set_timer_at(if is_scraped { self.now } else { self.now + delay }, timer);
    }

    pub(crate) fn set_timer_at(&mut self, at: Timestamp, timer: Timer) {
        match self.scrape_interval {
            Some(every) if timer == Timer::Rules => {
                self.timers.push(self.next_scrape(at, every), Timer::Scrape);
            }
            _ => self.timers.push(at.max(self.now + SignedDuration::from_millis(1)), timer),
        }
    }

    /// Returns the number of timers fired since the start of the world.
    pub fn timers_fired(&self) -> u64 {
        self.timers_fired
    }

    /// Returns the current time as RFC 3339 in whole seconds, as Kubernetes objects contain it.
    pub(crate) fn now_rfc3339(&self) -> String {
        rfc3339_seconds(self.now)
    }

    pub(crate) fn fire(&mut self, timer: Timer) {
        self.timers_fired += 1;
        match timer {
            Timer::Deployment(key) => self.reconcile_deployment(&key),
            Timer::ReplicaSet(key) => self.reconcile_replica_set(&key),
            Timer::Endpoints(key) => self.reconcile_endpoints(&key),
            Timer::Scheduler(key) => self.schedule(&key),
            Timer::Kubelet(key) => self.sync_pod(&key),
            Timer::Namespace(key) => self.reconcile_namespace(&key),
            Timer::GarbageCollector => self.collect_garbage(),
            Timer::Traffic => self.recompute_routes(),
            Timer::Rules => self.evaluate_rules(),
            Timer::Groups => self.flush_due_groups(),
            Timer::Script => self.run_due_actions(),
            Timer::Scrape => self.scrape(),
            Timer::TrafficPattern => self.update_traffic(),
            Timer::RecurringEvents => self.start_due_turns(),
            Timer::Tick => self.tick(),
            Timer::DisruptionBudgets(namespace) => self.reconcile_budgets(&namespace),
            Timer::Quotas(namespace) => self.reconcile_quotas(&namespace),
            Timer::CustomResourceDefinition(key) => self.reconcile_definition(&key),
        }
    }

    /// Stores an object and sets the timers of the components that react to the change.
    pub(crate) fn store(&mut self, key: &Key, object: &Object) -> Object {
        let before = self.objects.get(key).cloned();
        let after = self.objects.put(key, object);
        self.on_change(key, before.as_ref(), Some(&after));
        after
    }

    /// Removes an object and sets the timers of the components that react to it.
    pub(crate) fn discard(&mut self, key: &Key) {
        if let Some(before) = self.objects.remove(key) {
            self.on_change(key, Some(&before), None);
        }
    }

    fn on_change(&mut self, key: &Key, before: Option<&Object>, after: Option<&Object>) {
        let object = after.or(before).expect("a change has an object before or after it");
        self.mark_dirty(key, before, after);
        let is_same = |field: &str| match (before, after) {
            (Some(before), Some(after)) => match (before.field(field), after.field(field)) {
                (Some(a), Some(b)) => std::ptr::eq(a, b) || a == b,
                (a, b) => a.is_none() && b.is_none(),
            },
            _ => false,
        };
        if after.is_none() || self.has_no_existing_owner(before, after) {
            self.set_timer(ENDPOINTS_DELAY, Timer::GarbageCollector);
        }
        if self.objects.has_any("PodDisruptionBudget")
            && matches!(key.kind, "Pod" | "PodDisruptionBudget" | "ReplicaSet" | "Deployment")
        {
            self.set_timer(ENDPOINTS_DELAY, Timer::DisruptionBudgets(key.namespace.clone()));
        }
        if self.objects.has_any("ResourceQuota") && !key.namespace.is_empty() {
            self.set_timer(ENDPOINTS_DELAY, Timer::Quotas(key.namespace.clone()));
        }
        match key.kind {
            "Deployment" => {
                if after.is_none() {
                    self.template_hashes.remove(&object.metadata().uid);
                }
                if !is_same("spec") || before.map(Object::metadata) != after.map(Object::metadata) {
                    self.set_timer(CONTROLLER_DELAY, Timer::Deployment(key.clone()));
                }
                self.set_timer(RULES_DELAY, Timer::Rules);
            }
            "ReplicaSet" => {
                let generation = |object: &Object| object.metadata().generation;
                if !is_same("spec") || before.map(generation) != after.map(generation) {
                    self.set_timer(CONTROLLER_DELAY, Timer::ReplicaSet(key.clone()));
                }
                self.enqueue_owner(object);
            }
            "Pod" => {
                let is_terminating = |object: Option<&Object>| {
                    object.is_some_and(|object| object.metadata().deletion_timestamp.is_some())
                };
                let has_finalizers = |object: Option<&Object>| {
                    object.is_some_and(|object| !object.metadata().finalizers.is_empty())
                };
                if after.is_none() {
                    self.pods.remove(&object.metadata().uid);
                } else if object.at("/spec/nodeName").is_none() {
                    self.set_timer(SCHEDULER_DELAY, Timer::Scheduler(key.clone()));
                } else if !is_same("spec")
                    || is_terminating(before) != is_terminating(after)
                    || has_finalizers(before) != has_finalizers(after)
                {
                    self.set_timer(KUBELET_DELAY, Timer::Kubelet(key.clone()));
                }
                self.enqueue_owner(object);
                self.enqueue_services(key, object);
                self.set_timer(RULES_DELAY, Timer::Rules);
            }
            "Service" => {
                self.set_timer(ENDPOINTS_DELAY, Timer::Endpoints(key.clone()));
                self.set_timer(TRAFFIC_DELAY, Timer::Traffic);
            }
            "EndpointSlice" => {
                self.set_timer(TRAFFIC_DELAY, Timer::Traffic);
                if let Some(service) = object.metadata().labels.get("kubernetes.io/service-name")
                    && after.is_none()
                {
                    let service = Key::new("Service", &key.namespace, service);
                    self.set_timer(ENDPOINTS_DELAY, Timer::Endpoints(service));
                }
            }
            "CustomResourceDefinition" if after.is_some() => {
                self.set_timer(CONTROLLER_DELAY, Timer::CustomResourceDefinition(key.clone()))
            }
            "Namespace" if object.metadata().deletion_timestamp.is_some() => {
                self.set_timer(CONTROLLER_DELAY, Timer::Namespace(key.clone()))
            }
            _ => {}
        }
    }

    /// Returns whether the owner references of an object are new and none of the owners exists.
    fn has_no_existing_owner(&self, before: Option<&Object>, after: Option<&Object>) -> bool {
        let Some(after) = after else { return false };
        let owners = &after.metadata().owner_references;
        let exists = |owner: &cluster::OwnerReference| {
            let kind = Kind::new(owner.api_version.clone(), owner.kind.clone());
            let namespace =
                if kind.is_cluster_scoped() { None } else { after.namespace() }.unwrap_or_default();
            builtin_storage_kind(&kind)
                .and_then(|kind| self.objects.get(&Key::new(kind, namespace, &owner.name)))
                .is_some_and(|found| found.metadata().uid == owner.uid)
        };
        !owners.is_empty()
            && before.is_none_or(|before| before.metadata().owner_references != *owners)
            && !owners.iter().any(exists)
    }

    fn enqueue_owner(&mut self, object: &Object) {
        let Some(owner) = object.controller() else { return };
        let namespace = object.namespace().unwrap_or_default();
        match owner.kind.as_str() {
            "ReplicaSet" => self.set_timer(
                CONTROLLER_DELAY,
                Timer::ReplicaSet(Key::new("ReplicaSet", namespace, &owner.name)),
            ),
            "Deployment" => self.set_timer(
                CONTROLLER_DELAY,
                Timer::Deployment(Key::new("Deployment", namespace, &owner.name)),
            ),
            _ => {}
        }
    }

    fn enqueue_services(&mut self, pod: &Key, object: &Object) {
        let labels = &object.metadata().labels;
        let selecting = self.objects.of_kind("Service", Some(&pod.namespace));
        let selecting = selecting
            .filter(|service| Service::of(service).is_some_and(|service| service.selects(labels)));
        let names: Vec<String> = selecting.map(|service| service.name().to_string()).collect();
        for name in names {
            self.set_timer(
                ENDPOINTS_DELAY,
                Timer::Endpoints(Key::new("Service", &pod.namespace, &name)),
            );
        }
    }
}

/// Formats a time as RFC 3339 in whole seconds, as Kubernetes objects contain it.
pub(crate) fn rfc3339_seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).expect("whole seconds of a time are a time").to_string()
}

/// Returns canonical JSON, or plain JSON if a number has no canonical form.
pub(crate) fn canonical(value: &Value) -> String {
    cluster::canonical_json(value).unwrap_or_else(|_| value.to_string())
}
