use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::{EndpointSlice, Object, Service};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use workflow::duration::Span;

use crate::behaviour::Behaviour;
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{RULES, TRAFFIC, World};

/// Requests from outside the world to one of its Services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Visitors {
    /// Who asks, as metrics name it.
    pub client: String,
    /// Namespace of the Service.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// Requests a minute.
    pub requests_per_minute: f64,
}

/// How all traffic of a world rises and falls, in equal steps up and down again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rhythm {
    /// How often it changes.
    pub every: Span,
    /// From one low to the next.
    pub over: Span,
    /// By what requests a minute are multiplied when least is going on.
    pub from: f64,
    /// By what when most is.
    pub to: f64,
}

impl Rhythm {
    /// By what requests a minute are multiplied, so long after the start of the world.
    pub(crate) fn factor(&self, elapsed: SignedDuration) -> f64 {
        let (every, over) = (self.every.signed().as_millis(), self.over.signed().as_millis());
        let begun = elapsed.as_millis() / every * every;
        let share = (begun % over) as f64 / over as f64;
        let height = 1.0 - (1.0 - 2.0 * share).abs();
        self.from + (self.to - self.from) * height
    }
}

/// Who asks whom: client, namespace and name of the Service.
pub(crate) type Route = (String, String, String);

/// How much flows on one route, and how much of it fails. Constant until something in the cluster changes, so that its
/// sums are worked out only then.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flow {
    pub(crate) per_minute: f64,
    pub(crate) failing: f64,
    /// Why what fails fails, for logs.
    pub(crate) why: &'static str,
    since: Timestamp,
    total: f64,
    errors: f64,
    /// Earlier values, latest last: since when, per minute, failing.
    past: VecDeque<(Timestamp, f64, f64)>,
}

/// What is asked on one route while nothing in its namespace changes.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    route: Route,
    /// Requests a minute, before the rhythm of the world.
    per_minute: f64,
    failing: f64,
    why: &'static str,
}

/// The routes of each namespace. They follow from the state of the world and are no part of it.
pub(crate) type Routes = BTreeMap<Arc<str>, Arc<Vec<Asked>>>;

/// How many earlier values of a route are kept for averages.
const PAST: usize = 64;

/// All routes.
pub(crate) type Traffic = BTreeMap<Route, Flow>;

impl Flow {
    /// Requests so far, and how many of them failed.
    pub(crate) fn sums(&self, now: Timestamp) -> (f64, f64) {
        let minutes = now.duration_since(self.since).as_secs_f64() / 60.0;
        let requests = self.per_minute * minutes;
        (self.total + requests, self.errors + requests * self.failing)
    }

    /// Requests and failures between `from` and `now`, as far back as is remembered.
    pub(crate) fn between(&self, from: Timestamp, now: Timestamp) -> (f64, f64) {
        let current = (self.since, self.per_minute, self.failing);
        let (mut requests, mut errors, mut end) = (0.0, 0.0, now);
        for (since, per_minute, failing) in std::iter::once(&current).chain(self.past.iter().rev())
        {
            let begin = (*since).max(from);
            if begin < end {
                let part = per_minute * end.duration_since(begin).as_secs_f64() / 60.0;
                requests += part;
                errors += part * failing;
                end = begin;
            }
        }
        (requests, errors)
    }

    fn new(now: Timestamp, per_minute: f64, failing: f64, why: &'static str) -> Self {
        let past = VecDeque::new();
        Self { per_minute, failing, why, since: now, total: 0.0, errors: 0.0, past }
    }

    /// Whether what flows is another now.
    fn change(&mut self, now: Timestamp, per_minute: f64, failing: f64, why: &'static str) -> bool {
        self.why = why;
        if self.per_minute == per_minute && self.failing == failing {
            return false;
        }
        (self.total, self.errors) = self.sums(now);
        self.past.push_back((self.since, self.per_minute, self.failing));
        if self.past.len() > PAST {
            self.past.pop_front();
        }
        (self.since, self.per_minute, self.failing) = (now, per_minute, failing);
        true
    }
}

impl World {
    /// What a Service is asked now by all its clients, in requests a minute.
    pub fn requests_per_minute(&self, namespace: &str, service: &str) -> f64 {
        let own = self.traffic.iter().filter(|((_, at, of), _)| at == namespace && of == service);
        own.map(|(_, flow)| flow.per_minute).sum()
    }

    /// The next step of the rise and fall of all traffic.
    pub(crate) fn rise_and_fall(&mut self) {
        let Some(rhythm) = self.rhythm.clone() else { return };
        let elapsed = self.now.duration_since(self.born);
        self.factor = rhythm.factor(elapsed);
        self.stale.rates = true;
        self.wake(TRAFFIC, Wake::Traffic);
        let every = rhythm.every.signed();
        let steps = elapsed.as_millis() / every.as_millis() + 1;
        self.wake_at(self.born + every * i32::try_from(steps).unwrap_or(i32::MAX), Wake::Rhythm);
    }

    /// Works out anew who asks whom and what comes of it, wherever something changed.
    pub(crate) fn reroute(&mut self) {
        let mut stale = std::mem::take(&mut self.stale.routed);
        if self.skips_nothing() {
            stale.extend(self.objects.of_kind("Namespace", None).map(|one| one.name().into()));
            stale.extend(self.routes.keys().cloned());
        }
        let mut has_changed = false;
        for namespace in &stale {
            has_changed |= self.reroute_namespace(namespace);
        }
        if std::mem::take(&mut self.stale.rates) || self.skips_nothing() {
            let (now, factor) = (self.now, self.factor);
            for asked in self.routes.values().flat_map(|routes| routes.iter()) {
                if let Some(flow) = self.traffic.get_mut(&asked.route) {
                    has_changed |=
                        flow.change(now, asked.per_minute * factor, asked.failing, asked.why);
                }
            }
        }
        self.stale.flows |= has_changed;
        if has_changed || !self.is_uncalled {
            self.wake(RULES, Wake::Rules);
        }
    }

    /// Works out who asks whom in one namespace; whether anything flows otherwise than before.
    fn reroute_namespace(&mut self, namespace: &Arc<str>) -> bool {
        let wanted = self.wanted_in(namespace);
        let fates = self.fates(namespace, &wanted);
        let (now, factor) = (self.now, self.factor);
        let mut has_changed = false;
        if let Some(before) = self.routes.get(namespace) {
            for asked in before.iter().filter(|asked| !wanted.contains_key(&asked.route)) {
                if let Some(flow) = self.traffic.get_mut(&asked.route) {
                    has_changed |= flow.change(now, 0.0, 0.0, "");
                }
            }
        }
        let mut routes = Vec::with_capacity(wanted.len());
        for ((route, (_, per_minute)), (failing, why)) in wanted.into_iter().zip(fates) {
            match self.traffic.get_mut(&route) {
                Some(flow) => has_changed |= flow.change(now, per_minute * factor, failing, why),
                None => {
                    let flow = Flow::new(now, per_minute * factor, failing, why);
                    self.traffic.insert(route.clone(), flow);
                    has_changed = true;
                }
            }
            routes.push(Asked { route, per_minute, failing, why });
        }
        self.routes.insert(namespace.clone(), Arc::new(routes));
        has_changed
    }

    /// Who asks whom in one namespace: the port, and requests a minute before the rhythm of the world.
    fn wanted_in(&self, namespace: &Arc<str>) -> BTreeMap<Route, (u16, f64)> {
        let mut wanted: BTreeMap<Route, (u16, f64)> = BTreeMap::new();
        for visitors in self.visitors.iter().filter(|one| one.namespace == **namespace) {
            let route =
                (visitors.client.clone(), visitors.namespace.clone(), visitors.service.clone());
            wanted.insert(route, (visitors.port, visitors.requests_per_minute));
        }
        // Pods of one workload follow one another and ask the same: once is enough.
        let mut last: Option<(String, *const Behaviour)> = None;
        for pod in self.objects.of_kind("Pod", Some(namespace)) {
            let Some(runtime) = self.pods.get(&pod.metadata().uid) else { continue };
            let mut asking =
                runtime.serving().filter(|behaviour| !behaviour.calls.is_empty()).peekable();
            if asking.peek().is_none()
                || !cluster::Pod::of(pod).is_some_and(|pod| pod.is_ready() && !pod.is_terminating())
            {
                continue;
            }
            let client = self.workload_of(pod);
            for behaviour in asking {
                let program = Arc::as_ptr(behaviour);
                if last.as_ref().is_some_and(|(name, known)| *name == client && *known == program) {
                    continue;
                }
                for call in &behaviour.calls {
                    let route = (client.clone(), namespace.to_string(), call.service.clone());
                    wanted.insert(route, (call.port, call.requests_per_minute));
                }
                last = Some((client.clone(), program));
            }
        }
        wanted
    }

    /// Which share fails of what is asked on each of `wanted`, and why.
    fn fates(
        &self,
        namespace: &str,
        wanted: &BTreeMap<Route, (u16, f64)>,
    ) -> Vec<(f64, &'static str)> {
        let mut slices: BTreeMap<&str, Vec<EndpointSlice<'_>>> = BTreeMap::new();
        for object in self.objects.of_kind("EndpointSlice", Some(namespace)) {
            let slice = EndpointSlice::of(object);
            if let Some((slice, service)) = slice.and_then(|slice| Some((slice, slice.service()?)))
            {
                slices.entry(service).or_default().push(slice);
            }
        }
        let mut known: BTreeMap<(&str, u16), (f64, &'static str)> = BTreeMap::new();
        let fate = |((_, _, service), (port, _)): (&'_ Route, &(u16, f64))| {
            let own = slices.get(service.as_str()).map_or(&[][..], Vec::as_slice);
            self.fate(namespace, service, *port, own)
        };
        wanted
            .iter()
            .map(|(route, asked)| {
                *known.entry((&route.2, asked.0)).or_insert_with(|| fate((route, asked)))
            })
            .collect()
    }

    /// Which share of the requests to a Service's port fails now, and why.
    fn fate(
        &self,
        namespace: &str,
        service: &str,
        port: u16,
        slices: &[EndpointSlice<'_>],
    ) -> (f64, &'static str) {
        let Some(object) = self.objects.get(&Key::new("Service", namespace, service)) else {
            return (1.0, "no such host");
        };
        let Some(wanted) = Service::of(object)
            .and_then(|service| service.ports().find(|known| known.port == port))
        else {
            return (1.0, "connect: connection timed out");
        };
        let (mut ready, mut well) = (0_u32, 0_u32);
        for slice in slices {
            let target =
                slice.ports().find(|(name, _)| *name == wanted.name).map(|(_, number)| number);
            for endpoint in slice.endpoints().filter(cluster::Endpoint::is_ready) {
                ready += 1;
                let pod = endpoint
                    .pod()
                    .and_then(|name| self.objects.get(&Key::new("Pod", namespace, name)));
                let runtime = pod.and_then(|pod| self.pods.get(&pod.metadata().uid));
                well +=
                    u32::from(target.is_some_and(|port| {
                        runtime.is_some_and(|runtime| runtime.listens_on(port))
                    }));
            }
        }
        match (ready, well) {
            (0, _) => (1.0, "connect: no endpoints available for service"),
            (ready, well) if ready == well => (0.0, ""),
            (ready, well) => {
                (f64::from(ready - well) / f64::from(ready), "connect: connection refused")
            }
        }
    }

    /// Name of the Deployment behind a pod, or of the pod if none is.
    pub(crate) fn workload_of(&self, pod: &Object) -> String {
        let namespace = pod.namespace().unwrap_or_default();
        let set = pod
            .controller()
            .and_then(|owner| self.objects.get(&Key::new("ReplicaSet", namespace, &owner.name)));
        set.and_then(Object::controller).map_or(pod.name(), |owner| owner.name.as_str()).to_string()
    }
}
