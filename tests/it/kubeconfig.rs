//! `chiron serve --kubeconfig` with the simulated cluster behind its Kubernetes API.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use cluster::{
    Agent, Cluster as _, Consistency, KubeCluster, KubeLimits, KubeSource, Mode, ObjectRef, Patch,
    Preconditions, Request, SecretKey, Verb, WriteReply,
};
use serde_json::{Value, json};
use store::{Sqlite, Store as _};
use workflow::Entry;

use crate::server_process::{ServerProcess, command, wait_for};

/// A `chiron simulate serve` process; killed when dropped.
struct SimulatedApiServer {
    child: Child,
    kubeconfig: PathBuf,
}

impl SimulatedApiServer {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder.join("kubeconfig"), "3")
    }

    fn start_with(kubeconfig: PathBuf, seed: &str) -> Self {
        let child = command(&[])
            .args(["simulate", "serve", "--seed", seed, "--kubeconfig"])
            .arg(&kubeconfig)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, kubeconfig };
        wait_for(Duration::from_secs(60), "the kubeconfig is written", || {
            server.kubeconfig.is_file().then_some(())
        });
        server
    }
}

impl Drop for SimulatedApiServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `chiron serve` with `arguments`, which must fail. Returns its exit code and standard error.
fn serve_error(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(&[])
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"))
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn serve_with_unusable_kubeconfig_fails_with_hint() {
    let folder = tempfile::tempdir().unwrap();
    let server = SimulatedApiServer::start(folder.path());
    let text = std::fs::read_to_string(&server.kubeconfig).unwrap();
    let changed = |name: &str, change: &dyn Fn(&str) -> String| {
        let path = folder.path().join(name);
        let lines: Vec<String> = text.lines().map(change).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        path.to_str().unwrap().to_string()
    };
    let replaced = |line: &str, key: &str, value: &str| match line.split_once(key) {
        Some((before, _)) => format!("{before}{key} {value}"),
        None => line.to_string(),
    };
    let valid = server.kubeconfig.to_str().unwrap();
    let malformed = changed("malformed", &|line| format!("[{line}"));
    let expired = changed("expired", &|line| replaced(line, "token:", "expired"));
    let unreachable =
        changed("unreachable", &|line| replaced(line, "server:", "https://127.0.0.1:1"));
    let absent = folder.path().join("absent");
    let absent = absent.to_str().unwrap();
    for (arguments, code, message) in [
        (&["--kubeconfig", &malformed][..], 6, "cannot use the kubeconfig"),
        (&["--kubeconfig", absent], 6, "No such file"),
        (&["--kubeconfig", valid, "--context", "nowhere"], 6, "no context \"nowhere\""),
        (&["--kubeconfig", &expired], 4, "rejects the credentials"),
        (&["--kubeconfig", &unreachable], 1, "cannot be reached"),
    ] {
        let (status, stderr) = serve_error(folder.path(), arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains("\nhint: "), "{arguments:?}: {stderr}");
    }
    for conflict in [&["--simulate"][..], &["--fault", "bad-image"]] {
        let arguments = [&["--kubeconfig", valid][..], conflict].concat();
        let (status, stderr) = serve_error(folder.path(), &arguments);
        assert_eq!(status, Some(2), "{stderr}");
    }
}

/// A data directory belongs to one cluster, and cannot be opened for another one.
#[test]
fn data_dir_of_other_cluster_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let one = SimulatedApiServer::start(folder.path());
    let other = SimulatedApiServer::start_with(folder.path().join("other"), "4");
    let [one, other] = [&one, &other].map(|server| server.kubeconfig.to_str().unwrap().to_string());
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let serve = || {
        let start = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--kubeconfig", &one];
        ServerProcess::start(&start, &[])
    };
    serve().end();
    for arguments in [&["--kubeconfig", &other][..], &["--simulate"]] {
        let (status, stderr) = serve_error(folder.path(), arguments);
        assert_eq!(status, Some(5), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("belongs to the cluster \"shop\" at https://127.0.0.1:"),
            "{stderr}"
        );
        assert!(stderr.contains("\nhint: use another --data-dir"), "{stderr}");
    }
    let demo = command(&[]).args(["demo", "--data-dir", data]).output().unwrap();
    let stderr = String::from_utf8_lossy(&demo.stderr);
    assert_eq!(demo.status.code(), Some(5), "{stderr}");
    // The rejected commands did not change the data directory.
    serve().end();

    let without_dir = command(&[]).args(["serve", "--kubeconfig", &one]).output().unwrap();
    let stderr = String::from_utf8_lossy(&without_dir.stderr);
    assert_eq!(without_dir.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--data-dir"), "a real cluster requires a data directory: {stderr}");
}

#[test]
fn simulate_serve_does_not_overwrite_foreign_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("config");
    std::fs::write(&foreign, "apiVersion: v1\nkind: Config\n").unwrap();
    let serve = ["simulate", "serve", "--kubeconfig", foreign.to_str().unwrap()];
    let output = command(&[]).args(serve).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("another file"), "{stderr}");
    assert_eq!(std::fs::read_to_string(foreign).unwrap(), "apiVersion: v1\nkind: Config\n");
}

/// Connects to the cluster as another client.
fn connect(server: &SimulatedApiServer, runtime: &tokio::runtime::Runtime) -> KubeCluster {
    let source = KubeSource::File { path: server.kubeconfig.clone(), context: None };
    let secrets = SecretKey::from_bytes([7; 32]);
    runtime.block_on(KubeCluster::connect("test", &source, secrets, KubeLimits::default())).unwrap()
}

fn delivery(service: &ObjectRef, status: &str, starts_at: jiff::Timestamp) -> Value {
    let labels = json!({"alertname": "ServiceWithoutEndpoints", "namespace": service.namespace,
        "service": service.name, "severity": "critical"});
    json!({"version": "4", "alerts": [{"status": status, "labels": labels, "annotations": {}, "startsAt": starts_at}]})
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_approved_plan_remediates_cluster_of_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let api_server = SimulatedApiServer::start(folder.path());
    let dir = folder.path().join("data");
    let data = ["--data-dir", dir.to_str().unwrap()];
    let start = ["serve", "--listen", "127.0.0.1:0", "--kubeconfig"];
    let quick = ["--known-good-after", "2", "--scan-interval", "1", "--quiet-period", "1s"];
    let path = [api_server.kubeconfig.to_str().unwrap()];
    let server = ServerProcess::start(&[&start[..], &path, &quick, &data].concat(), &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    // The Service of one of the workloads whose known-good state is recorded.
    let service = wait_for(Duration::from_secs(60), "a known-good state is recorded", || {
        runtime.block_on(async {
            let store = Sqlite::open_read_only(&dir).ok()?;
            let records = store.read(0, usize::MAX).await.ok()?;
            records.iter().find_map(|record| match record.entry().ok()? {
                Entry::ObjectHealthy { related, .. } => related
                    .iter()
                    .find(|object| object.kind().kind == "Service")
                    .map(|object| object.reference("test").without_uid()),
                _ => None,
            })
        })
    });
    let client = connect(&api_server, &runtime);
    let selector = || {
        let found = runtime.block_on(client.get(&service, Consistency::Latest)).unwrap().unwrap();
        found.at("/spec/selector").cloned().unwrap()
    };
    let before = selector();
    let label = before.as_object().unwrap().keys().next().unwrap().clone();
    let reply = runtime.block_on(client.send(&Request {
        target: service.clone(),
        verb: Verb::Patch {
            patch: Patch::Merge(json!({"spec": {"selector": {label: "stray"}}})),
            subresource: None,
        },
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: Agent::default(),
    }));
    assert!(matches!(reply, WriteReply::Accepted(_)), "{reply:?}");

    let (file, starts_at) = (folder.path().join("delivery.json"), jiff::Timestamp::now());
    let ingest = |status: &str| {
        std::fs::write(&file, delivery(&service, status, starts_at).to_string()).unwrap();
        let ingest = ["alert", "ingest", "-f", file.to_str().unwrap()];
        server.json(&[&ingest[..], &data].concat())
    };
    ingest("firing");
    let chiron = |arguments: &[&str]| server.json(&[arguments, &data].concat());
    let newest = || chiron(&["plan", "list"])["items"].as_array()?.first().cloned();
    let mut plan = wait_for(Duration::from_secs(30), "a plan needs approval", newest);
    // The choice among the candidates is random, and a candidate is not chosen twice.
    for _ in 0..6 {
        if plan["workflow"] == "restore-service-selector" {
            break;
        }
        chiron(&["plan", "create", "--incident", plan["incident"].as_str().unwrap()]);
        plan = newest().unwrap();
    }
    assert_eq!(
        (plan["workflow"].as_str(), plan["status"].as_str()),
        (Some("restore-service-selector"), Some("needs-approval")),
        "{plan}"
    );
    let id = plan["id"].as_str().unwrap();
    let explained = chiron(&["plan", "explain", id]).to_string();
    assert!(explained.contains("since the last known-good state"), "{explained}");
    chiron(&["plan", "approve", id, "--reason", "the explanation matches the fault"]);
    let run = wait_for(Duration::from_secs(90), "the run ends", || {
        let runs = chiron(&["run", "list"]);
        let run = runs["items"].as_array()?.first()?.clone();
        (!run["endedAt"].is_null()).then_some(run)
    });
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(selector(), before);
    ingest("resolved");
    wait_for(Duration::from_secs(30), "the incident is resolved", || {
        (chiron(&["incident", "list"])["items"][0]["outcome"] == "resolved").then_some(())
    });
    server.end();
}
