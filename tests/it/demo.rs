//! `chiron demo` as a person, or a script, runs it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::{
    Agent, Cluster as _, Kind, KubeCluster, KubeLimits, KubeSource, ListQuery, Mode, Object,
    ObjectRef, Patch, Preconditions, Reply, Request, SecretKey, Verb,
};
use serde_json::{Value, json};

use crate::served::{self, Server, within};

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
fn one_incident_is_healed_and_told_as_one_object() {
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
    let sum: f64 = propensities.iter().map(|option| option["propensity"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    let chosen = |option: &&Value| option["candidate"] == object["decision"]["chosen"];
    assert_eq!(propensities.iter().filter(chosen).count(), 1);
    assert!(object["decision"]["seed"].is_string());
    assert_eq!(object["run"]["status"], "succeeded");
    assert_eq!(object["outcome"]["resolved"], true);
    let count = |key: &str| object["learner"][key].as_u64().unwrap();
    assert_eq!(count("observationsAfter"), count("observationsBefore") + 1);
    assert!(object["alert"]["name"].is_string() && object["attempts"].is_array());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = || serde_json::to_string(&without_timing(demo(&["--seed", "42"]))).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn confidence_is_no_constant() {
    let told: Vec<Value> = (1..=20).map(demo_any).collect();
    let of = |object: &Value| object["plan"]["confidence"]["estimate"].to_string();
    let values: BTreeSet<String> = told.iter().map(of).collect();
    assert!(values.len() >= 5, "{values:?}");
    for object in &told {
        assert_eq!(is_said_to_be_chance(object), is_chance(object), "{object:#}");
    }
}

/// Whether another candidate than the chosen one was likelier.
fn is_chance(object: &Value) -> bool {
    let options = object["decision"]["propensities"].as_array().unwrap();
    let of = |option: &Value| option["propensity"].as_f64().unwrap();
    let chosen = options.iter().find(|one| one["candidate"] == object["decision"]["chosen"]);
    options.iter().any(|option| of(option) > of(chosen.unwrap()))
}

fn is_said_to_be_chance(object: &Value) -> bool {
    let sentences = object["plan"]["explanation"].as_array().unwrap().iter();
    sentences.filter_map(Value::as_str).any(|sentence| sentence.contains("drawn by chance"))
}

/// As `demo`, whatever came of it.
fn demo_any(seed: u64) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(["demo", "--once", "--json", "--seed", &seed.to_string()])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_family_that_does_not_exist_is_refused_with_those_that_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(["demo", "--once", "--json", "--fault", "gremlins"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("gremlins") && text.contains("bad-image"), "{text}");
}

/// What a person's session has about it, in folders of the test's own.
fn session(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let of = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    vec![("TMPDIR", of("tmp")), ("XDG_RUNTIME_DIR", of("run"))]
}

/// A demo that stays, so many times as fast as the clock. Chance draws what a second incident gets from the moment at
/// which it opens; a story that is told once wants the likeliest.
fn stay(speed: &str) -> Vec<&str> {
    let calm = ["demo", "--stay", "--seed", "42", "--policy", "greedy", "--listen", "127.0.0.1:0"];
    [&calm[..], &["--speed", speed]].concat()
}

fn first_incident_is_told(demo: &Server) {
    within(Duration::from_secs(60), "the first incident is told", || {
        // The last line of what it says of itself.
        demo.said().iter().any(|line| line.contains("kubectl --kubeconfig")).then_some(())
    });
}

/// Whether this process was started with the end of its terminal ignored, as `nohup` does.
fn outlives_its_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(ignored.unwrap_or("0").trim(), 16).unwrap() & 1 == 1
}

/// The incident about a workload of `namespace`, once it is resolved.
fn resolved(demo: &Server, namespace: &Value, workload: &Value) -> Value {
    let mut last = Value::Null;
    within(Duration::from_secs(90), "it is healed", || {
        last = demo.json(&["incident", "list"]);
        let is_it = |incident: &&Value| {
            incident["namespace"] == *namespace
                && incident["subject"].to_string().contains(workload.as_str().unwrap())
        };
        let found = last["items"].as_array()?.iter().find(is_it)?.clone();
        (found["outcome"] == "resolved").then_some(found)
    })
}

#[test]
fn a_demo_that_stands_breaks_something_else_on_request_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let env = session(folder.path());
    let demo = Server::start(&stay("300"), &env);
    first_incident_is_told(&demo);
    // No flag says where it is.
    assert!(!demo.json(&["incident", "list"])["items"].as_array().unwrap().is_empty());
    let said = demo.said().join("\n");
    let plan = said.split("chiron plan explain ").nth(1).unwrap().split('\n').next().unwrap();
    assert!(demo.chiron(&["plan", "explain", plan]).status.success(), "{said}");

    let unknown = demo.chiron(&["demo", "break", "gremlins"]);
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(6), "{text}");
    assert!(text.contains("gremlins") && text.contains("bad-image"), "{text}");

    let struck = demo.json(&["demo", "break", "wrong-target-port"]);
    assert_eq!(struck["family"], "wrong-target-port");
    resolved(&demo, &struck["namespace"], &struck["workload"]);
    // Where the tests outlive their terminal, so does what they start.
    let said = if outlives_its_terminal() { demo.end() } else { demo.hang_up() };
    let alerts = said.iter().filter(|line| line.contains("Alert firing")).count();
    assert!(alerts >= 2, "{said:?}");

    for place in [folder.path().join("tmp"), folder.path().join("run/chiron")] {
        let left: Vec<_> = std::fs::read_dir(&place).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let gone = served::command(&env).args(["demo", "break", "bad-image"]).output().unwrap();
    let text = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(!gone.status.success() && text.contains("no demo runs"), "{text}");
}

#[test]
fn a_demo_that_was_killed_goes_on_with_what_had_struck_it() {
    let folder = tempfile::tempdir().unwrap();
    let env = session(folder.path());
    let dir = folder.path().join("state");
    let keeping = |speed| [&stay(speed)[..], &["--data-dir", dir.to_str().unwrap()]].concat();
    // Slow enough that it is killed before anything fires.
    let demo = Server::start(&keeping("60"), &env);
    first_incident_is_told(&demo);
    let struck = demo.json(&["demo", "break", "scaled-to-zero"]);
    demo.kill();

    // It could not take back its word, and whoever has its port by now is not handed its token.
    let told = |args: &[&str]| {
        let output = served::command(&env).args(["incident", "list"]).args(args).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let gone = told(&[]);
    assert!(gone.contains("has ended: start `chiron demo`"), "{gone}");
    assert!(told(&[]).contains("no demo runs here"), "its word is removed");
    let named = told(&["--data-dir", dir.to_str().unwrap()]);
    assert!(named.contains("it has ended: start it again"), "{named}");

    let strikes = || {
        let noted = std::fs::read_to_string(dir.join("world.jsonl")).unwrap();
        let lines = noted.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["strike"].clone()).filter(|strike| !strike.is_null()).collect()
    };
    let noted: Vec<Value> = strikes();
    assert_eq!(noted, [json!({"family": "scaled-to-zero", "seed": struck["seed"]})]);
    let demo = Server::start(&keeping("300"), &env);
    resolved(&demo, &struck["namespace"], &struck["workload"]);
    let said = demo.end();
    assert!(said.iter().any(|line| line.contains("goes on where it was")), "{said:?}");
    assert_eq!(strikes(), noted, "what was on its way was waited for");

    let verified =
        served::command(&env).args(["admin", "verify", "--data-dir"]).arg(&dir).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn without_a_terminal_the_demo_ends_after_an_incident_and_a_second_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("state");
    let told = || {
        let demo = served::command(&session(folder.path()))
            .args(["demo", "--speed", "1000", "--data-dir"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
        String::from_utf8(demo.stdout).unwrap()
    };
    let (first, second) = (told(), told());
    for tale in [&first, &second] {
        assert!(tale.contains("Outcome: resolved") && !tale.contains("http://"), "{tale}");
    }
    let alert =
        |tale: &str| tale.lines().find(|line| line.contains("Alert firing")).map(str::to_string);
    assert_ne!(alert(&first), alert(&second));
}

#[test]
fn a_fault_of_which_nothing_is_heard_ends_the_wait_and_not_the_patience_of_whoever_waits() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("state");
    // The second fault strikes what the first one did, while that is still watched: its alert joins an incident that is
    // open. The third strikes it once more, and nothing new fires.
    let told = || {
        let mut demo = served::command(&session(folder.path()))
            .args(["demo", "--seed", "1", "--fault", "scaled-to-zero", "--speed", "1000"])
            .arg("--data-dir")
            .arg(&dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ended = within(Duration::from_secs(60), "it ends", || demo.try_wait().unwrap());
        let mut tale = String::new();
        demo.stdout.take().unwrap().read_to_string(&mut tale).unwrap();
        (ended.code().unwrap(), tale)
    };
    let (healed, joined, unheard) = (told(), told(), told());
    assert_eq!([healed.0, joined.0, unheard.0], [0, 8, 8], "{joined:?} {unheard:?}");
    assert!(joined.1.contains("it came back") && !joined.1.contains("incident inc_"), "{joined:?}");
    assert!(unheard.1.contains("Nothing was heard of it"), "{unheard:?}");
}

/// A client of the cluster that the demo's kubeconfig names, as kubectl is one.
async fn outside(kubeconfig: &str) -> KubeCluster {
    let source = KubeSource::File { path: kubeconfig.into(), context: None };
    let key = SecretKey::from_bytes([7; 32]);
    let cluster = KubeCluster::connect("demo", &source, key, KubeLimits::default()).await;
    cluster.unwrap_or_else(|error| panic!("{error}: {}", error.hint()))
}

/// Sets the image of a healthy workload to one that does not exist, as `kubectl set image` does.
async fn set_image_that_does_not_exist(kubeconfig: &str) -> ObjectRef {
    let cluster = outside(kubeconfig).await;
    let query = ListQuery::latest(Kind::builtin("Deployment").unwrap(), None);
    let page = cluster.list(&query).await.unwrap();
    let is_steady = |object: &&Object| {
        object.at("/spec/replicas").and_then(Value::as_u64) > Some(1)
            && object.at("/spec/replicas") == object.at("/status/readyReplicas")
    };
    let steady = page.items.iter().find(is_steady).unwrap();
    let name = steady.at("/spec/template/spec/containers/0/name").unwrap();
    let containers = json!([{"name": name, "image": "registry.example/nothing:9"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let request = Request {
        target: steady.reference("demo"),
        verb: Verb::Patch { patch: Patch::Strategic(patch), subresource: None },
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: Agent::default(),
    };
    let reply = cluster.send(&request).await;
    assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
    request.target
}

#[test]
fn what_somebody_does_to_the_cluster_from_outside_is_noticed_healed_and_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let env = session(folder.path());
    let dir = folder.path().join("state");
    let keeping = [&stay("300")[..], &["--data-dir", dir.to_str().unwrap()]].concat();
    let demo = Server::start(&keeping, &env);
    first_incident_is_told(&demo);
    let said = demo.said().join("\n");
    let kubeconfig = said.split("kubectl --kubeconfig ").nth(1).unwrap().split(' ').next().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let target = runtime.block_on(set_image_that_does_not_exist(kubeconfig));
    resolved(&demo, &target.namespace.into(), &target.name.clone().into());
    let said = demo.end();
    let change = |line: &String| {
        line.contains(&target.name) && line.contains("to `\"registry.example/nothing:9\"` since")
    };
    assert!(said.iter().any(change), "{said:?}");

    // The change stands in the world's journal, and its outcome in what was learned: a second demo goes on with both.
    let learned = |said: &[String]| {
        let line = said.iter().find(|line| line.contains("Learned from")).unwrap();
        line.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap()
    };
    let again = Server::start(&keeping, &env);
    assert!(learned(&again.said()) >= learned(&said) + 2, "{:?}", again.said());
}
