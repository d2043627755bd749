use std::collections::BTreeMap;

use cluster::{Deployment, EndpointSlice, Object, ObjectCondition, Pod, Sample, Service};
use jiff::SignedDuration;

use crate::kubelet::ContainerRuntime;
use crate::world::World;

/// Receives the labels and the value of one series.
pub(crate) type SampleVisitor<'a> = dyn FnMut(&[(&str, &str)], f64) + 'a;

/// Label `job` of the series of kube-state-metrics.
const JOB_KUBE_STATE_METRICS: (&str, &str) = ("job", "kube-state-metrics");

/// All supported metrics.
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

/// Common prefix of the metrics of container states.
const CONTAINER_PREFIX: &str = "kube_pod_container_";

/// What a metric measures. It determines when its series must be measured again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Single objects of this kind: the series depend only on the stored object and on the state of its pod's
    /// containers.
    Object(&'static str),
    /// Memory usage, which grows with time.
    Memory,
    /// Ready endpoints of Services.
    Endpoints,
    /// Request counters, which grow with time.
    Totals,
    /// Current request rates between services.
    Flows,
    /// Not a supported metric.
    Unknown,
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
            _ => Self::Unknown,
        }
    }
}

fn bool_value(value: bool) -> f64 {
    f64::from(u8::from(value))
}

impl World {
    /// Returns the current samples of a metric, computed from the state of the world. Rates and ratios are averages
    /// over the last `window_seconds`.
    ///
    /// The samples are sorted by their labels. An unsupported metric has none.
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

    /// Calls `visit` for every series of a metric, in an unspecified order.
    pub(crate) fn measure(&self, metric: &str, window_seconds: u32, visit: &mut SampleVisitor<'_>) {
        match Subject::of(metric) {
            Subject::Object(kind) => {
                for object in self.objects.of_kind(kind, None) {
                    self.measure_object(metric, object, visit);
                }
            }
            Subject::Memory => self.measure_memory(visit),
            Subject::Endpoints => self.measure_endpoints(visit),
            Subject::Totals => self.measure_totals(visit),
            Subject::Flows => self.measure_requests(metric, window_seconds, visit),
            Subject::Unknown => {}
        }
    }

    /// Calls `visit` for every series of a metric that belongs to `object`.
    pub(crate) fn measure_object(
        &self,
        metric: &str,
        object: &Object,
        visit: &mut SampleVisitor<'_>,
    ) {
        match object.kind().kind.as_str() {
            "Deployment" => measure_deployment(metric, object, visit),
            "Pod" if metric.starts_with(CONTAINER_PREFIX) => {
                self.measure_containers(metric, object, visit)
            }
            "Pod" => measure_pod(metric, object, visit),
            _ => {}
        }
    }

    fn measure_containers(&self, metric: &str, object: &Object, visit: &mut SampleVisitor<'_>) {
        let Some(pod) = Pod::of(object) else { return };
        for container in self.containers_of(object) {
            let base = [
                ("namespace", object.namespace().unwrap_or_default()),
                ("pod", object.name()),
                JOB_KUBE_STATE_METRICS,
                ("container", container.name.as_str()),
            ];
            let status = || pod.container_statuses().find(|status| status.name() == container.name);
            let (reason, value) = match metric {
                "kube_pod_container_status_restarts_total" => (None, f64::from(container.restarts)),
                "kube_pod_container_status_ready" => {
                    (None, bool_value(status().is_some_and(|status| status.is_ready())))
                }
                "kube_pod_container_status_waiting_reason" => {
                    match status().and_then(|status| status.waiting_reason()) {
                        Some(reason) => (Some(reason), 1.0),
                        None => continue,
                    }
                }
                "kube_pod_container_status_last_terminated_reason" => {
                    match &container.last_terminated {
                        Some(ended) => (Some(ended.reason), 1.0),
                        None => continue,
                    }
                }
                "kube_pod_container_resource_limits" => {
                    let spec = pod.containers().find(|spec| spec.name() == container.name);
                    if let Some(limit) = spec.and_then(|spec| spec.limit("memory")) {
                        visit(
                            &[
                                base[0],
                                base[1],
                                JOB_KUBE_STATE_METRICS,
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
                Some(reason) => visit(
                    &[base[0], base[1], JOB_KUBE_STATE_METRICS, base[3], ("reason", reason)],
                    value,
                ),
                None => visit(&base, value),
            }
        }
    }

    /// Returns the containers of a pod that its node runs.
    fn containers_of(&self, pod: &Object) -> impl Iterator<Item = &ContainerRuntime> {
        let runtime = self.pods.get(&pod.metadata().uid);
        runtime.into_iter().flat_map(|runtime| &runtime.containers)
    }

    fn measure_memory(&self, visit: &mut SampleVisitor<'_>) {
        for pod in self.objects.of_kind("Pod", None) {
            for container in self.containers_of(pod) {
                let Some(running) = container.running() else { continue };
                let labels = [
                    ("namespace", pod.namespace().unwrap_or_default()),
                    ("pod", pod.name()),
                    ("container", container.name.as_str()),
                    ("job", "kubelet"),
                ];
                visit(&labels, running.memory(self.now).floor());
            }
        }
    }

    fn measure_endpoints(&self, visit: &mut SampleVisitor<'_>) {
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
            visit(
                &[("namespace", namespace), ("service", service.name()), JOB_KUBE_STATE_METRICS],
                ready as f64,
            );
        }
    }

    fn measure_totals(&self, visit: &mut SampleVisitor<'_>) {
        for ((client, namespace, service), flow) in &self.traffic {
            let (total, errors) = flow.sums(self.now);
            for (code, count) in [("200", total - errors), ("503", errors)] {
                visit(
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

    /// Measures requests on the client side, except `http_requests_received_…`, which the Service's pods measure.
    fn measure_requests(&self, metric: &str, window_seconds: u32, visit: &mut SampleVisitor<'_>) {
        let window = SignedDuration::from_secs(i64::from(window_seconds));
        let is_by_client = metric == "http_client_error_ratio";
        let mut sums: BTreeMap<(&str, &str, &str), (f64, f64)> = BTreeMap::new();
        for ((client, namespace, service), flow) in &self.traffic {
            let (requests, errors) = if window.is_zero() {
                (flow.per_minute / 60.0, flow.per_minute / 60.0 * flow.failure_rate)
            } else {
                let (requests, errors) = flow.sums_since(self.now - window, self.now);
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
            visit(if is_by_client { &labels } else { &labels[..2] }, value);
        }
    }
}

fn measure_deployment(metric: &str, object: &Object, visit: &mut SampleVisitor<'_>) {
    let Some(deployment) = Deployment::of(object) else { return };
    let base = [
        ("namespace", object.namespace().unwrap_or_default()),
        ("deployment", object.name()),
        JOB_KUBE_STATE_METRICS,
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
            for condition in ObjectCondition::all_of(object) {
                let now = condition
                    .status
                    .map_or("unknown", |is_true| if is_true { "true" } else { "false" });
                for status in ["true", "false", "unknown"] {
                    let own = [("condition", condition.kind), ("status", status)];
                    visit(
                        &[base[0], base[1], JOB_KUBE_STATE_METRICS, own[0], own[1]],
                        bool_value(status == now),
                    );
                }
            }
            return;
        }
        _ => return,
    };
    visit(&base, value);
}

fn measure_pod(metric: &str, object: &Object, visit: &mut SampleVisitor<'_>) {
    let Some(pod) = Pod::of(object) else { return };
    let base = [
        ("namespace", object.namespace().unwrap_or_default()),
        ("pod", object.name()),
        JOB_KUBE_STATE_METRICS,
    ];
    match metric {
        "kube_pod_status_ready" => {
            let is_ready = pod.is_ready();
            visit(
                &[base[0], base[1], JOB_KUBE_STATE_METRICS, ("condition", "true")],
                bool_value(is_ready),
            );
            visit(
                &[base[0], base[1], JOB_KUBE_STATE_METRICS, ("condition", "false")],
                bool_value(!is_ready),
            );
        }
        "kube_pod_status_phase" => {
            let now = format!("{:?}", pod.phase());
            for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
                visit(
                    &[base[0], base[1], JOB_KUBE_STATE_METRICS, ("phase", phase)],
                    bool_value(phase == now),
                );
            }
        }
        _ => {}
    }
}
