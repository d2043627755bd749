//! Storms of alerts over HTTP, against the server as people start it: the real engine, the record on disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use simulator::{ScenarioFile, WorldFile, scenario};

use crate::process::{Process, effects, within};

const SEED: u64 = 3;
const ALERTS: usize = 10_000;
const CONNECTIONS: usize = 32;

/// The Deployment that a fault of the starter suite strikes under a seed: its namespace and name.
fn struck(fault: &str) -> (String, String) {
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

/// A server over a world in which a Deployment is scaled to zero; its alerts are ours to send.
fn start(dir: &Path, autonomy: &str) -> Process {
    let seed = SEED.to_string();
    let world = ["--simulate", "--seed", &seed, "--fault", "scaled-to-zero", "--fault-after", "0"];
    let rest = ["--alerts", "none", "--autonomy", autonomy, "--policy", "greedy"];
    Process::start(dir, &[&world[..], &rest[..], &["--listen", "127.0.0.1:0"]].concat())
}

/// One delivery of one firing alert, as Alertmanager sends it; alerts of other instances are other alerts.
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

/// Sends so many deliveries over many connections at once. Gives what was answered to those that were taken; the others
/// were told to come again.
async fn storm(
    server: &Process,
    body: impl Fn(usize) -> String + Send + Sync + 'static,
) -> (Vec<Value>, Duration) {
    let ready = server.request(Method::POST, "/ingest/alertmanager").build().unwrap();
    let (next, begun, body) = (Arc::new(AtomicUsize::new(0)), Instant::now(), Arc::new(body));
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        // A client keeps one connection, for it asks for one thing at a time.
        let (client, next, body) = (reqwest::Client::new(), next.clone(), body.clone());
        let (url, headers) = (ready.url().clone(), ready.headers().clone());
        connections.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= ALERTS {
                    return taken;
                }
                let request = client.post(url.clone()).headers(headers.clone());
                let request = request.header("Content-Type", "application/json").body(body(number));
                let response = request.send().await.unwrap();
                match response.status().as_u16() {
                    202 => taken.push(response.json().await.unwrap()),
                    // Never 4xx: Alertmanager would drop the alerts.
                    503 => assert!(response.headers().contains_key("Retry-After")),
                    other => panic!("{other}: {}", response.text().await.unwrap()),
                }
            }
        });
    }
    (connections.join_all().await.concat(), begun.elapsed())
}

/// What is told of a storm; nobody is failed for it.
fn told((taken, took): &(Vec<Value>, Duration)) -> String {
    format!(
        "{} of {ALERTS} alerts taken over {CONNECTIONS} connections in {:.1} s",
        taken.len(),
        took.as_secs_f64()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a8_ten_thousand_identical_alerts_over_many_connections_are_one_incident_one_plan_and_one_run()
 {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = start(&dir, "auto");
    let (namespace, deployment) = struck("scaled-to-zero");
    let body = delivery(&namespace, &deployment, 0);
    let storm = storm(&server, move |_| body.clone()).await;
    println!("{}", told(&storm));
    assert_eq!(storm.0.len(), ALERTS);

    let one = |list: &Value| {
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{list}");
        items[0].clone()
    };
    let incident = one(&server.get("/incidents").await);
    assert_eq!(incident["deliveries"], ALERTS, "{incident}");
    assert_eq!(one(&server.get("/alerts").await)["deliveries"], ALERTS);
    within(30, "its one run has made its one change", async || {
        (!effects(&dir).is_empty()).then_some(())
    })
    .await;
    let plan = one(&server.get("/plans").await);
    let run = one(&server.get("/runs").await);
    assert_eq!((&plan["incident"], &run["plan"]), (&incident["id"], &plan["id"]));
    assert_eq!(effects(&dir).len(), 1);
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a9_ten_thousand_different_alerts_are_taken_or_told_to_come_again_and_none_taken_is_lost_by_a_crash()
 {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = start(&dir, "observe");
    let (namespace, deployment) = struck("scaled-to-zero");
    let storm = storm(&server, move |number| delivery(&namespace, &deployment, number)).await;
    server.kill();
    println!("{}", told(&storm));
    let (taken, _) = storm;
    let ids = |answer: &Value| answer["alertIds"].as_array().unwrap().clone();
    let taken: BTreeSet<String> =
        taken.iter().flat_map(ids).map(|id| id.as_str().unwrap().to_string()).collect();
    assert!(!taken.is_empty());

    let server = start(&dir, "observe");
    let (mut kept, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = server.get(&format!("/alerts?limit=500{cursor}")).await;
        let items = page["items"].as_array().unwrap();
        kept.extend(items.iter().map(|alert| alert["id"].as_str().unwrap().to_string()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let lost: Vec<&String> = taken.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} taken are lost: {lost:?}", lost.len(), taken.len());
    server.end();
}
