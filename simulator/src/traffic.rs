use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::{EndpointSlice, Object, Service};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use workflow::duration::Duration;

use crate::behaviour::Behaviour;
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::{RULES_DELAY, TRAFFIC_DELAY, World};

/// Requests from outside the cluster to one of its Services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTraffic {
    /// Name of the client, as in the label `client` of the metrics.
    pub client: String,
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Port of the Service.
    pub port: u16,
    pub requests_per_minute: f64,
}

/// Periodic variation of all traffic: a triangle wave between two factors, sampled at equal steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficPattern {
    /// Time between two changes of the factor.
    pub step: Duration,
    /// Time from one minimum to the next.
    pub period: Duration,
    /// Factor on the requests per minute at the minimum.
    pub min_factor: f64,
    /// Factor on the requests per minute at the maximum.
    pub max_factor: f64,
}

impl TrafficPattern {
    /// Returns the factor on the requests per minute, `elapsed` after the start of the world.
    pub(crate) fn factor(&self, elapsed: SignedDuration) -> f64 {
        let (step, period) = (self.step.signed().as_millis(), self.period.signed().as_millis());
        let step_start = elapsed.as_millis() / step * step;
        let share = (step_start % period) as f64 / period as f64;
        let height = 1.0 - (1.0 - 2.0 * share).abs();
        self.min_factor + (self.max_factor - self.min_factor) * height
    }
}

/// Client, namespace of the Service, name of the Service.
pub(crate) type RouteKey = (String, String, String);

/// Request rate and failure rate of one route. Both are constant until something in the cluster changes, so the sums
/// are computed only on changes and on reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flow {
    pub(crate) per_minute: f64,
    pub(crate) failure_rate: f64,
    /// Error of the failure_rate requests, for the client's logs.
    pub(crate) error: &'static str,
    since: Timestamp,
    total: f64,
    errors: f64,
    /// Earlier values, latest last: start, requests per minute, failure rate.
    history: VecDeque<(Timestamp, f64, f64)>,
}

/// Demand on one route. Constant while nothing in its namespace changes.
#[derive(Clone, Debug)]
pub(crate) struct RouteDemand {
    route: RouteKey,
    /// Requests per minute, before the factor of the [`TrafficPattern`].
    per_minute: f64,
    failure_rate: f64,
    error: &'static str,
}

/// Routes by namespace: a cache derived from the state of the world, not part of that state.
pub(crate) type Routes = BTreeMap<Arc<str>, Arc<Vec<RouteDemand>>>;

/// Number of earlier values that a route keeps for averages.
const HISTORY_LEN: usize = 64;

/// Current flow of every route.
pub(crate) type Traffic = BTreeMap<RouteKey, Flow>;

impl Flow {
    /// Returns the numbers of requests and failed requests so far.
    pub(crate) fn sums(&self, now: Timestamp) -> (f64, f64) {
        let minutes = now.duration_since(self.since).as_secs_f64() / 60.0;
        let requests = self.per_minute * minutes;
        (self.total + requests, self.errors + requests * self.failure_rate)
    }

    /// Returns the numbers of requests and failed requests between `from` and `now`, within [`HISTORY_LEN`] changes.
    pub(crate) fn sums_since(&self, from: Timestamp, now: Timestamp) -> (f64, f64) {
        let current = (self.since, self.per_minute, self.failure_rate);
        let (mut requests, mut errors, mut end) = (0.0, 0.0, now);
        for (since, per_minute, failure_rate) in
            std::iter::once(&current).chain(self.history.iter().rev())
        {
            let start = (*since).max(from);
            if start < end {
                let part = per_minute * end.duration_since(start).as_secs_f64() / 60.0;
                requests += part;
                errors += part * failure_rate;
                end = start;
            }
        }
        (requests, errors)
    }

    fn new(now: Timestamp, per_minute: f64, failure_rate: f64, error: &'static str) -> Self {
        let history = VecDeque::new();
        Self { per_minute, failure_rate, error, since: now, total: 0.0, errors: 0.0, history }
    }

    /// Sets the current rates. Returns whether one of them changed.
    fn update(
        &mut self,
        now: Timestamp,
        per_minute: f64,
        failure_rate: f64,
        error: &'static str,
    ) -> bool {
        self.error = error;
        if self.per_minute == per_minute && self.failure_rate == failure_rate {
            return false;
        }
        (self.total, self.errors) = self.sums(now);
        self.history.push_back((self.since, self.per_minute, self.failure_rate));
        if self.history.len() > HISTORY_LEN {
            self.history.pop_front();
        }
        (self.since, self.per_minute, self.failure_rate) = (now, per_minute, failure_rate);
        true
    }
}

impl World {
    /// Returns the current requests per minute from all clients of a Service.
    pub fn requests_per_minute(&self, namespace: &str, service: &str) -> f64 {
        let own = self.traffic.iter().filter(|((_, at, of), _)| at == namespace && of == service);
        own.map(|(_, flow)| flow.per_minute).sum()
    }

    /// Applies the current step of the [`TrafficPattern`] and schedules the next.
    pub(crate) fn update_traffic(&mut self) {
        let Some(pattern) = self.traffic_pattern.clone() else { return };
        let elapsed = self.now.duration_since(self.started_at);
        self.factor = pattern.factor(elapsed);
        self.dirty.rates = true;
        self.set_timer(TRAFFIC_DELAY, Timer::Traffic);
        let every = pattern.step.signed();
        let steps = elapsed.as_millis() / every.as_millis() + 1;
        self.set_timer_at(
            self.started_at + every * i32::try_from(steps).unwrap_or(i32::MAX),
            Timer::TrafficPattern,
        );
    }

    /// Recomputes the routes and their failure rates in every changed namespace.
    pub(crate) fn recompute_routes(&mut self) {
        let mut changed = std::mem::take(&mut self.dirty.namespaces);
        if self.is_every_tick() {
            changed.extend(self.objects.of_kind("Namespace", None).map(|one| one.name().into()));
            changed.extend(self.routes.keys().cloned());
        }
        let mut has_changed = false;
        for namespace in &changed {
            has_changed |= self.recompute_namespace_routes(namespace);
        }
        if std::mem::take(&mut self.dirty.rates) || self.is_every_tick() {
            let (now, factor) = (self.now, self.factor);
            for route_demand in self.routes.values().flat_map(|routes| routes.iter()) {
                if let Some(flow) = self.traffic.get_mut(&route_demand.route) {
                    has_changed |= flow.update(
                        now,
                        route_demand.per_minute * factor,
                        route_demand.failure_rate,
                        route_demand.error,
                    );
                }
            }
        }
        self.dirty.flows |= has_changed;
        if has_changed || !self.is_idle {
            self.set_timer(RULES_DELAY, Timer::Rules);
        }
    }

    /// Recomputes the routes of one namespace. Returns whether a flow changed.
    fn recompute_namespace_routes(&mut self, namespace: &Arc<str>) -> bool {
        let demand = self.demand_in(namespace);
        let rates = self.failure_rates(namespace, &demand);
        let (now, factor) = (self.now, self.factor);
        let mut has_changed = false;
        if let Some(before) = self.routes.get(namespace) {
            for route_demand in
                before.iter().filter(|route_demand| !demand.contains_key(&route_demand.route))
            {
                if let Some(flow) = self.traffic.get_mut(&route_demand.route) {
                    has_changed |= flow.update(now, 0.0, 0.0, "");
                }
            }
        }
        let mut routes = Vec::with_capacity(demand.len());
        for ((route, (_, per_minute)), (failure_rate, error)) in demand.into_iter().zip(rates) {
            match self.traffic.get_mut(&route) {
                Some(flow) => {
                    has_changed |= flow.update(now, per_minute * factor, failure_rate, error)
                }
                None => {
                    let flow = Flow::new(now, per_minute * factor, failure_rate, error);
                    self.traffic.insert(route.clone(), flow);
                    has_changed = true;
                }
            }
            routes.push(RouteDemand { route, per_minute, failure_rate, error });
        }
        self.routes.insert(namespace.clone(), Arc::new(routes));
        has_changed
    }

    /// Returns the demand on every route of one namespace: port, and requests per minute before the factor of the
    /// [`TrafficPattern`].
    fn demand_in(&self, namespace: &Arc<str>) -> BTreeMap<RouteKey, (u16, f64)> {
        let mut demand: BTreeMap<RouteKey, (u16, f64)> = BTreeMap::new();
        for traffic in self.client_traffic.iter().filter(|one| one.namespace == **namespace) {
            let route =
                (traffic.client.clone(), traffic.namespace.clone(), traffic.service.clone());
            demand.insert(route, (traffic.port, traffic.requests_per_minute));
        }
        // Pods of one workload are adjacent in the list and call the same Services, so one of them is enough.
        let mut last: Option<(String, *const Behaviour)> = None;
        for pod in self.objects.of_kind("Pod", Some(namespace)) {
            let Some(runtime) = self.pods.get(&pod.metadata().uid) else { continue };
            let mut callers =
                runtime.serving().filter(|behaviour| !behaviour.calls.is_empty()).peekable();
            if callers.peek().is_none()
                || !cluster::Pod::of(pod).is_some_and(|pod| pod.is_ready() && !pod.is_terminating())
            {
                continue;
            }
            let client = self.workload_of(pod);
            for behaviour in callers {
                let program = Arc::as_ptr(behaviour);
                if last.as_ref().is_some_and(|(name, called)| *name == client && *called == program)
                {
                    continue;
                }
                for call in &behaviour.calls {
                    let route = (client.clone(), namespace.to_string(), call.service.clone());
                    demand.insert(route, (call.port, call.requests_per_minute));
                }
                last = Some((client.clone(), program));
            }
        }
        demand
    }

    /// Returns the failure rate and the error of each route in `demand`.
    fn failure_rates(
        &self,
        namespace: &str,
        demand: &BTreeMap<RouteKey, (u16, f64)>,
    ) -> Vec<(f64, &'static str)> {
        let mut slices: BTreeMap<&str, Vec<EndpointSlice<'_>>> = BTreeMap::new();
        for object in self.objects.of_kind("EndpointSlice", Some(namespace)) {
            let slice = EndpointSlice::of(object);
            if let Some((slice, service)) = slice.and_then(|slice| Some((slice, slice.service()?)))
            {
                slices.entry(service).or_default().push(slice);
            }
        }
        let mut cached: BTreeMap<(&str, u16), (f64, &'static str)> = BTreeMap::new();
        let compute = |((_, _, service), (port, _)): (&'_ RouteKey, &(u16, f64))| {
            let own = slices.get(service.as_str()).map_or(&[][..], Vec::as_slice);
            self.failure_rate(namespace, service, *port, own)
        };
        demand
            .iter()
            .map(|(route, port_demand)| {
                *cached
                    .entry((&route.2, port_demand.0))
                    .or_insert_with(|| compute((route, port_demand)))
            })
            .collect()
    }

    /// Returns the current failure rate of requests to a Service's port, and their error.
    fn failure_rate(
        &self,
        namespace: &str,
        service: &str,
        port: u16,
        slices: &[EndpointSlice<'_>],
    ) -> (f64, &'static str) {
        let Some(object) = self.objects.get(&Key::new("Service", namespace, service)) else {
            return (1.0, "no such host");
        };
        let Some(service_port) = Service::of(object)
            .and_then(|service| service.ports().find(|candidate| candidate.port == port))
        else {
            return (1.0, "connect: connection timed out");
        };
        let (mut ready, mut reachable) = (0_u32, 0_u32);
        for slice in slices {
            let target = slice
                .ports()
                .find(|(name, _)| *name == service_port.name)
                .map(|(_, number)| number);
            for endpoint in slice.endpoints().filter(cluster::Endpoint::is_ready) {
                ready += 1;
                let pod = endpoint
                    .pod()
                    .and_then(|name| self.objects.get(&Key::new("Pod", namespace, name)));
                let runtime = pod.and_then(|pod| self.pods.get(&pod.metadata().uid));
                reachable +=
                    u32::from(target.is_some_and(|port| {
                        runtime.is_some_and(|runtime| runtime.listens_on(port))
                    }));
            }
        }
        match (ready, reachable) {
            (0, _) => (1.0, "connect: no endpoints available for service"),
            (ready, reachable) if ready == reachable => (0.0, ""),
            (ready, reachable) => {
                (f64::from(ready - reachable) / f64::from(ready), "connect: connection refused")
            }
        }
    }

    /// Returns the name of the Deployment that owns the pod, or of the pod if none does.
    pub(crate) fn workload_of(&self, pod: &Object) -> String {
        let namespace = pod.namespace().unwrap_or_default();
        let set = pod
            .controller()
            .and_then(|owner| self.objects.get(&Key::new("ReplicaSet", namespace, &owner.name)));
        set.and_then(Object::controller).map_or(pod.name(), |owner| owner.name.as_str()).to_string()
    }
}
