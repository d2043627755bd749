use std::collections::BTreeMap;

use cluster::{Condition, Deployment, EndpointSlice, Object, Pod, Sample, Service};
use jiff::SignedDuration;

use crate::kubelet::ContainerRuntime;
use crate::world::World;

/// Takes one series: its labels and its value.
pub(crate) type Take<'a> = dyn FnMut(&[(&str, &str)], f64) + 'a;

/// The job that kube-state-metrics' series name.
const STATE: (&str, &str) = ("job", "kube-state-metrics");

/// Every metric that is measured.
pub(crate) const METRICS: [&str; 22] = [
    "kube_deployment_spec_replicas",
    "kube_deployment_status_replicas",
    "kube_deployment_status_replicas_available",
    "kube_deployment_status_replicas_ready",
    "kube_deployment_status_replicas_updated",
    "kube_deployment_metadata_generation",
    "kube_deployment_status_observed_generation",
    "kube_deployment_status_condition",
    "kube_pod_container_status_restarts_total",
    "kube_pod_container_status_ready",
    "kube_pod_container_status_waiting_reason",
    "kube_pod_container_status_last_terminated_reason",
    "kube_pod_container_resource_limits",
    "kube_pod_status_ready",
    "kube_pod_status_phase",
    "container_memory_working_set_bytes",
    "kube_service_endpoints_ready",
    "http_requests_total",
    "http_request_error_ratio",
    "http_client_error_ratio",
    "http_requests_per_second",
    "http_requests_received_per_second",
];

/// How the series of containers' states begin.
const CONTAINERS: &str = "kube_pod_container_";

/// What the series of a metric speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Each of one object of this kind, and only what is stored of it or held by its node: they change when that does.
    Object(&'static str),
    /// Memory, which grows with time.
    Memory,
    /// The ready endpoints of Services.
    Endpoints,
    /// Requests so far, which grow with time.
    Totals,
    /// What flows between services now.
    Flows,
    /// There is no such metric.
    Nothing,
}

impl Subject {
    pub(crate) fn of(metric: &str) -> Self {
        match metric {
            name if name.starts_with("kube_deployment_") => Self::Object("Deployment"),
            name if name.starts_with("kube_pod_") => Self::Object("Pod"),
            "container_memory_working_set_bytes" => Self::Memory,
            "kube_service_endpoints_ready" => Self::Endpoints,
            "http_requests_total" => Self::Totals,
            name if name.starts_with("http_") => Self::Flows,
            _ => Self::Nothing,
        }
    }
}

fn number(claim: bool) -> f64 {
    f64::from(u8::from(claim))
}

impl World {
    /// The samples of a metric now, worked out from the state of the world; of rates and ratios the average over the
    /// last `window_seconds`.
    ///
    /// In order of their labels; empty for a metric that is not measured.
    pub(crate) fn samples(&self, metric: &str, window_seconds: u32) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.measure(metric, window_seconds, &mut |labels, value| {
            let labels =
                labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            samples.push(Sample { labels, at: self.now, value });
        });
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        samples
    }

    /// Gives every series of a metric to `take`, in no order that means anything.
    pub(crate) fn measure(&self, metric: &str, window_seconds: u32, take: &mut Take<'_>) {
        match Subject::of(metric) {
            Subject::Object(kind) => {
                for object in self.objects.of_kind(kind, None) {
                    self.measure_object(metric, object, take);
                }
            }
            Subject::Memory => self.measure_memory(take),
            Subject::Endpoints => self.measure_endpoints(take),
            Subject::Totals => self.measure_totals(take),
            Subject::Flows => self.measure_requests(metric, window_seconds, take),
            Subject::Nothing => {}
        }
    }

    /// Gives every series of a metric that speaks of one object.
    pub(crate) fn measure_object(&self, metric: &str, object: &Object, take: &mut Take<'_>) {
        match object.kind().kind.as_str() {
            "Deployment" => measure_deployment(metric, object, take),
            "Pod" if metric.starts_with(CONTAINERS) => {
                self.measure_containers(metric, object, take)
            }
            "Pod" => measure_pod(metric, object, take),
            _ => {}
        }
    }

    fn measure_containers(&self, metric: &str, object: &Object, take: &mut Take<'_>) {
        let Some(pod) = Pod::of(object) else { return };
        for container in self.containers_of(object) {
            let base = [
                ("namespace", object.namespace().unwrap_or_default()),
                ("pod", object.name()),
                STATE,
                ("container", container.name.as_str()),
            ];
            let status = || pod.statuses().find(|status| status.name() == container.name);
            let (reason, value) = match metric {
                "kube_pod_container_status_restarts_total" => (None, f64::from(container.restarts)),
                "kube_pod_container_status_ready" => {
                    (None, number(status().is_some_and(|status| status.is_ready())))
                }
                "kube_pod_container_status_waiting_reason" => {
                    match status().and_then(|status| status.waiting_reason()) {
                        Some(reason) => (Some(reason), 1.0),
                        None => continue,
                    }
                }
                "kube_pod_container_status_last_terminated_reason" => match &container.last {
                    Some(ended) => (Some(ended.reason), 1.0),
                    None => continue,
                },
                "kube_pod_container_resource_limits" => {
                    let spec = pod.containers().find(|spec| spec.name() == container.name);
                    if let Some(limit) = spec.and_then(|spec| spec.limit("memory")) {
                        take(
                            &[
                                base[0],
                                base[1],
                                STATE,
                                base[3],
                                ("resource", "memory"),
                                ("unit", "byte"),
                            ],
                            limit.value(),
                        );
                    }
                    continue;
                }
                _ => return,
            };
            match reason {
                Some(reason) => {
                    take(&[base[0], base[1], STATE, base[3], ("reason", reason)], value)
                }
                None => take(&base, value),
            }
        }
    }

    /// The containers that a node holds of a pod.
    fn containers_of(&self, pod: &Object) -> impl Iterator<Item = &ContainerRuntime> {
        let runtime = self.pods.get(&pod.metadata().uid);
        runtime.into_iter().flat_map(|runtime| &runtime.containers)
    }

    fn measure_memory(&self, take: &mut Take<'_>) {
        for pod in self.objects.of_kind("Pod", None) {
            for container in self.containers_of(pod) {
                let Some(running) = container.running() else { continue };
                let labels = [
                    ("namespace", pod.namespace().unwrap_or_default()),
                    ("pod", pod.name()),
                    ("container", container.name.as_str()),
                    ("job", "kubelet"),
                ];
                take(&labels, running.memory(self.now).floor());
            }
        }
    }

    fn measure_endpoints(&self, take: &mut Take<'_>) {
        for service in self.objects.of_kind("Service", None) {
            let namespace = service.namespace().unwrap_or_default();
            let slices = self
                .objects
                .of_kind("EndpointSlice", Some(namespace))
                .filter_map(EndpointSlice::of);
            let own = slices.filter(|slice| {
                slice.service() == Some(service.name()) && Service::of(service).is_some()
            });
            let ready: usize = own
                .map(|slice| slice.endpoints().filter(cluster::Endpoint::is_ready).count())
                .sum();
            take(&[("namespace", namespace), ("service", service.name()), STATE], ready as f64);
        }
    }

    fn measure_totals(&self, take: &mut Take<'_>) {
        for ((client, namespace, service), flow) in &self.traffic {
            let (total, errors) = flow.sums(self.now);
            for (code, count) in [("200", total - errors), ("503", errors)] {
                take(
                    &[
                        ("namespace", namespace),
                        ("service", service),
                        ("client", client),
                        ("code", code),
                    ],
                    count.floor(),
                );
            }
        }
    }

    /// Requests as their clients measure them; those of `http_requests_received_…` as the Service's pods do.
    fn measure_requests(&self, metric: &str, window_seconds: u32, take: &mut Take<'_>) {
        let window = SignedDuration::from_secs(i64::from(window_seconds));
        let is_by_client = metric == "http_client_error_ratio";
        let mut sums: BTreeMap<(&str, &str, &str), (f64, f64)> = BTreeMap::new();
        for ((client, namespace, service), flow) in &self.traffic {
            let (requests, errors) = if window.is_zero() {
                (flow.per_minute / 60.0, flow.per_minute / 60.0 * flow.failing)
            } else {
                let (requests, errors) = flow.between(self.now - window, self.now);
                (requests / f64::from(window_seconds), errors / f64::from(window_seconds))
            };
            let sum = sums
                .entry((namespace, service, if is_by_client { client } else { "" }))
                .or_default();
            (sum.0, sum.1) = (sum.0 + requests, sum.1 + errors);
        }
        for ((namespace, service, client), (requests, errors)) in sums {
            let value = match metric {
                "http_request_error_ratio" | "http_client_error_ratio" if requests > 0.0 => {
                    errors / requests
                }
                "http_requests_per_second" => requests,
                "http_requests_received_per_second" => requests - errors,
                _ => continue,
            };
            let labels = [("namespace", namespace), ("service", service), ("client", client)];
            take(if is_by_client { &labels } else { &labels[..2] }, value);
        }
    }
}

fn measure_deployment(metric: &str, object: &Object, take: &mut Take<'_>) {
    let Some(deployment) = Deployment::of(object) else { return };
    let base = [
        ("namespace", object.namespace().unwrap_or_default()),
        ("deployment", object.name()),
        STATE,
    ];
    let value = match metric {
        "kube_deployment_spec_replicas" => f64::from(deployment.replicas()),
        "kube_deployment_status_replicas" => f64::from(deployment.current()),
        "kube_deployment_status_replicas_available" => f64::from(deployment.available()),
        "kube_deployment_status_replicas_ready" => f64::from(deployment.ready()),
        "kube_deployment_status_replicas_updated" => f64::from(deployment.updated()),
        "kube_deployment_metadata_generation" => object.metadata().generation as f64,
        "kube_deployment_status_observed_generation" => deployment.observed_generation() as f64,
        "kube_deployment_status_condition" => {
            for condition in Condition::all_of(object) {
                let now =
                    condition.holds.map_or("unknown", |holds| if holds { "true" } else { "false" });
                for status in ["true", "false", "unknown"] {
                    let own = [("condition", condition.kind), ("status", status)];
                    take(&[base[0], base[1], STATE, own[0], own[1]], number(status == now));
                }
            }
            return;
        }
        _ => return,
    };
    take(&base, value);
}

fn measure_pod(metric: &str, object: &Object, take: &mut Take<'_>) {
    let Some(pod) = Pod::of(object) else { return };
    let base =
        [("namespace", object.namespace().unwrap_or_default()), ("pod", object.name()), STATE];
    match metric {
        "kube_pod_status_ready" => {
            let is_ready = pod.is_ready();
            take(&[base[0], base[1], STATE, ("condition", "true")], number(is_ready));
            take(&[base[0], base[1], STATE, ("condition", "false")], number(!is_ready));
        }
        "kube_pod_status_phase" => {
            let now = format!("{:?}", pod.phase());
            for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
                take(&[base[0], base[1], STATE, ("phase", phase)], number(phase == now));
            }
        }
        _ => {}
    }
}
