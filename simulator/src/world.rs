use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cluster::{Digest, Kind, Object, Reply, Request, SecretKey, Service, digest_of_parts};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use workflow::alertmanager::Webhook;

use crate::alertmanager::Groups;
use crate::behaviour::Behaviour;
use crate::chance::Chance;
use crate::file::{BadFile, WorkloadEntry, WorldFile};
use crate::interference::Interference;
use crate::kubelet::PodRuntime;
use crate::names::{Names, Naming};
use crate::objects::{Key, Objects, served};
use crate::oracle::Watched;
use crate::queue::{Queue, Wake};
use crate::routine::Routines;
use crate::rule::{Alerts, Holding, Rule};
use crate::script::Script;
use crate::stale::Stale;
use crate::tick::Pace;
use crate::traffic::{Rhythm, Routes, Traffic, Visitors};

/// How fast the parts of a control plane react to a change.
pub(crate) const CONTROLLER: SignedDuration = SignedDuration::from_millis(12);
pub(crate) const ENDPOINTS: SignedDuration = SignedDuration::from_millis(25);
pub(crate) const SCHEDULER: SignedDuration = SignedDuration::from_millis(8);
pub(crate) const KUBELET: SignedDuration = SignedDuration::from_millis(40);
/// Requests and rules see a change a moment later, together with all that happened until then.
pub(crate) const TRAFFIC: SignedDuration = SignedDuration::from_millis(100);
pub(crate) const RULES: SignedDuration = SignedDuration::from_secs(1);

/// What becomes of the alerts that the world's rules fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertMode {
    /// No rule is evaluated.
    None,
    /// A built-in Alertmanager groups them; [`World::advance`] gives its deliveries.
    Internal,
    /// They are only listed, by [`World::firing_alerts`], for an Alertmanager outside.
    External,
}

/// Something that left the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Emission {
    /// A delivery of the built-in Alertmanager.
    Alerts(Webhook),
}

/// How far an advance came.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// The time it is in the world now: what was asked for, or when the first thing was emitted.
    pub now: Timestamp,
    /// What was emitted at that moment; empty if nothing was.
    pub emitted: Vec<Emission>,
}

/// A mutating request that the world was sent, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// When.
    pub at: Timestamp,
    /// What was asked.
    pub request: Arc<Request>,
    /// What the cluster decided, even if the answer was lost on the way.
    pub reply: Arc<Reply>,
}

/// A seeded Kubernetes in virtual time.
///
/// A clone is a world of its own and costs pointers. The same file, seed, start and requests give the same bytes.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) id: Arc<str>,
    pub(crate) born: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) chance: Chance,
    pub(crate) objects: Objects,
    pub(crate) queue: Queue,
    pub(crate) pods: BTreeMap<String, Arc<PodRuntime>>,
    pub(crate) images: Arc<BTreeMap<String, Arc<Behaviour>>>,
    pub(crate) pulled: BTreeSet<(String, String)>,
    pub(crate) addresses: u32,
    pub(crate) events_swept: Timestamp,
    pub(crate) visitors: Arc<Vec<Visitors>>,
    pub(crate) rhythm: Option<Rhythm>,
    /// By what requests a minute are multiplied now.
    pub(crate) factor: f64,
    pub(crate) traffic: Traffic,
    pub(crate) routes: Routes,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) scrape_every: Option<SignedDuration>,
    pub(crate) alerts: Alerts,
    pub(crate) holding: Holding,
    pub(crate) stale: Stale,
    /// Of every Deployment the hash of its template, and of which generation; known from the objects, and no part of it.
    pub(crate) hashes: BTreeMap<String, (i64, String)>,
    pub(crate) routines: Routines,
    pub(crate) pace: Pace,
    /// Whether who looks now was called by nobody, and calls nobody where nothing changed.
    pub(crate) is_uncalled: bool,
    woken: u64,
    pub(crate) mode: AlertMode,
    pub(crate) groups: Groups,
    pub(crate) outbox: Vec<Emission>,
    pub(crate) workloads: Arc<Vec<WorkloadEntry>>,
    pub(crate) script: Script,
    pub(crate) watched: Watched,
    pub(crate) interference: VecDeque<Interference>,
    pub(crate) forbidden: BTreeSet<(String, String, Option<String>)>,
    pub(crate) effects: BTreeMap<String, u32>,
    pub(crate) requests: Arc<Vec<Logged>>,
    /// How the world's symbols were filled, and with what.
    pub(crate) names: Arc<(Naming, Names)>,
    secrets: SecretKey,
}

impl World {
    /// Makes the world of `file` at `start`, every symbol filled by its own word; its controllers bring its pods up in
    /// the first minute.
    ///
    /// # Errors
    /// [`BadFile`] where a symbol makes no sense or an object of the file would be refused by the cluster.
    pub fn new(file: &WorldFile, seed: u64, start: Timestamp) -> Result<Self, BadFile> {
        Self::named(file, seed, start, Naming::Literal)
    }

    pub(crate) fn of_filled(
        file: &WorldFile,
        seed: u64,
        start: Timestamp,
    ) -> Result<Self, BadFile> {
        let id = format!("{}/{seed}", file.metadata.name);
        let images = file
            .spec
            .images
            .iter()
            .map(|(image, behaviour)| (image.clone(), Arc::new(behaviour.clone())));
        if let Some(base) = &file.spec.base {
            let reason = format!("the world {base}, on which it stands, was not given");
            return Err(file.nonsense("spec.base", &reason));
        }
        let mut world = Self {
            id: id.as_str().into(),
            born: start,
            now: start,
            chance: Chance::new("world", &id),
            objects: Objects::default(),
            queue: Queue::default(),
            pods: BTreeMap::new(),
            images: Arc::new(images.collect()),
            pulled: BTreeSet::new(),
            addresses: 0,
            events_swept: start,
            visitors: Arc::new(file.spec.traffic.clone()),
            rhythm: file.spec.rhythm.clone(),
            factor: 1.0,
            traffic: Traffic::default(),
            routes: Routes::default(),
            rules: Arc::new(file.spec.rules.clone()),
            scrape_every: file.spec.scrape_every.map(|every| every.signed()),
            alerts: Alerts::default(),
            holding: Holding::default(),
            stale: Stale::default(),
            hashes: BTreeMap::new(),
            routines: Routines::default(),
            pace: Pace::Skipping,
            is_uncalled: false,
            woken: 0,
            mode: AlertMode::Internal,
            groups: Groups::new(file.spec.alertmanager.clone()),
            outbox: Vec::new(),
            workloads: Arc::new(file.spec.workloads.clone()),
            script: Script::default(),
            watched: Watched::default(),
            interference: VecDeque::new(),
            forbidden: BTreeSet::new(),
            effects: BTreeMap::new(),
            requests: Arc::default(),
            names: Arc::new((Naming::Literal, Names::new())),
            secrets: SecretKey::from_bytes(workflow::seed::seed("secret-key", &id)),
        };
        (world.stale.rules, world.stale.flows) = (true, true);
        world.stale.routed =
            file.spec.traffic.iter().map(|one| one.namespace.as_str().into()).collect();
        world.rise_and_fall();
        for (i, object) in file.spec.objects.iter().enumerate() {
            world.make(object.clone()).map_err(|reply| BadFile::Nonsense {
                what: format!("world {}", file.metadata.name),
                place: format!("spec.objects[{i}], {} {}", object.kind().kind, object.name()),
                reason: format!("{reply:?}"),
            })?;
        }
        Ok(world)
    }

    /// The time in the world.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When something will happen next, if nobody interferes.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.queue.next()
    }

    /// Says what becomes of alerts; [`AlertMode::Internal`] if nobody said.
    pub fn set_alert_mode(&mut self, mode: AlertMode) {
        self.mode = mode;
        (self.stale.rules, self.stale.flows) = (true, true);
        self.wake(RULES, Wake::Rules);
    }

    /// Lets time pass until `until`, or until the first thing is emitted.
    ///
    /// All that happens at one moment happens before this returns, so that a request sent afterwards finds the world
    /// the same however its time was cut into advances. Time never goes back: an earlier `until` changes nothing.
    pub fn advance(&mut self, until: Timestamp) -> Advance {
        while let Some((at, wake)) = self.queue.pop(until) {
            self.now = self.now.max(at);
            self.act(wake);
            if !self.outbox.is_empty() && self.queue.next().is_none_or(|next| next > self.now) {
                return Advance { now: self.now, emitted: std::mem::take(&mut self.outbox) };
            }
        }
        self.now = self.now.max(until);
        Advance { now: self.now, emitted: std::mem::take(&mut self.outbox) }
    }

    /// Lets time pass until `until`, whatever is emitted on the way, and gives all of it.
    pub fn advance_fully(&mut self, until: Timestamp) -> Vec<Emission> {
        let mut emitted = Vec::new();
        while self.now < until {
            emitted.append(&mut self.advance(until).emitted);
        }
        emitted
    }

    /// Does again what a stored request did at `at`: time passes until then, and the request is sent.
    ///
    /// A world of the same file, seed and start that is given the stored requests in order is the same world.
    pub fn replay(&mut self, at: Timestamp, request: &Request) -> Reply {
        self.advance_fully(at);
        self.send(request)
    }

    /// Everything that the world is, in one digest.
    pub fn digest(&self) -> Digest {
        let mut parts =
            vec![self.now.to_string(), self.chance.position(), self.objects.version().to_string()];
        parts.extend(
            self.objects
                .all()
                .map(|object| Digest::of(canonical(&object.to_value()).as_bytes()).hex()),
        );
        parts.extend(self.queue.all().map(|(at, wake)| format!("{at} {wake:?}")));
        parts.extend(self.hidden());
        parts.push(format!("{:?}", self.effects));
        digest_of_parts(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What the world holds besides its objects: nodes, traffic, alerts, and what is yet to happen to it.
    pub(crate) fn hidden(&self) -> Vec<String> {
        let pods = self.pods.iter().map(|(uid, pod)| format!("{uid} {pod:?}"));
        let mut parts: Vec<String> = pods.collect();
        parts.push(format!("{:?} {}", self.traffic, self.factor));
        parts.push(format!("{:?} {:?} {:?}", self.alerts, self.groups, self.script));
        parts.push(format!("{:?}", self.routines.next()));
        parts
    }

    /// How often each effect key was applied: the cluster accepted the change and its store changed, whether or not
    /// the answer arrived. What changed nothing is not an application.
    pub fn effects(&self) -> &BTreeMap<String, u32> {
        &self.effects
    }

    /// Every request that was meant to change something, in order.
    pub fn requests(&self) -> &[Logged] {
        &self.requests
    }

    /// All objects as stored, Secrets included: for oracles and digests, never for planners.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.all()
    }

    /// Forgets past changes, as a compaction of the cluster's store does.
    pub fn compact(&mut self) {
        self.objects.compact();
    }

    /// The key under which values of Secrets leave this world as digests.
    pub(crate) fn secrets(&self) -> &SecretKey {
        &self.secrets
    }

    /// Wakes `wake` after `delay`, which is never zero: nothing happens at the moment of a request but the request.
    pub(crate) fn wake(&mut self, delay: SignedDuration, wake: Wake) {
        // Where metrics are scraped, rules see a change at the next scrape, however near that is.
        let is_scraped = wake == Wake::Rules && self.scrape_every.is_some();
        self.wake_at(if is_scraped { self.now } else { self.now + delay }, wake);
    }

    pub(crate) fn wake_at(&mut self, at: Timestamp, wake: Wake) {
        match self.scrape_every {
            Some(every) if wake == Wake::Rules => {
                self.queue.push(self.scrape_from(at, every), Wake::Scrape);
            }
            _ => self.queue.push(at.max(self.now + SignedDuration::from_millis(1)), wake),
        }
    }

    /// How often anyone was woken so far, since the world began.
    pub fn woken(&self) -> u64 {
        self.woken
    }

    /// The time in the world as objects write it, in whole seconds.
    pub(crate) fn written_now(&self) -> String {
        written(self.now)
    }

    pub(crate) fn act(&mut self, wake: Wake) {
        self.woken += 1;
        match wake {
            Wake::Deployment(key) => self.reconcile_deployment(&key),
            Wake::ReplicaSet(key) => self.reconcile_replica_set(&key),
            Wake::Endpoints(key) => self.reconcile_endpoints(&key),
            Wake::Scheduler(key) => self.schedule(&key),
            Wake::Kubelet(key) => self.sync_pod(&key),
            Wake::Namespace(key) => self.empty_namespace(&key),
            Wake::Garbage => self.collect_garbage(),
            Wake::Traffic => self.reroute(),
            Wake::Rules => self.evaluate_rules(),
            Wake::Groups => self.deliver(),
            Wake::Script => self.follow_script(),
            Wake::Scrape => self.scrape(),
            Wake::Rhythm => self.rise_and_fall(),
            Wake::Routines => self.follow_routines(),
            Wake::Tick => self.tick(),
            Wake::Budgets(namespace) => self.reconcile_budgets(&namespace),
            Wake::Quotas(namespace) => self.reconcile_quotas(&namespace),
            Wake::Definition(key) => self.reconcile_definition(&key),
        }
    }

    /// Stores an object and wakes everyone whom the change concerns.
    pub(crate) fn store(&mut self, key: &Key, object: &Object) -> Object {
        let before = self.objects.get(key).cloned();
        let after = self.objects.put(key, object);
        self.changed(key, before.as_ref(), Some(&after));
        after
    }

    /// Removes an object and wakes everyone whom that concerns.
    pub(crate) fn discard(&mut self, key: &Key) {
        if let Some(before) = self.objects.remove(key) {
            self.changed(key, Some(&before), None);
        }
    }

    fn changed(&mut self, key: &Key, before: Option<&Object>, after: Option<&Object>) {
        let object = after.or(before).expect("a change has a before or an after");
        self.note(key, before, after);
        let is_same = |field: &str| match (before, after) {
            (Some(before), Some(after)) => match (before.field(field), after.field(field)) {
                (Some(a), Some(b)) => std::ptr::eq(a, b) || a == b,
                (a, b) => a.is_none() && b.is_none(),
            },
            _ => false,
        };
        if after.is_none() || self.is_born_orphaned(before, after) {
            self.wake(ENDPOINTS, Wake::Garbage);
        }
        if self.objects.has_any("PodDisruptionBudget")
            && matches!(key.kind, "Pod" | "PodDisruptionBudget" | "ReplicaSet" | "Deployment")
        {
            self.wake(ENDPOINTS, Wake::Budgets(key.namespace.clone()));
        }
        if self.objects.has_any("ResourceQuota") && !key.namespace.is_empty() {
            self.wake(ENDPOINTS, Wake::Quotas(key.namespace.clone()));
        }
        match key.kind {
            "Deployment" => {
                if after.is_none() {
                    self.hashes.remove(&object.metadata().uid);
                }
                if !is_same("spec") || before.map(Object::metadata) != after.map(Object::metadata) {
                    self.wake(CONTROLLER, Wake::Deployment(key.clone()));
                }
                self.wake(RULES, Wake::Rules);
            }
            "ReplicaSet" => {
                let generation = |object: &Object| object.metadata().generation;
                if !is_same("spec") || before.map(generation) != after.map(generation) {
                    self.wake(CONTROLLER, Wake::ReplicaSet(key.clone()));
                }
                self.wake_owner(object);
            }
            "Pod" => {
                let is_marked = |object: Option<&Object>| {
                    object.is_some_and(|object| object.metadata().deletion_timestamp.is_some())
                };
                let is_held = |object: Option<&Object>| {
                    object.is_some_and(|object| !object.metadata().finalizers.is_empty())
                };
                if after.is_none() {
                    self.pods.remove(&object.metadata().uid);
                } else if object.at("/spec/nodeName").is_none() {
                    self.wake(SCHEDULER, Wake::Scheduler(key.clone()));
                } else if !is_same("spec")
                    || is_marked(before) != is_marked(after)
                    || is_held(before) != is_held(after)
                {
                    self.wake(KUBELET, Wake::Kubelet(key.clone()));
                }
                self.wake_owner(object);
                self.wake_services(key, object);
                self.wake(RULES, Wake::Rules);
            }
            "Service" => {
                self.wake(ENDPOINTS, Wake::Endpoints(key.clone()));
                self.wake(TRAFFIC, Wake::Traffic);
            }
            "EndpointSlice" => {
                self.wake(TRAFFIC, Wake::Traffic);
                if let Some(service) = object.metadata().labels.get("kubernetes.io/service-name")
                    && after.is_none()
                {
                    let service = Key::new("Service", &key.namespace, service);
                    self.wake(ENDPOINTS, Wake::Endpoints(service));
                }
            }
            "CustomResourceDefinition" if after.is_some() => {
                self.wake(CONTROLLER, Wake::Definition(key.clone()))
            }
            "Namespace" if object.metadata().deletion_timestamp.is_some() => {
                self.wake(CONTROLLER, Wake::Namespace(key.clone()))
            }
            _ => {}
        }
    }

    /// Whether an object now names owners, and none of them is there.
    fn is_born_orphaned(&self, before: Option<&Object>, after: Option<&Object>) -> bool {
        let Some(after) = after else { return false };
        let owned_by = &after.metadata().owner_references;
        let is_there = |owner: &cluster::OwnerReference| {
            let kind = Kind::new(owner.api_version.clone(), owner.kind.clone());
            let namespace =
                if kind.is_cluster_scoped() { None } else { after.namespace() }.unwrap_or_default();
            served(&kind)
                .and_then(|kind| self.objects.get(&Key::new(kind, namespace, &owner.name)))
                .is_some_and(|found| found.metadata().uid == owner.uid)
        };
        !owned_by.is_empty()
            && before.is_none_or(|before| before.metadata().owner_references != *owned_by)
            && !owned_by.iter().any(is_there)
    }

    fn wake_owner(&mut self, object: &Object) {
        let Some(owner) = object.controller() else { return };
        let namespace = object.namespace().unwrap_or_default();
        match owner.kind.as_str() {
            "ReplicaSet" => self
                .wake(CONTROLLER, Wake::ReplicaSet(Key::new("ReplicaSet", namespace, &owner.name))),
            "Deployment" => self
                .wake(CONTROLLER, Wake::Deployment(Key::new("Deployment", namespace, &owner.name))),
            _ => {}
        }
    }

    fn wake_services(&mut self, pod: &Key, object: &Object) {
        let labels = &object.metadata().labels;
        let selecting = self.objects.of_kind("Service", Some(&pod.namespace));
        let selecting = selecting
            .filter(|service| Service::of(service).is_some_and(|service| service.selects(labels)));
        let names: Vec<String> = selecting.map(|service| service.name().to_string()).collect();
        for name in names {
            self.wake(ENDPOINTS, Wake::Endpoints(Key::new("Service", &pod.namespace, &name)));
        }
    }
}

/// A time as objects write it, in whole seconds.
pub(crate) fn written(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).expect("whole seconds of a time are a time").to_string()
}

/// Canonical JSON, or what is nearest to it where a number has no canonical form.
pub(crate) fn canonical(value: &Value) -> String {
    cluster::canonical_json(value).unwrap_or_else(|_| value.to_string())
}
