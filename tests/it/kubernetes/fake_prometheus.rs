//! Stands in for what such a cluster lacks: for Prometheus with kube-state-metrics and a prober, whose rules are judged here
//! over the objects that kubectl reads, and posted into the real Alertmanager as Prometheus does; and for the one thing
//! that a kubelet would do and kwok does not: a container whose ConfigMap has no such key is not started.

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

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long a condition must hold before its alert fires.
const FOR: SignedDuration = SignedDuration::from_secs(4);
/// How long an alert goes on firing once its condition holds no more: `keep_firing_for` of a rule. Longer than a step of a
/// run takes, so that the second step of a run is not left out because the alert has ended.
const KEEP_FIRING_FOR: SignedDuration = SignedDuration::from_secs(60);
/// How long an alert lives that is posted no more.
const KEEP: SignedDuration = SignedDuration::from_secs(20);
/// Younger pods are those whose containers are being made.
const NEW: SignedDuration = SignedDuration::from_secs(15);

/// Labels of an alert.
type Labels = BTreeMap<&'static str, String>;

/// Prometheus with kube-state-metrics, and a kubelet, as far as the story needs them.
pub(super) struct StandIn {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Looks at the namespace from now on, and posts what fires into the Alertmanager at this URL.
    pub(super) fn start(namespace: &'static str, alertmanager: String) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let heard = ends.clone();
        let thread = std::thread::spawn(move || {
            // Since when each condition holds, and when it held last.
            let mut since: BTreeMap<Labels, (Timestamp, Timestamp)> = BTreeMap::new();
            while !heard.load(Ordering::Relaxed) {
                let Some(seen) = Seen::look(namespace) else {
                    std::thread::sleep(EVERY);
                    continue;
                };
                seen.start_containers_as_a_kubelet_would();
                let now = Timestamp::now();
                for labels in seen.alerts() {
                    since.entry(labels).or_insert((now, now)).1 = now;
                }
                let fires =
                    |(from, last): &(Timestamp, Timestamp)| last.duration_since(*from) >= FOR;
                let is_kept = |held: &(Timestamp, Timestamp)| {
                    let keep = if fires(held) { KEEP_FIRING_FOR } else { SignedDuration::ZERO };
                    now.duration_since(held.1) <= keep
                };
                let (still, over): (BTreeMap<_, _>, BTreeMap<_, _>) =
                    since.into_iter().partition(|(_, held)| is_kept(held));
                since = still;
                let firing = since.iter().filter(|(_, held)| fires(held));
                let firing = firing.map(|(labels, held)| alert(labels, held.0, now + KEEP));
                let ended = over.iter().filter(|(_, held)| fires(held));
                let ended = ended.map(|(labels, held)| alert(labels, held.0, now));
                let posted: Vec<Value> = firing.chain(ended).collect();
                if !posted.is_empty() {
                    let body = Value::Array(posted).to_string();
                    if let Err(failure) = post(&alertmanager, &body) {
                        println!("alerts were not posted, and will be again: {failure}");
                    }
                }
                std::thread::sleep(EVERY);
            }
        });
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; the story ends by itself.
            let _ = thread.join();
        }
    }
}

fn alert(labels: &Labels, starts_at: Timestamp, ends_at: Timestamp) -> Value {
    json!({
        "labels": labels, "startsAt": starts_at.to_string(), "endsAt": ends_at.to_string(),
        "annotations": {"summary": format!("{} in {}", labels["alertname"], labels["namespace"])},
        "generatorURL": "http://stand-in.invalid/graph",
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
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.lines().next() {
        Some(line) if line.contains(" 200 ") => Ok(()),
        _ => Err(std::io::Error::other(answer)),
    }
}

/// What stands in the namespace at one moment.
struct Seen {
    namespace: &'static str,
    items: Vec<Value>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Seen {
    /// Nothing where the API server does not answer: who did not look has not seen that all is well.
    fn look(namespace: &'static str) -> Option<Self> {
        let kinds = "deployments,pods,services,endpointslices,configmaps";
        let read = kubectl_with(&["-n", namespace, "get", kinds, "-o", "json"], "");
        let read = read.inspect_err(|said| println!("the stand-in sees nothing: {said}")).ok()?;
        let read: Value = serde_json::from_str(&read).expect("kubectl prints JSON");
        Some(Self { namespace, items: list(&read["items"]).to_vec() })
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.items.iter().filter(move |item| item["kind"] == kind)
    }

    fn pod(&self, name: &str) -> Option<&Value> {
        self.of("Pod").find(|pod| pod["metadata"]["name"] == name)
    }

    /// The label sets for which a rule holds now.
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
            let (ready, answers) = self.behind(text(name));
            if ready == 0 {
                fire("ServiceWithoutReadyEndpoints", "service", name);
            } else if answers == 0 {
                fire("ServiceProbeFailed", "service", name);
            }
        }
        alerts
    }

    /// How many ready endpoints a Service has, and at how many of them a container listens where it leads.
    fn behind(&self, service: &str) -> (usize, usize) {
        let (mut ready, mut answers) = (0, 0);
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
                let mut listens = list(&pod["spec"]["containers"])
                    .iter()
                    .flat_map(|container| list(&container["ports"]))
                    .map(|port| &port["containerPort"]);
                let leads: Vec<&Value> =
                    list(&slice["ports"]).iter().map(|port| &port["port"]).collect();
                answers += usize::from(listens.any(|port| leads.contains(&port)));
            }
        }
        (ready, answers)
    }

    /// The key that a container of a pod wants and its ConfigMap has not: the ConfigMap and the key.
    fn lacks<'a>(&self, pod: &'a Value) -> Option<(&'a str, &'a str)> {
        list(&pod["spec"]["containers"]).iter().find_map(|container| {
            list(&container["env"]).iter().find_map(|variable| {
                let asked = &variable["valueFrom"]["configMapKeyRef"];
                let (map, key) = (asked["name"].as_str()?, asked["key"].as_str()?);
                let found = self.of("ConfigMap").find(|other| other["metadata"]["name"] == map)?;
                found["data"][key].is_null().then_some((map, key))
            })
        })
    }

    /// A container whose key is lost when it is made is not started, and is tried again until the key is there: the
    /// pod's status says so, in a kubelet's words.
    fn start_containers_as_a_kubelet_would(&self) {
        for pod in self.of("Pod") {
            let name = text(&pod["metadata"]["name"]);
            let is_waiting = !pod
                .pointer("/status/containerStatuses/0/state/waiting")
                .unwrap_or(&Value::Null)
                .is_null();
            let made: Option<Timestamp> = text(&pod["metadata"]["creationTimestamp"]).parse().ok();
            let is_new = made.is_some_and(|made| Timestamp::now().duration_since(made) < NEW);
            let is_leaving = !pod["metadata"]["deletionTimestamp"].is_null();
            let status = match self.lacks(pod) {
                Some((map, key)) if is_new && !is_waiting && !is_leaving => {
                    let message =
                        format!("couldn't find key {key} in ConfigMap {}/{map}", self.namespace);
                    let state = json!({"waiting": {"reason": "CreateContainerConfigError", "message": message}});
                    status(pod, "Pending", "False", &state)
                }
                None if is_waiting && !is_leaving => {
                    let state = json!({"running": {"startedAt": Timestamp::now().to_string()}});
                    status(pod, "Running", "True", &state)
                }
                Some(_) | None => continue,
            };
            let patch = ["patch", "pod", name, "--subresource", "status", "--type", "merge", "-p"];
            // The pod may be gone by now; then there is nothing to say of it.
            let _ = kubectl_with(&[&["-n", self.namespace][..], &patch, &[&status]].concat(), "");
        }
    }
}

/// The status of a pod with one container, as a kubelet writes it.
fn status(pod: &Value, phase: &str, is_ready: &str, state: &Value) -> String {
    let now = Timestamp::now().to_string();
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": now});
    let container = &pod["spec"]["containers"][0];
    let runs = is_ready == "True";
    json!({"status": {
        "phase": phase,
        "conditions": [condition("PodScheduled", "True"), condition("Initialized", "True"),
            condition("Ready", is_ready), condition("ContainersReady", is_ready)],
        "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "",
            "ready": runs, "started": runs, "restartCount": 0, "state": state}],
    }})
    .to_string()
}
