//! `chiron demo`, with and without a terminal.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::{
    Agent, Cluster as _, Kind, KubeCluster, KubeLimits, KubeSource, ListQuery, Mode, Object,
    ObjectRef, Patch, Preconditions, Request, SecretKey, Verb, WriteReply,
};
use serde_json::{Value, json};

use crate::server_process::{self, ServerProcess, wait_for};

/// Runs `chiron demo --once --json` successfully and returns its output.
fn demo(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(["demo", "--once", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn without_timing(mut object: Value) -> Value {
    object.as_object_mut().unwrap().remove("timing");
    object
}

#[test]
fn demo_json_contains_plan_decision_run_and_outcome() {
    let object = demo(&["--seed", "42"]);
    let plan = &object["plan"];
    assert!(plan["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    for key in ["evidence", "candidates", "steps"] {
        assert!(plan[key].as_array().is_some_and(|list| !list.is_empty()), "plan.{key}");
    }
    let [low, estimate, high] =
        ["low", "estimate", "high"].map(|key| plan["confidence"][key].as_f64().unwrap());
    assert!(0.0 < low && low <= estimate && estimate <= high && high < 1.0, "{low} {high}");
    let propensities = object["decision"]["propensities"].as_array().unwrap();
    let sum: f64 = propensities.iter().map(|entry| entry["propensity"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    let is_chosen = |entry: &&Value| entry["candidate"] == object["decision"]["chosen"];
    assert_eq!(propensities.iter().filter(is_chosen).count(), 1);
    assert!(object["decision"]["seed"].is_string());
    assert_eq!(object["run"]["status"], "succeeded");
    assert_eq!(object["outcome"]["status"], "resolved");
    let count = |key: &str| object["learner"][key].as_u64().unwrap();
    assert_eq!(count("observationsAfter"), count("observationsBefore") + 1);
    assert!(object["alert"]["name"].is_string() && object["attempts"].is_array());
}

#[test]
fn demo_output_is_identical_for_same_seed() {
    let bytes = || serde_json::to_string(&without_timing(demo(&["--seed", "42"]))).unwrap();
    assert_eq!(bytes(), bytes());
}

/// The confidence is the estimate of the chosen candidate, and the explanation says when it was chosen by exploration.
#[test]
#[ignore = "slow: run by make test"]
fn slow_demo_confidence_is_the_estimate_of_the_chosen_candidate() {
    // With seed 95, the policy explores.
    let objects: Vec<Value> = (1..=9).chain([95]).map(demo_with_any_outcome).collect();
    for object in &objects {
        let candidates = object["plan"]["candidates"].as_array().unwrap();
        let chosen = candidates.iter().find(|one| one["id"] == object["decision"]["chosen"]);
        assert_eq!(object["plan"]["confidence"], chosen.unwrap()["estimate"], "{object:#}");
        assert_eq!(is_explained_as_random(object), is_exploration(object), "{object:#}");
    }
    // Both cases occur, so neither assertion is vacuous.
    let explored = objects.iter().filter(|object| is_exploration(object)).count();
    assert!((1..10).contains(&explored), "{explored} of 10 explored");
}

/// Returns whether another candidate had a higher propensity than the chosen one.
fn is_exploration(object: &Value) -> bool {
    let entries = object["decision"]["propensities"].as_array().unwrap();
    let propensity = |entry: &Value| entry["propensity"].as_f64().unwrap();
    let chosen = entries.iter().find(|one| one["candidate"] == object["decision"]["chosen"]);
    entries.iter().any(|entry| propensity(entry) > propensity(chosen.unwrap()))
}

fn is_explained_as_random(object: &Value) -> bool {
    let sentences = object["plan"]["explanation"].as_array().unwrap().iter();
    sentences.filter_map(Value::as_str).any(|sentence| sentence.contains("chosen at random"))
}

/// Runs `chiron demo --once --json` and returns its output, also if the incident was not resolved.
fn demo_with_any_outcome(seed: u64) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(["demo", "--once", "--json", "--seed", &seed.to_string()])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn demo_with_unknown_family_lists_known_families() {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(["demo", "--once", "--json", "--fault", "gremlins"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("gremlins") && text.contains("bad-image"), "{text}");
}

/// Returns the environment variables of a user session, with folders inside `folder`.
fn session_env(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let of = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    vec![("TMPDIR", of("tmp")), ("XDG_RUNTIME_DIR", of("run"))]
}

/// Returns the arguments of a demo that continues to serve, `speed` times as fast as the clock.
///
/// The policy is greedy because exploration depends on the time at which an incident is opened, which varies between runs.
fn serve_args(speed: &str) -> Vec<&str> {
    let common =
        ["demo", "--serve", "--seed", "42", "--policy", "greedy", "--listen", "127.0.0.1:0"];
    [&common[..], &["--speed", speed]].concat()
}

fn wait_for_first_incident(demo: &ServerProcess) {
    wait_for(Duration::from_secs(60), "the first incident ends", || {
        // The last line of the instructions that follow the first incident.
        demo.stdout_lines().iter().any(|line| line.contains("kubectl --kubeconfig")).then_some(())
    });
}

/// Returns whether this process ignores SIGHUP, as under `nohup`.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(ignored.unwrap_or("0").trim(), 16).unwrap() & 1 == 1
}

/// Waits until an incident about a workload in `namespace` is resolved, and returns it.
fn wait_until_resolved(demo: &ServerProcess, namespace: &Value, workload: &Value) -> Value {
    let mut last = Value::Null;
    wait_for(Duration::from_secs(90), "the incident is resolved", || {
        last = demo.json(&["incident", "list"]);
        let is_about_workload = |incident: &&Value| {
            incident["namespace"] == *namespace
                && incident["subject"].to_string().contains(workload.as_str().unwrap())
        };
        let found = last["items"].as_array()?.iter().find(is_about_workload)?.clone();
        (found["outcome"] == "resolved").then_some(found)
    })
}

/// A running demo injects another fault on request, and removes its files at exit.
#[test]
#[ignore = "slow: run by make test"]
fn slow_serving_demo_breaks_on_request_and_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let env = session_env(folder.path());
    let demo = ServerProcess::start(&serve_args("300"), &env);
    wait_for_first_incident(&demo);
    // Other commands find the demo without a flag.
    assert!(!demo.json(&["incident", "list"])["items"].as_array().unwrap().is_empty());
    let printed = demo.stdout_lines().join("\n");
    let plan = printed.split("chiron plan explain ").nth(1).unwrap().split('\n').next().unwrap();
    assert!(demo.chiron(&["plan", "explain", plan]).status.success(), "{printed}");

    let unknown = demo.chiron(&["demo", "break", "gremlins"]);
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(6), "{text}");
    assert!(text.contains("gremlins") && text.contains("bad-image"), "{text}");

    let broken = demo.json(&["demo", "break", "wrong-target-port"]);
    assert_eq!(broken["family"], "wrong-target-port");
    wait_until_resolved(&demo, &broken["namespace"], &broken["workload"]);
    // Child processes inherit an ignored SIGHUP.
    let printed = if ignores_hang_up() { demo.end() } else { demo.hang_up() };
    let alerts = printed.iter().filter(|line| line.contains("Alert firing")).count();
    assert!(alerts >= 2, "{printed:?}");

    for folder in [folder.path().join("tmp"), folder.path().join("run/chiron")] {
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let ended =
        server_process::command(&env).args(["demo", "break", "bad-image"]).output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && text.contains("no demo is running"), "{text}");
}

/// A demo that was killed after a fault was injected continues with that fault.
#[test]
#[ignore = "slow: run by make test"]
fn slow_killed_demo_resumes_with_injected_fault() {
    let folder = tempfile::tempdir().unwrap();
    let env = session_env(folder.path());
    let dir = folder.path().join("state");
    let with_data_dir =
        |speed| [&serve_args(speed)[..], &["--data-dir", dir.to_str().unwrap()]].concat();
    // Slow enough that it is killed before the alert fires.
    let demo = ServerProcess::start(&with_data_dir("60"), &env);
    wait_for_first_incident(&demo);
    let broken = demo.json(&["demo", "break", "scaled-to-zero"]);
    demo.kill();

    // The killed demo left its locator file behind. Clients must not send the token to another process on the same port.
    let error = |args: &[&str]| {
        let mut command = server_process::command(&env);
        let output = command.args(["incident", "list"]).args(args).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let stale = error(&[]);
    assert!(stale.contains("has ended: start `chiron demo`"), "{stale}");
    assert!(error(&[]).contains("no demo is running"), "the locator file was not removed");
    let with_dir = error(&["--data-dir", dir.to_str().unwrap()]);
    assert!(with_dir.contains("is not running: start it again"), "{with_dir}");

    let injections = || {
        let journal = std::fs::read_to_string(dir.join("world.jsonl")).unwrap();
        let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["injection"].clone()).filter(|entry| !entry.is_null()).collect()
    };
    let before: Vec<Value> = injections();
    assert_eq!(before, [json!({"family": "scaled-to-zero", "seed": broken["seed"]})]);
    let demo = ServerProcess::start(&with_data_dir("300"), &env);
    wait_until_resolved(&demo, &broken["namespace"], &broken["workload"]);
    let printed = demo.end();
    assert!(printed.iter().any(|line| line.contains("The demo continues after")), "{printed:?}");
    assert_eq!(injections(), before, "no fault is injected while one is pending");

    let mut verify = server_process::command(&env);
    let verified = verify.args(["admin", "verify", "--data-dir"]).arg(&dir).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn demo_without_terminal_handles_one_incident_per_start() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("state");
    let run = || {
        let demo = server_process::command(&session_env(folder.path()))
            .args(["demo", "--speed", "1000", "--data-dir"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
        String::from_utf8(demo.stdout).unwrap()
    };
    let (first, second) = (run(), run());
    for output in [&first, &second] {
        assert!(output.contains("Outcome: resolved") && !output.contains("http://"), "{output}");
    }
    let alert = |output: &str| {
        output.lines().find(|line| line.contains("Alert firing")).map(str::to_string)
    };
    assert_ne!(alert(&first), alert(&second));
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_demo_stops_waiting_when_fault_raises_no_alert() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("state");
    // The second run injects the fault into the same workload while its incident is observed for recurrence: the alert joins
    // the open incident. The third run injects it once more, and no new alert fires.
    let run = || {
        let mut demo = server_process::command(&session_env(folder.path()))
            .args(["demo", "--seed", "1", "--fault", "scaled-to-zero", "--speed", "1000"])
            .arg("--data-dir")
            .arg(&dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let status =
            wait_for(Duration::from_secs(60), "the demo exits", || demo.try_wait().unwrap());
        let mut output = String::new();
        demo.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        (status.code().unwrap(), output)
    };
    let (resolved, joined, silent) = (run(), run(), run());
    assert_eq!([resolved.0, joined.0, silent.0], [0, 8, 8], "{joined:?} {silent:?}");
    assert!(
        joined.1.contains("Outcome: recurred") && !joined.1.contains("incident inc_"),
        "{joined:?}"
    );
    assert!(silent.1.contains("No alert fired within"), "{silent:?}");
}

/// Connects to the cluster of the demo's kubeconfig, as kubectl does.
async fn connect(kubeconfig: &str) -> KubeCluster {
    let source = KubeSource::File { path: kubeconfig.into(), context: None };
    let key = SecretKey::from_bytes([7; 32]);
    let cluster = KubeCluster::connect("demo", &source, key, KubeLimits::default()).await;
    cluster.unwrap_or_else(|error| panic!("{error}: {}", error.hint()))
}

/// Sets the image of a healthy workload to one that does not exist, as `kubectl set image` does. Returns the workload.
async fn set_nonexistent_image(kubeconfig: &str) -> ObjectRef {
    let cluster = connect(kubeconfig).await;
    let query = ListQuery::latest(Kind::builtin("Deployment").unwrap(), None);
    let page = cluster.list(&query).await.unwrap();
    let is_healthy = |object: &&Object| {
        object.at("/spec/replicas").and_then(Value::as_u64) > Some(1)
            && object.at("/spec/replicas") == object.at("/status/readyReplicas")
    };
    let healthy = page.items.iter().find(is_healthy).unwrap();
    let name = healthy.at("/spec/template/spec/containers/0/name").unwrap();
    let containers = json!([{"name": name, "image": "registry.example/nothing:9"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let request = Request {
        target: healthy.reference("demo"),
        verb: Verb::Patch { patch: Patch::Strategic(patch), subresource: None },
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: Agent::default(),
    };
    let reply = cluster.send(&request).await;
    assert!(matches!(reply, WriteReply::Accepted(_)), "{reply:?}");
    request.target
}

/// A change through the Kubernetes API of the demo is explained, remediated, and used as training data.
#[test]
#[ignore = "slow: run by make test"]
fn slow_external_change_is_detected_and_remediated() {
    let folder = tempfile::tempdir().unwrap();
    let env = session_env(folder.path());
    let dir = folder.path().join("state");
    let args = [&serve_args("300")[..], &["--data-dir", dir.to_str().unwrap()]].concat();
    let demo = ServerProcess::start(&args, &env);
    wait_for_first_incident(&demo);
    let printed = demo.stdout_lines().join("\n");
    let kubeconfig =
        printed.split("kubectl --kubeconfig ").nth(1).unwrap().split(' ').next().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let target = runtime.block_on(set_nonexistent_image(kubeconfig));
    wait_until_resolved(&demo, &target.namespace.into(), &target.name.clone().into());
    let printed = demo.end();
    let change = |line: &String| {
        line.contains(&target.name) && line.contains("to `\"registry.example/nothing:9\"` since")
    };
    assert!(printed.iter().any(change), "{printed:?}");

    // The journal of the world contains the change, and the learner its outcome: a restarted demo continues with both.
    let observations = |lines: &[String]| {
        let line = lines.iter().find(|line| line.contains("Learned from")).unwrap();
        line.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap()
    };
    let restarted = ServerProcess::start(&args, &env);
    let lines = restarted.stdout_lines();
    assert!(observations(&lines) >= observations(&printed) + 2, "{lines:?}");
}
