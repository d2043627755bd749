use std::collections::{BTreeMap, VecDeque};

use cluster::{EndpointSlice, Object, Service};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{RULES, World};

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

    fn change(&mut self, now: Timestamp, per_minute: f64, failing: f64, why: &'static str) {
        self.why = why;
        if self.per_minute == per_minute && self.failing == failing {
            return;
        }
        (self.total, self.errors) = self.sums(now);
        self.past.push_back((self.since, self.per_minute, self.failing));
        if self.past.len() > PAST {
            self.past.pop_front();
        }
        (self.since, self.per_minute, self.failing) = (now, per_minute, failing);
    }
}

impl World {
    /// Works out anew who asks whom and what comes of it.
    pub(crate) fn reroute(&mut self) {
        let mut wanted: BTreeMap<Route, (u16, f64)> = BTreeMap::new();
        for visitors in self.visitors.iter() {
            let route =
                (visitors.client.clone(), visitors.namespace.clone(), visitors.service.clone());
            wanted.insert(route, (visitors.port, visitors.requests_per_minute));
        }
        for pod in self.objects.of_kind("Pod", None) {
            let is_ready =
                cluster::Pod::of(pod).is_some_and(|pod| pod.is_ready() && !pod.is_terminating());
            let Some(runtime) = self.pods.get(&pod.metadata().uid).filter(|_| is_ready) else {
                continue;
            };
            let (client, namespace) = (self.workload_of(pod), pod.namespace().unwrap_or_default());
            for call in runtime.serving(self.now).flat_map(|behaviour| &behaviour.calls) {
                let route = (client.clone(), namespace.to_string(), call.service.clone());
                wanted.insert(route, (call.port, call.requests_per_minute));
            }
        }
        let now = self.now;
        let mut flows: Vec<(Route, f64, f64, &'static str)> = Vec::new();
        for (route, (port, per_minute)) in &wanted {
            let (failing, why) = self.failing(&route.1, &route.2, *port);
            flows.push((route.clone(), *per_minute, failing, why));
        }
        for (route, flow) in &mut self.traffic {
            if !wanted.contains_key(route) {
                flow.change(now, 0.0, 0.0, "");
            }
        }
        for (route, per_minute, failing, why) in flows {
            let flow = self.traffic.entry(route).or_insert_with(|| Flow {
                per_minute,
                failing,
                why,
                since: now,
                total: 0.0,
                errors: 0.0,
                past: VecDeque::new(),
            });
            flow.change(now, per_minute, failing, why);
        }
        self.wake(RULES, Wake::Rules);
    }

    /// Which share of the requests to a Service's port fails now, and why.
    pub(crate) fn failing(&self, namespace: &str, service: &str, port: u16) -> (f64, &'static str) {
        let Some(object) = self.objects.get(&Key::new("Service", namespace, service)) else {
            return (1.0, "no such host");
        };
        let Some(wanted) = Service::of(object)
            .and_then(|service| service.ports().find(|known| known.port == port))
        else {
            return (1.0, "connect: connection timed out");
        };
        let (mut ready, mut well) = (0_u32, 0_u32);
        let slices =
            self.objects.of_kind("EndpointSlice", Some(namespace)).filter_map(EndpointSlice::of);
        for slice in slices.filter(|slice| slice.service() == Some(service)) {
            let target =
                slice.ports().find(|(name, _)| *name == wanted.name).map(|(_, number)| number);
            for endpoint in slice.endpoints().filter(cluster::Endpoint::is_ready) {
                ready += 1;
                let pod = endpoint
                    .pod()
                    .and_then(|name| self.objects.get(&Key::new("Pod", namespace, name)));
                let runtime = pod.and_then(|pod| self.pods.get(&pod.metadata().uid));
                well += u32::from(target.is_some_and(|port| {
                    runtime.is_some_and(|runtime| runtime.listens_on(port, self.now))
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
