//! Storms of alerts over HTTP, against the server as people start it: the real engine, the record on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

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

/// One delivery of one firing alert, as Alertmanager sends it.
fn delivery(namespace: &str, deployment: &str) -> Value {
    let labels = json!({
        "alertname": "KubeDeploymentReplicasMismatch", "namespace": namespace, "deployment": deployment, "severity": "warning",
    });
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"KubeDeploymentReplicasMismatch\"}", "truncatedAlerts": 0,
        "status": "firing", "receiver": "chiron", "groupLabels": labels, "commonLabels": labels, "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": [{
            "status": "firing", "labels": labels, "annotations": {"summary": "Deployment has not matched the expected number of replicas."},
            "startsAt": Timestamp::now().to_string(), "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph", "fingerprint": "0123456789abcdef",
        }],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a8_ten_thousand_identical_alerts_over_many_connections_are_one_incident_one_plan_and_one_run()
 {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let seed = SEED.to_string();
    let server = Process::start(
        &dir,
        &[
            "--simulate",
            "--seed",
            &seed,
            "--fault",
            "scaled-to-zero",
            "--fault-after",
            "0",
            "--alerts",
            "none",
        ]
        .into_iter()
        .chain(["--autonomy", "auto", "--listen", "127.0.0.1:0"])
        .collect::<Vec<_>>(),
    );
    let (namespace, deployment) = struck("scaled-to-zero");
    let body = delivery(&namespace, &deployment).to_string();
    let ready = server.request(Method::POST, "/ingest/alertmanager").build().unwrap();
    let (next, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        // A client keeps one connection, for it asks for one thing at a time.
        let (client, next, body) = (reqwest::Client::new(), next.clone(), body.clone());
        let (url, headers) = (ready.url().clone(), ready.headers().clone());
        connections.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < ALERTS {
                let request = client.post(url.clone()).headers(headers.clone());
                let request = request.header("Content-Type", "application/json").body(body.clone());
                assert_eq!(request.send().await.unwrap().status(), 202);
            }
        });
    }
    connections.join_all().await;
    println!(
        "{ALERTS} alerts over {CONNECTIONS} connections in {:.1} s",
        begun.elapsed().as_secs_f64()
    );

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
