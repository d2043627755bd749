//! Replaces Prometheus, kube-state-metrics and a prober, which the test cluster does not have.
//!
//! Its alert rules are evaluated on the objects that kubectl reads, and the alerts are posted to the real Alertmanager as
//! Prometheus does. It also adds one behaviour of a kubelet that kwok does not implement: a container is not started if a key
//! that it references is missing from the ConfigMap.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kubectl_with;

/// Interval between two evaluations of the rules.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(1);
/// How long a condition must be true before its alert fires: `for` of a rule.
const FOR: SignedDuration = SignedDuration::from_secs(4);
/// How long an alert continues to fire after its condition has become false: `keep_firing_for` of a rule. Longer than a step
/// of a run, so that the second step of a run is not skipped because the alert is resolved.
const KEEP_FIRING_FOR: SignedDuration = SignedDuration::from_secs(60);
/// Time after which Alertmanager resolves an alert that is not posted again.
const RESOLVE_TIMEOUT: SignedDuration = SignedDuration::from_secs(20);
/// Maximum age of a pod whose containers are still being created.
const CREATION_PERIOD: SignedDuration = SignedDuration::from_secs(15);

/// Labels of an alert.
type Labels = BTreeMap<&'static str, String>;

/// The time in which a condition was true: its first and its last evaluation.
type TruePeriod = (Timestamp, Timestamp);

/// A thread that evaluates the rules until it is dropped.
pub(super) struct FakePrometheus {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakePrometheus {
    /// Starts to evaluate the rules for a namespace and to post alerts to the Alertmanager at this URL.
    pub(super) fn start(namespace: &'static str, alertmanager: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut conditions: BTreeMap<Labels, TruePeriod> = BTreeMap::new();
            while !is_stopped.load(Ordering::Relaxed) {
                let Some(snapshot) = NamespaceSnapshot::read(namespace) else {
                    std::thread::sleep(EVALUATION_INTERVAL);
                    continue;
                };
                snapshot.update_container_states();
                let now = Timestamp::now();
                for labels in snapshot.alerts() {
                    conditions.entry(labels).or_insert((now, now)).1 = now;
                }
                let fires = |(first, last): &TruePeriod| last.duration_since(*first) >= FOR;
                let is_kept = |period: &TruePeriod| {
                    let keep = if fires(period) { KEEP_FIRING_FOR } else { SignedDuration::ZERO };
                    now.duration_since(period.1) <= keep
                };
                let (kept, ended): (BTreeMap<_, _>, BTreeMap<_, _>) =
                    conditions.into_iter().partition(|(_, period)| is_kept(period));
                conditions = kept;
                let firing = conditions.iter().filter(|(_, period)| fires(period));
                let firing =
                    firing.map(|(labels, period)| alert(labels, period.0, now + RESOLVE_TIMEOUT));
                let resolved = ended.iter().filter(|(_, period)| fires(period));
                let resolved = resolved.map(|(labels, period)| alert(labels, period.0, now));
                let alerts: Vec<Value> = firing.chain(resolved).collect();
                if !alerts.is_empty() {
                    let body = Value::Array(alerts).to_string();
                    if let Err(error) = post(&alertmanager, &body) {
                        println!("cannot post alerts, will retry: {error}");
                    }
                }
                std::thread::sleep(EVALUATION_INTERVAL);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for FakePrometheus {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been printed, and the test fails without its alerts.
            let _ = thread.join();
        }
    }
}

fn alert(labels: &Labels, starts_at: Timestamp, ends_at: Timestamp) -> Value {
    json!({
        "labels": labels, "startsAt": starts_at.to_string(), "endsAt": ends_at.to_string(),
        "annotations": {"summary": format!("{} in {}", labels["alertname"], labels["namespace"])},
        "generatorURL": "http://fake-prometheus.invalid/graph",
    })
}

fn post(alertmanager: &str, body: &str) -> std::io::Result<()> {
    let address = alertmanager.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "POST /api/v2/alerts HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    match response.lines().next() {
        Some(line) if line.contains(" 200 ") => Ok(()),
        _ => Err(std::io::Error::other(response)),
    }
}

/// The objects of a namespace at one time.
struct NamespaceSnapshot {
    namespace: &'static str,
    items: Vec<Value>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl NamespaceSnapshot {
    /// Returns `None` if the API server does not respond, so that a failed read does not resolve alerts.
    fn read(namespace: &'static str) -> Option<Self> {
        let kinds = "deployments,pods,services,endpointslices,configmaps";
        let output = kubectl_with(&["-n", namespace, "get", kinds, "-o", "json"], "");
        let output = output.inspect_err(|error| println!("cannot read objects: {error}")).ok()?;
        let objects: Value = serde_json::from_str(&output).expect("kubectl prints JSON");
        Some(Self { namespace, items: list(&objects["items"]).to_vec() })
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.items.iter().filter(move |item| item["kind"] == kind)
    }

    fn pod(&self, name: &str) -> Option<&Value> {
        self.of("Pod").find(|pod| pod["metadata"]["name"] == name)
    }

    /// Evaluates the rules. Returns the labels of each alert whose condition is true.
    fn alerts(&self) -> Vec<Labels> {
        let mut alerts = Vec::new();
        let mut fire = |alertname: &str, label: &'static str, name: &Value| {
            alerts.push(Labels::from([
                ("alertname", alertname.to_string()),
                ("namespace", self.namespace.to_string()),
                ("severity", "critical".to_string()),
                (label, text(name).to_string()),
            ]));
        };
        for deployment in self.of("Deployment") {
            let available = deployment["status"]["availableReplicas"].as_u64().unwrap_or(0);
            if Some(available) < deployment["spec"]["replicas"].as_u64() {
                fire(
                    "KubeDeploymentReplicasMismatch",
                    "deployment",
                    &deployment["metadata"]["name"],
                );
            }
        }
        for service in self.of("Service") {
            let name = &service["metadata"]["name"];
            let (ready, reachable) = self.endpoint_counts(text(name));
            if ready == 0 {
                fire("ServiceWithoutReadyEndpoints", "service", name);
            } else if reachable == 0 {
                fire("ServiceProbeFailed", "service", name);
            }
        }
        alerts
    }

    /// Returns the number of ready endpoints of a Service, and how many of them have a container that listens on its target
    /// port.
    fn endpoint_counts(&self, service: &str) -> (usize, usize) {
        let (mut ready, mut reachable) = (0, 0);
        for slice in self.of("EndpointSlice") {
            if slice["metadata"]["labels"]["kubernetes.io/service-name"] != service {
                continue;
            }
            for endpoint in list(&slice["endpoints"]) {
                if endpoint["conditions"]["ready"] != true {
                    continue;
                }
                ready += 1;
                let Some(pod) = self.pod(text(&endpoint["targetRef"]["name"])) else { continue };
                let mut container_ports = list(&pod["spec"]["containers"])
                    .iter()
                    .flat_map(|container| list(&container["ports"]))
                    .map(|port| &port["containerPort"]);
                let target_ports: Vec<&Value> =
                    list(&slice["ports"]).iter().map(|port| &port["port"]).collect();
                reachable += usize::from(container_ports.any(|port| target_ports.contains(&port)));
            }
        }
        (ready, reachable)
    }

    /// Returns a ConfigMap and a key that a container of the pod references, if the ConfigMap does not have the key.
    fn missing_key<'a>(&self, pod: &'a Value) -> Option<(&'a str, &'a str)> {
        list(&pod["spec"]["containers"]).iter().find_map(|container| {
            list(&container["env"]).iter().find_map(|variable| {
                let reference = &variable["valueFrom"]["configMapKeyRef"];
                let (map, key) = (reference["name"].as_str()?, reference["key"].as_str()?);
                let found = self.of("ConfigMap").find(|other| other["metadata"]["name"] == map)?;
                found["data"][key].is_null().then_some((map, key))
            })
        })
    }

    /// Sets the status of pods as a kubelet does: a container with a missing key is not started until the key exists.
    fn update_container_states(&self) {
        for pod in self.of("Pod") {
            let name = text(&pod["metadata"]["name"]);
            let is_waiting = !pod
                .pointer("/status/containerStatuses/0/state/waiting")
                .unwrap_or(&Value::Null)
                .is_null();
            let created: Option<Timestamp> =
                text(&pod["metadata"]["creationTimestamp"]).parse().ok();
            let is_new = created
                .is_some_and(|created| Timestamp::now().duration_since(created) < CREATION_PERIOD);
            let is_terminating = !pod["metadata"]["deletionTimestamp"].is_null();
            let status = match self.missing_key(pod) {
                Some((map, key)) if is_new && !is_waiting && !is_terminating => {
                    let message =
                        format!("couldn't find key {key} in ConfigMap {}/{map}", self.namespace);
                    let state = json!({"waiting": {"reason": "CreateContainerConfigError", "message": message}});
                    status(pod, "Pending", "False", &state)
                }
                None if is_waiting && !is_terminating => {
                    let state = json!({"running": {"startedAt": Timestamp::now().to_string()}});
                    status(pod, "Running", "True", &state)
                }
                Some(_) | None => continue,
            };
            let patch = ["patch", "pod", name, "--subresource", "status", "--type", "merge", "-p"];
            // Errors are ignored, because the pod may have been deleted in the meantime.
            let _ = kubectl_with(&[&["-n", self.namespace][..], &patch, &[&status]].concat(), "");
        }
    }
}

/// Returns the status of a pod with one container, as a kubelet writes it.
fn status(pod: &Value, phase: &str, is_ready: &str, state: &Value) -> String {
    let now = Timestamp::now().to_string();
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": now});
    let container = &pod["spec"]["containers"][0];
    let is_running = is_ready == "True";
    json!({"status": {
        "phase": phase,
        "conditions": [condition("PodScheduled", "True"), condition("Initialized", "True"),
            condition("Ready", is_ready), condition("ContainersReady", is_ready)],
        "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "",
            "ready": is_running, "started": is_running, "restartCount": 0, "state": state}],
    }})
    .to_string()
}
