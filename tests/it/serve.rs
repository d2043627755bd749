//! `chiron serve --simulate` over the command line and over HTTP.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server_process::{ServerProcess, wait_for};

/// Starts a server with the data directory `dir`.
fn serve(dir: &Path, more: &[&str]) -> ServerProcess {
    let path = dir.to_str().expect("the path is UTF-8");
    let common =
        ["serve", "--simulate", "--seed", "3", "--listen", "127.0.0.1:0", "--data-dir", path];
    ServerProcess::start(&[&common, more].concat(), &[])
}

/// Returns a delivery about a workload that does not exist.
fn delivery() -> Value {
    let labels = json!({"alertname": "KubePodCrashLooping", "namespace": "nowhere", "deployment": "ghost", "severity": "critical"});
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"KubePodCrashLooping\"}", "truncatedAlerts": 0, "status": "firing", "receiver": "chiron",
        "groupLabels": {"alertname": "KubePodCrashLooping"}, "commonLabels": labels, "commonAnnotations": {}, "externalURL": "http://alertmanager",
        "alerts": [{"status": "firing", "labels": labels, "annotations": {"summary": "ghost crashes"}, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus/graph", "fingerprint": "0123456789abcdef"}],
    })
}

async fn post(
    url: &str,
    token: Option<&str>,
    content_type: &str,
    body: &'static str,
) -> reqwest::StatusCode {
    let request = reqwest::Client::new()
        .post(format!("{url}/api/v1/ingest/alertmanager"))
        .header("Content-Type", content_type)
        .body(body);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.expect("the server responds").status()
}

/// The server ingests an alert from the command line, rejects invalid input, and keeps incidents and emergency stops over a
/// restart.
#[test]
fn ingested_alert_and_emergency_stop_survive_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = &folder.path().join("data");
    let file = folder.path().join("delivery.json");
    std::fs::write(&file, delivery().to_string()).expect("the file can be written");
    let file = file.to_str().expect("the path is UTF-8");

    let at = ["--data-dir", dir.to_str().expect("the path is UTF-8")];
    let server = serve(dir, &["--fault", "scaled-to-zero", "--alerts", "none"]);
    let received = server.json(&[&["alert", "ingest", "-f", file][..], &at].concat());
    let incident = received["incidentIds"][0].as_str().expect("an incident").to_string();
    let found = server.json(&[&["incident", "get", &incident][..], &at].concat());
    assert_eq!(found["status"], "open", "{found}");
    assert_eq!(found["namespace"], "nowhere", "{found}");
    let repeated = server.json(&[&["alert", "ingest", "-f", file][..], &at].concat());
    assert_eq!(
        repeated["incidentIds"], received["incidentIds"],
        "a repeated delivery opened a second incident"
    );
    let listed = server.chiron(&[&["incident", "list"][..], &at].concat());
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains(&incident),
        "{}",
        String::from_utf8_lossy(&listed.stdout)
    );

    let token = std::fs::read_to_string(dir.join("token")).expect("the token file exists");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        assert_eq!(
            post(
                &server.url,
                Some(&token),
                "application/json",
                "{\"version\": \"4\", \"version\": \"4\"}"
            )
            .await,
            400
        );
        assert_eq!(post(&server.url, Some(&token), "application/json", "").await, 400);
        assert_eq!(post(&server.url, Some(&token), "text/plain", "{}").await, 415);
        assert_eq!(post(&server.url, None, "application/json", "{}").await, 401);
    });
    // Errors as exit codes.
    let code = |args: &[&str]| server.chiron(&[args, &at].concat()).status.code();
    assert_eq!(code(&["incident", "get", "inc_00000000000000000000000000"]), Some(3));
    assert_eq!(code(&["alert", "ingest", "-f", "/dev/null"]), Some(6));
    for command in ["set", "clear"] {
        assert_eq!(code(&["emergency-stop", command]), Some(2), "{command} requires a reason");
        assert_eq!(
            code(&["emergency-stop", command, "--reason", " "]),
            Some(6),
            "{command} requires a non-empty reason"
        );
    }
    let stopped = server.json(
        &[&["emergency-stop", "set", "--level", "L2", "--reason", "a test"][..], &at].concat(),
    );
    assert_eq!(stopped["items"][0]["scope"], "global");
    server.end();

    let verified = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(["admin", "verify", "--data-dir"])
        .arg(dir)
        .output()
        .expect("the binary runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    let server = serve(dir, &["--alerts", "none"]);
    assert_eq!(
        server.json(&[&["incident", "get", &incident][..], &at].concat())["id"],
        json!(incident)
    );
    let cleared = server
        .json(&[&["emergency-stop", "clear", "--reason", "the test continues"][..], &at].concat());
    assert_eq!(
        cleared["items"],
        json!([]),
        "the stop persisted across the restart and was cleared"
    );
    server.end();
}

/// An alert of the simulated cluster starts a run, and the journal contains each of its effects once.
#[test]
#[ignore = "slow: run by make test"]
fn slow_simulated_alert_starts_run_with_each_effect_journaled_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path();
    let at = ["--data-dir", dir.to_str().expect("the path is UTF-8")];
    let server = serve(
        dir,
        &[
            "--fault",
            "scaled-to-zero",
            "--fault-after",
            "0",
            "--autonomy",
            "auto",
            "--policy",
            "greedy",
            "--speed",
            "20",
        ],
    );
    let mut last = String::new();
    let run: String = wait_for(Duration::from_secs(60), "a run ends", || {
        let runs = server.json(&[&["run", "list"][..], &at].concat());
        last = runs.to_string();
        runs["items"].as_array()?.iter().find(|run| !run["endedAt"].is_null())?["id"]
            .as_str()
            .map(Into::into)
    });
    let watched = server.chiron(&[&["run", "watch", &run][..], &at].concat());
    assert!(matches!(watched.status.code(), Some(0 | 8)), "{last}");
    let run = server.json(&[&["run", "get", &run][..], &at].concat());
    let plan = run["plan"].as_str().expect("a plan").to_string();
    let explained = server.chiron(&[&["plan", "explain", &plan][..], &at].concat());
    assert!(String::from_utf8_lossy(&explained.stdout).contains("\nevidence"));
    let code = server.chiron(&[&["plan", "approve", &plan][..], &at].concat()).status.code();
    assert_eq!(code, Some(5), "a plan that has run cannot be approved");
    let journal = std::fs::read_to_string(dir.join("world.jsonl")).expect("the journal exists");
    let mut keys: Vec<String> = journal
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("a line is JSON")["request"]["agent"]["effectKey"]
                .as_str()
                .expect("an effect key")
                .to_string()
        })
        .collect();
    assert!(!keys.is_empty());
    let lines = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), lines, "{journal}");
    server.end();
}
