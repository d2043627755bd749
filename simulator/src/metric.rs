use std::collections::BTreeMap;

use cluster::{Condition, Deployment, EndpointSlice, Pod, Sample, Service};
use jiff::SignedDuration;

use crate::kubelet::ContainerRuntime;
use crate::world::World;

/// Takes one series: its labels and its value.
pub(crate) type Take<'a> = dyn FnMut(&[(&str, &str)], f64) + 'a;

/// The job that kube-state-metrics' series name.
const STATE: (&str, &str) = ("job", "kube-state-metrics");

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
        match metric {
            name if name.starts_with("kube_deployment_") => self.measure_deployments(name, take),
            name if name.starts_with("kube_pod_container_") => self.measure_containers(name, take),
            name if name.starts_with("kube_pod_") => self.measure_pods(name, take),
            "container_memory_working_set_bytes" => self.measure_memory(take),
            "kube_service_endpoints_ready" => self.measure_endpoints(take),
            "http_requests_total" => self.measure_totals(take),
            name if name.starts_with("http_") => self.measure_requests(name, window_seconds, take),
            _ => {}
        }
    }

    fn measure_deployments(&self, metric: &str, take: &mut Take<'_>) {
        for object in self.objects.of_kind("Deployment", None) {
            let Some(deployment) = Deployment::of(object) else { continue };
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
                "kube_deployment_status_observed_generation" => {
                    deployment.observed_generation() as f64
                }
                "kube_deployment_status_condition" => {
                    for condition in Condition::all_of(object) {
                        let now = condition
                            .holds
                            .map_or("unknown", |holds| if holds { "true" } else { "false" });
                        for status in ["true", "false", "unknown"] {
                            let labels = [
                                base[0],
                                base[1],
                                STATE,
                                ("condition", condition.kind),
                                ("status", status),
                            ];
                            take(&labels, number(status == now));
                        }
                    }
                    continue;
                }
                _ => return,
            };
            take(&base, value);
        }
    }

    fn measure_containers(&self, metric: &str, take: &mut Take<'_>) {
        for (pod, container) in self.containers() {
            let object = pod.object();
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

    /// Containers that a node holds, each with its pod.
    fn containers(&self) -> impl Iterator<Item = (Pod<'_>, &ContainerRuntime)> {
        self.objects.of_kind("Pod", None).filter_map(Pod::of).flat_map(|pod| {
            let runtime = self.pods.get(&pod.object().metadata().uid);
            runtime
                .into_iter()
                .flat_map(|runtime| &runtime.containers)
                .map(move |container| (pod, container))
        })
    }

    fn measure_pods(&self, metric: &str, take: &mut Take<'_>) {
        for object in self.objects.of_kind("Pod", None) {
            let Some(pod) = Pod::of(object) else { continue };
            let base = [
                ("namespace", object.namespace().unwrap_or_default()),
                ("pod", object.name()),
                STATE,
            ];
            match metric {
                "kube_pod_status_ready" => {
                    take(&[base[0], base[1], STATE, ("condition", "true")], number(pod.is_ready()));
                    take(
                        &[base[0], base[1], STATE, ("condition", "false")],
                        number(!pod.is_ready()),
                    );
                }
                "kube_pod_status_phase" => {
                    let now = format!("{:?}", pod.phase());
                    for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
                        take(&[base[0], base[1], STATE, ("phase", phase)], number(phase == now));
                    }
                }
                _ => return,
            }
        }
    }

    fn measure_memory(&self, take: &mut Take<'_>) {
        for (pod, container) in self.containers() {
            let Some(running) = container.running() else { continue };
            let (namespace, name) =
                (pod.object().namespace().unwrap_or_default(), pod.object().name());
            let labels = [
                ("namespace", namespace),
                ("pod", name),
                ("container", container.name.as_str()),
                ("job", "kubelet"),
            ];
            take(&labels, running.memory(self.now).floor());
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
