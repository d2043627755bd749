//! Ten thousand alerts over HTTP against a `chiron serve` process with its record on disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::{AlertItem, IncidentItem, IngestResponse, ListResponse, PlanItem, RunItem};
use jiff::Timestamp;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::json;
use simulator::{ScenarioFile, WorldFile, scenario};
use workflow::id::AlertId;

use crate::server_process::{HttpServer, effects, wait_for_async};

const SEED: u64 = 3;
const ALERTS: usize = 10_000;
const CONNECTIONS: usize = 32;

/// Returns namespace and name of the Deployment that a fault of the starter suite affects with [`SEED`].
fn faulty_deployment(fault: &str) -> (String, String) {
    let read = |path: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(path))
            .unwrap()
    };
    let scenario = ScenarioFile::parse(&read(&format!("scenarios/starter/{fault}.yaml"))).unwrap();
    let world = WorldFile::parse(&read("worlds/shop.yaml")).unwrap();
    let prepared = scenario::prepare(&scenario, &world, SEED, Timestamp::now()).unwrap();
    let target = prepared.oracle.target();
    (target.namespace.clone().unwrap(), target.name.clone())
}

/// Starts a server over a simulated cluster in which a Deployment is scaled to zero. The simulator sends no alerts.
fn start(dir: &Path, autonomy: &str) -> HttpServer {
    let seed = SEED.to_string();
    let world = ["--simulate", "--seed", &seed, "--fault", "scaled-to-zero", "--fault-after", "0"];
    let rest = ["--alerts", "none", "--autonomy", autonomy, "--policy", "greedy"];
    HttpServer::start(dir, &[&world[..], &rest[..], &["--listen", "127.0.0.1:0"]].concat())
}

/// Returns a delivery with one firing alert, as Alertmanager sends it. Each `instance` is a different alert.
fn delivery(namespace: &str, deployment: &str, instance: usize) -> String {
    let labels = json!({
        "alertname": "KubeDeploymentReplicasMismatch", "namespace": namespace, "deployment": deployment, "severity": "warning",
        "instance": instance.to_string(),
    });
    let delivery = json!({
        "version": "4", "groupKey": "{}:{alertname=\"KubeDeploymentReplicasMismatch\"}", "truncatedAlerts": 0,
        "status": "firing", "receiver": "chiron", "groupLabels": labels, "commonLabels": labels, "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": [{
            "status": "firing", "labels": labels, "annotations": {"summary": "Deployment has not matched the expected number of replicas."},
            "startsAt": Timestamp::now().to_string(), "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph", "fingerprint": "0123456789abcdef",
        }],
    });
    delivery.to_string()
}

/// Sends [`ALERTS`] deliveries over concurrent connections. Returns the bodies of the accepted responses.
///
/// The other deliveries got 503 with `Retry-After`.
async fn send_all(
    server: &HttpServer,
    body: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Vec<IngestResponse> {
    let template = server.request(Method::POST, "/ingest/alertmanager").build().unwrap();
    let (next, body) = (Arc::new(AtomicUsize::new(0)), Arc::new(body));
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        // Each client uses one connection, because it sends one request at a time.
        let (client, next, body) = (reqwest::Client::new(), next.clone(), body.clone());
        let (url, headers) = (template.url().clone(), template.headers().clone());
        connections.spawn(async move {
            let mut accepted = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= ALERTS {
                    return accepted;
                }
                let request = client.post(url.clone()).headers(headers.clone());
                let request = request.header("Content-Type", "application/json").body(body(number));
                let response = request.send().await.unwrap();
                match response.status().as_u16() {
                    202 => accepted.push(response.json().await.unwrap()),
                    // Not 4xx: Alertmanager drops the alerts of such a delivery.
                    503 => assert!(response.headers().contains_key("Retry-After")),
                    other => panic!("{other}: {}", response.text().await.unwrap()),
                }
            }
        });
    }
    connections.join_all().await.concat()
}

/// Returns the item of a list of one.
async fn only_item<T: DeserializeOwned>(server: &HttpServer, path: &str) -> T {
    let ListResponse { mut items, .. } = server.read::<ListResponse<T>>(path).await;
    assert_eq!(items.len(), 1, "{path}");
    items.remove(0)
}

/// Bad-input row A8: ten thousand identical alerts over many connections result in one incident, one plan and one run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: run by make test"]
async fn slow_identical_alerts_under_load_make_one_incident_plan_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = start(&dir, "auto");
    let (namespace, deployment) = faulty_deployment("scaled-to-zero");
    let body = delivery(&namespace, &deployment, 0);
    let accepted = send_all(&server, move |_| body.clone()).await;
    assert_eq!(accepted.len(), ALERTS);

    let incident: IncidentItem = only_item(&server, "/incidents").await;
    assert_eq!(incident.deliveries, ALERTS as u64, "{incident:?}");
    let alert: AlertItem = only_item(&server, "/alerts").await;
    assert_eq!(alert.deliveries, ALERTS as u64);
    wait_for_async(Duration::from_secs(30), "the run has made its change", async || {
        (!effects(&dir).is_empty()).then_some(())
    })
    .await;
    let plan: PlanItem = only_item(&server, "/plans").await;
    let run: RunItem = only_item(&server, "/runs").await;
    assert_eq!((plan.incident, run.plan), (incident.id, plan.id));
    assert_eq!(effects(&dir).len(), 1);
    server.end();
}

/// Bad-input row A9: ten thousand different alerts are accepted or get 503, and a kill of the server loses no accepted one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: run by make test"]
async fn slow_accepted_alerts_under_load_survive_kill() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = start(&dir, "observe");
    let (namespace, deployment) = faulty_deployment("scaled-to-zero");
    let body = move |number| delivery(&namespace, &deployment, number);
    let accepted = send_all(&server, body).await;
    server.kill();
    let accepted: BTreeSet<AlertId> =
        accepted.into_iter().flat_map(|response| response.alert_ids).collect();
    // Each connection waits for its response, and the queue is longer than the number of connections, so 503 is the exception.
    // Each delivery is a different alert.
    assert!(accepted.len() >= ALERTS * 9 / 10, "only {} of {ALERTS} were accepted", accepted.len());

    let server = start(&dir, "observe");
    let (mut stored, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page: ListResponse<AlertItem> =
            server.read(&format!("/alerts?limit=500{cursor}")).await;
        stored.extend(page.items.into_iter().map(|alert| alert.id));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let lost: Vec<&AlertId> = accepted.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} accepted are lost: {lost:?}", lost.len(), accepted.len());
    server.end();
}
