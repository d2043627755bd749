use std::collections::BTreeMap;

use cluster::{Condition, Deployment, EndpointSlice, Object, Pod, Sample, Service};
use jiff::SignedDuration;

use crate::kubelet::ContainerRuntime;
use crate::world::World;

type Labels = BTreeMap<String, String>;

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// The job that kube-state-metrics' series name.
const STATE: &str = "kube-state-metrics";

impl World {
    /// The samples of a metric now, worked out from the state of the world; of rates and ratios the average over the
    /// last `window_seconds`.
    ///
    /// In order of their labels; empty for a metric that is not measured.
    pub(crate) fn samples(&self, metric: &str, window_seconds: u32) -> Vec<Sample> {
        let mut series: Vec<(Labels, f64)> = match metric {
            name if name.starts_with("kube_deployment_") => self.deployment_series(name),
            name if name.starts_with("kube_pod_container_") => self.container_series(name),
            name if name.starts_with("kube_pod_") => self.pod_series(name),
            "container_memory_working_set_bytes" => self.memory_series(),
            "kube_service_endpoints_ready" => self.endpoint_series(),
            name if name.starts_with("http_") => self.request_series(name, window_seconds),
            _ => Vec::new(),
        };
        series.sort_by(|a, b| a.0.cmp(&b.0));
        series.into_iter().map(|(labels, value)| Sample { labels, at: self.now, value }).collect()
    }

    fn deployment_series(&self, metric: &str) -> Vec<(Labels, f64)> {
        let mut series = Vec::new();
        for object in self.objects.of_kind("Deployment", None) {
            let Some(deployment) = Deployment::of(object) else { continue };
            let base = labels([("namespace", object.namespace().unwrap_or_default()), ("deployment", object.name()), ("job", STATE)]);
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
                        let holds = condition.holds.map_or("unknown", |holds| if holds { "true" } else { "false" });
                        for status in ["true", "false", "unknown"] {
                            let mut labels = base.clone();
                            labels.insert("condition".into(), condition.kind.into());
                            labels.insert("status".into(), status.into());
                            series.push((labels, f64::from(u8::from(status == holds))));
                        }
                    }
                    continue;
                }
                _ => return Vec::new(),
            };
            series.push((base, value));
        }
        series
    }

    fn container_series(&self, metric: &str) -> Vec<(Labels, f64)> {
        let mut series = Vec::new();
        for (pod, container) in self.containers() {
            let status = pod.statuses().find(|status| status.name() == container.name);
            let mut base = pod_labels(pod.object());
            base.insert("container".into(), container.name.clone());
            let (reason, value) = match metric {
                "kube_pod_container_status_restarts_total" => (None, f64::from(container.restarts)),
                "kube_pod_container_status_ready" => (None, f64::from(u8::from(status.is_some_and(|status| status.is_ready())))),
                "kube_pod_container_status_waiting_reason" => match status.and_then(|status| status.waiting_reason()) {
                    Some(reason) => (Some(reason), 1.0),
                    None => continue,
                },
                "kube_pod_container_status_last_terminated_reason" => match &container.last {
                    Some(ended) => (Some(ended.reason), 1.0),
                    None => continue,
                },
                "kube_pod_container_resource_limits" => {
                    let spec = pod.containers().find(|spec| spec.name() == container.name);
                    let Some(limit) = spec.and_then(|spec| spec.limit("memory")) else { continue };
                    base.insert("resource".into(), "memory".into());
                    base.insert("unit".into(), "byte".into());
                    (None, limit.value())
                }
                _ => return Vec::new(),
            };
            base.extend(reason.map(|reason| ("reason".to_string(), reason.to_string())));
            series.push((base, value));
        }
        series
    }

    /// Containers that a node holds, each with its pod.
    fn containers(&self) -> impl Iterator<Item = (Pod<'_>, &ContainerRuntime)> {
        self.objects.of_kind("Pod", None).filter_map(Pod::of).flat_map(|pod| {
            let runtime = self.pods.get(&pod.object().metadata().uid);
            runtime.into_iter().flat_map(|runtime| &runtime.containers).map(move |container| (pod, container))
        })
    }

    fn pod_series(&self, metric: &str) -> Vec<(Labels, f64)> {
        let mut series = Vec::new();
        for object in self.objects.of_kind("Pod", None) {
            let Some(pod) = Pod::of(object) else { continue };
            let base = pod_labels(object);
            let (label, now, values): (_, String, &[&str]) = match metric {
                "kube_pod_status_ready" => ("condition", pod.is_ready().to_string(), &["true", "false"]),
                "kube_pod_status_phase" => ("phase", format!("{:?}", pod.phase()), &["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
                _ => return Vec::new(),
            };
            for value in values {
                let mut labels = base.clone();
                labels.insert(label.into(), (*value).into());
                series.push((labels, f64::from(u8::from(*value == now))));
            }
        }
        series
    }

    fn memory_series(&self) -> Vec<(Labels, f64)> {
        let series = self.containers().filter_map(|(pod, container)| {
            let mut labels = pod_labels(pod.object());
            labels.insert("container".into(), container.name.clone());
            labels.insert("job".into(), "kubelet".into());
            Some((labels, container.running()?.memory(self.now).floor()))
        });
        series.collect()
    }

    fn endpoint_series(&self) -> Vec<(Labels, f64)> {
        let services = self.objects.of_kind("Service", None).filter_map(Service::of);
        let series = services.map(|service| {
            let namespace = service.object().namespace().unwrap_or_default();
            let slices = self.objects.of_kind("EndpointSlice", Some(namespace)).filter_map(EndpointSlice::of);
            let own = slices.filter(|slice| slice.service() == Some(service.object().name()));
            let ready: usize = own.map(|slice| slice.endpoints().filter(cluster::Endpoint::is_ready).count()).sum();
            (labels([("namespace", namespace), ("service", service.object().name()), ("job", STATE)]), ready as f64)
        });
        series.collect()
    }

    /// Requests as their clients measure them; those of `http_requests_received_*` as the Service's pods do.
    fn request_series(&self, metric: &str, window_seconds: u32) -> Vec<(Labels, f64)> {
        if metric == "http_requests_total" {
            let series = self.traffic.iter().flat_map(|((client, namespace, service), flow)| {
                let (total, errors) = flow.sums(self.now);
                [("200", total - errors), ("503", errors)].map(|(code, count)| {
                    (labels([("namespace", namespace), ("service", service), ("client", client), ("code", code)]), count.floor())
                })
            });
            return series.collect();
        }
        // A rate at one moment is that of the last second, so that what just changed counts at once.
        let window = SignedDuration::from_secs(i64::from(window_seconds));
        let mut sums: BTreeMap<Labels, (f64, f64)> = BTreeMap::new();
        for ((client, namespace, service), flow) in &self.traffic {
            let mut key = labels([("namespace", namespace), ("service", service)]);
            if metric == "http_client_error_ratio" {
                key.insert("client".into(), client.clone());
            }
            let (requests, errors) = if window.is_zero() {
                (flow.per_minute / 60.0, flow.per_minute / 60.0 * flow.failing)
            } else {
                let (requests, errors) = flow.between(self.now - window, self.now);
                (requests / f64::from(window_seconds), errors / f64::from(window_seconds))
            };
            let sum = sums.entry(key).or_default();
            (sum.0, sum.1) = (sum.0 + requests, sum.1 + errors);
        }
        let series = sums.into_iter().filter_map(|(labels, (requests, errors))| {
            let value = match metric {
                "http_request_error_ratio" | "http_client_error_ratio" if requests > 0.0 => errors / requests,
                "http_requests_per_second" => requests,
                "http_requests_received_per_second" => requests - errors,
                _ => return None,
            };
            Some((labels, value))
        });
        series.collect()
    }
}

fn pod_labels(pod: &Object) -> Labels {
    labels([("namespace", pod.namespace().unwrap_or_default()), ("pod", pod.name()), ("job", STATE)])
}
