//! The server over a cluster that a kubeconfig names: the simulated one, behind its Kubernetes API.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use cluster::{
    Agent, Cluster as _, Consistency, KubeCluster, KubeLimits, KubeSource, Mode, ObjectRef, Patch,
    Preconditions, Reply, Request, SecretKey, Verb,
};
use serde_json::{Value, json};
use store::{Sqlite, Store as _};
use workflow::Entry;

use crate::served::{Server, command, within};

/// A simulated cluster as a process of its own, ended with the test.
struct Door {
    child: Child,
    kubeconfig: PathBuf,
}

impl Door {
    fn open(folder: &Path) -> Self {
        Self::of(folder.join("kubeconfig"), "3")
    }

    fn of(kubeconfig: PathBuf, seed: &str) -> Self {
        let child = command(&[])
            .args(["simulate", "serve", "--seed", seed, "--kubeconfig"])
            .arg(&kubeconfig)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let door = Self { child, kubeconfig };
        within(Duration::from_secs(60), "the kubeconfig is written", || {
            door.kubeconfig.is_file().then_some(())
        });
        door
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How `chiron serve` ends with these arguments: its exit code and what it says.
fn refused(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(&[])
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("refused"))
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_said_at_start_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::open(folder.path());
    let text = std::fs::read_to_string(&door.kubeconfig).unwrap();
    let other = |name: &str, change: &dyn Fn(&str) -> String| {
        let path = folder.path().join(name);
        let lines: Vec<String> = text.lines().map(change).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        path.to_str().unwrap().to_string()
    };
    let replaced = |line: &str, key: &str, value: &str| match line.split_once(key) {
        Some((before, _)) => format!("{before}{key} {value}"),
        None => line.to_string(),
    };
    let good = door.kubeconfig.to_str().unwrap();
    let broken = other("broken", &|line| format!("[{line}"));
    let expired = other("expired", &|line| replaced(line, "token:", "expired"));
    let gone = other("gone", &|line| replaced(line, "server:", "https://127.0.0.1:1"));
    let absent = folder.path().join("absent");
    let absent = absent.to_str().unwrap();
    for (arguments, code, words) in [
        (&["--kubeconfig", &broken][..], 6, "cannot use the kubeconfig"),
        (&["--kubeconfig", absent], 6, "No such file"),
        (&["--kubeconfig", good, "--context", "nowhere"], 6, "no context \"nowhere\""),
        (&["--kubeconfig", &expired], 4, "does not accept our credentials"),
        (&["--kubeconfig", &gone], 1, "cannot be reached"),
    ] {
        let (ended, said) = refused(folder.path(), arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words) && said.contains("\nhint: "), "{arguments:?}: {said}");
    }
    let (ended, said) = refused(folder.path(), &["--kubeconfig", good, "--simulate"]);
    assert_eq!(ended, Some(2), "{said}");
    let (ended, said) = refused(folder.path(), &["--kubeconfig", good, "--fault", "bad-image"]);
    assert_eq!(ended, Some(2), "{said}");
}

#[test]
fn a_record_is_about_one_cluster_and_is_opened_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let one = Door::open(folder.path());
    let other = Door::of(folder.path().join("other"), "4");
    let [one, other] = [&one, &other].map(|door| door.kubeconfig.to_str().unwrap().to_string());
    let data = folder.path().join("refused");
    let data = data.to_str().unwrap();
    let serve = || {
        let start = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--kubeconfig", &one];
        Server::start(&start, &[])
    };
    serve().end();
    for arguments in [&["--kubeconfig", &other][..], &["--simulate"]] {
        let (ended, said) = refused(folder.path(), arguments);
        assert_eq!(ended, Some(5), "{arguments:?}: {said}");
        assert!(said.contains("is about the cluster \"shop\" at https://127.0.0.1:"), "{said}");
        assert!(said.contains("\nhint: take another --data-dir"), "{said}");
    }
    let demo = command(&[]).args(["demo", "--data-dir", data]).output().unwrap();
    let said = String::from_utf8_lossy(&demo.stderr);
    assert_eq!(demo.status.code(), Some(5), "{said}");
    // What was refused has left nothing behind.
    serve().end();

    let unnamed = command(&[]).args(["serve", "--kubeconfig", &one]).output().unwrap();
    let said = String::from_utf8_lossy(&unnamed.stderr);
    assert_eq!(unnamed.status.code(), Some(2), "{said}");
    assert!(said.contains("--data-dir"), "the record of real changes is kept: {said}");
}

#[test]
fn a_kubeconfig_of_somebody_s_own_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("config");
    std::fs::write(&own, "apiVersion: v1\nkind: Config\n").unwrap();
    let serve = ["simulate", "serve", "--kubeconfig", own.to_str().unwrap()];
    let refused = command(&[]).args(serve).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("name another file"), "{said}");
    assert_eq!(std::fs::read_to_string(own).unwrap(), "apiVersion: v1\nkind: Config\n");
}

/// The cluster, as somebody else goes to it.
fn somebody(door: &Door, runtime: &tokio::runtime::Runtime) -> KubeCluster {
    let source = KubeSource::File { path: door.kubeconfig.clone(), context: None };
    let secrets = SecretKey::from_bytes([7; 32]);
    runtime.block_on(KubeCluster::connect("test", &source, secrets, KubeLimits::default())).unwrap()
}

fn delivery(service: &ObjectRef, status: &str, starts_at: jiff::Timestamp) -> Value {
    let labels = json!({"alertname": "ServiceWithoutEndpoints", "namespace": service.namespace,
        "service": service.name, "severity": "critical"});
    json!({"version": "4", "alerts": [{"status": status, "labels": labels, "annotations": {}, "startsAt": starts_at}]})
}

#[test]
fn a_cluster_behind_a_kubeconfig_is_healed_once_a_person_has_approved() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::open(folder.path());
    let dir = folder.path().join("data");
    let data = ["--data-dir", dir.to_str().unwrap()];
    let start = ["serve", "--listen", "127.0.0.1:0", "--kubeconfig"];
    let quick = ["--healthy-for", "2", "--healthy-every", "1", "--quiet", "1s"];
    let path = [door.kubeconfig.to_str().unwrap()];
    let server = Server::start(&[&start[..], &path, &quick, &data].concat(), &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    // What is well is remembered: one of the workloads, with its Service.
    let service = within(Duration::from_secs(60), "what is well is remembered", || {
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
    let somebody = somebody(&door, &runtime);
    let selector = || {
        let found = runtime.block_on(somebody.get(&service, Consistency::Latest)).unwrap().unwrap();
        found.at("/spec/selector").cloned().unwrap()
    };
    let before = selector();
    let label = before.as_object().unwrap().keys().next().unwrap().clone();
    let reply = runtime.block_on(somebody.send(&Request {
        target: service.clone(),
        verb: Verb::Patch {
            patch: Patch::Merge(json!({"spec": {"selector": {label: "stray"}}})),
            subresource: None,
        },
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: Agent::default(),
    }));
    assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");

    let (file, starts_at) = (folder.path().join("delivery.json"), jiff::Timestamp::now());
    let tell = |status: &str| {
        std::fs::write(&file, delivery(&service, status, starts_at).to_string()).unwrap();
        let ingest = ["alert", "ingest", "-f", file.to_str().unwrap()];
        server.json(&[&ingest[..], &data].concat())
    };
    tell("firing");
    let ask = |words: &[&str]| server.json(&[words, &data].concat());
    let newest = || ask(&["plan", "list"])["items"].as_array()?.first().cloned();
    let mut plan = within(Duration::from_secs(30), "a plan waits for a person", newest);
    // Which of the candidates is drawn is chance; what was drawn before is not drawn again.
    for _ in 0..6 {
        if plan["workflow"] == "restore-service-selector" {
            break;
        }
        ask(&["plan", "create", "--incident", plan["incident"].as_str().unwrap()]);
        plan = newest().unwrap();
    }
    assert_eq!(
        (plan["workflow"].as_str(), plan["status"].as_str()),
        (Some("restore-service-selector"), Some("needs-approval")),
        "{plan}"
    );
    let id = plan["id"].as_str().unwrap();
    let explained = ask(&["plan", "explain", id]).to_string();
    assert!(explained.contains("since it was last healthy"), "{explained}");
    ask(&["plan", "approve", id, "--reason", "it says what is wrong"]);
    let run = within(Duration::from_secs(90), "the run ends", || {
        let runs = ask(&["run", "list"]);
        let run = runs["items"].as_array()?.first()?.clone();
        (!run["endedAt"].is_null()).then_some(run)
    });
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(selector(), before);
    tell("resolved");
    within(Duration::from_secs(30), "it is resolved", || {
        (ask(&["incident", "list"])["items"][0]["outcome"] == "resolved").then_some(())
    });
    server.end();
}
