//! A shop on a real cluster is broken with kubectl, alerted by the real Alertmanager, and healed by `chiron serve
//! --kubeconfig` after a person's approval; and what happens where the cluster, or somebody in it, says no.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Sqlite, Store as _};
use workflow::Entry;
use workflow::run::Event;

use super::chiron_process::{Server, chiron, within};
use super::fake_prometheus::StandIn;
use super::webhook::Webhook;
use super::{given, kubectl, kubectl_with, objects};

pub(super) const SHOP: &str = "shop";
/// Chiron, as the cluster calls it.
pub(super) const CHIRON: &str = "system:serviceaccount:chiron:chiron";

/// The server, and the folder of its record.
struct Story {
    server: Server,
    dir: PathBuf,
}

fn data(file: &str) -> String {
    format!("{}/tests/kubernetes/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A kubeconfig with Chiron's own token and nobody else's rights.
fn kubeconfig(dir: &Path) -> PathBuf {
    let path = dir.join("chiron.kubeconfig");
    let file = path.to_str().unwrap();
    std::fs::copy(given("CHIRON_TEST_KUBECONFIG"), &path).unwrap();
    let token = kubectl(&["-n", "chiron", "create", "token", "chiron", "--duration", "2h"]);
    let config = |arguments: &[&str]| {
        kubectl(&[&["config", "--kubeconfig", file][..], arguments].concat());
    };
    config(&["set-credentials", "chiron", "--token", token.trim()]);
    config(&["set-context", "shop", "--cluster", "test", "--user", "chiron"]);
    config(&["use-context", "shop"]);
    config(&["delete-user", "admin"]);
    path
}

/// Waits until every Deployment of the shop is available.
fn all_are_available_within(seconds: u32) {
    let timeout = format!("--timeout={seconds}s");
    let wait = ["-n", SHOP, "wait", "--for=condition=Available", "deployment", "--all"];
    kubectl(&[&wait[..], &[timeout.as_str()]].concat());
}

impl Story {
    /// Makes the shop, starts the server, and waits until it knows how all looks when all is well.
    fn begin() -> Self {
        kubectl(&["apply", "-f", &data("shop.yaml"), "-f", &data("rbac.yaml")]);
        all_are_available_within(90);
        let dir = PathBuf::from(given("CHIRON_TEST_DATA"));
        let config = kubeconfig(dir.parent().unwrap());
        let listen = given("CHIRON_TEST_LISTEN");
        let always = ["serve", "--kubeconfig", config.to_str().unwrap(), "--autonomy", "approve"];
        // The likeliest candidate is always taken: a story that is told once cannot wait for exploration to end.
        let place = ["--listen", &listen, "--policy", "greedy"];
        // Five minutes of health before anything may break would be most of the test.
        let server = Server::start(
            &dir,
            &[
                &always[..],
                &place,
                &["--known-good-after", "15s", "--scan-interval", "5s", "--quiet-period", "10s"],
            ]
            .concat(),
        );
        let story = Self { server, dir };
        let workloads =
            objects(&["-n", SHOP, "get", "deployments"])["items"].as_array().unwrap().len();
        within(120, "what is well is remembered", || {
            let is_ours = |(_, entry): &(Timestamp, Entry)| matches!(entry, Entry::ObjectHealthy { object, .. } if object.namespace.as_deref() == Some(SHOP));
            let known: Vec<_> = story.record().into_iter().filter(is_ours).collect();
            (known.len() >= workloads).then_some(())
        });
        println!("{workloads} workloads are well, and remembered so");
        story
    }

    /// Asks the server over the command line.
    fn ask(&self, arguments: &[&str]) -> Value {
        self.server.ask(arguments)
    }

    /// The record, each entry with its moment.
    fn record(&self) -> Vec<(Timestamp, Entry)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Sqlite::open_read_only(&self.dir).unwrap();
            let (mut record, mut after) = (Vec::new(), 0);
            loop {
                let records = store.read(after, 1_000).await.unwrap();
                let Some(last) = records.last() else { return record };
                after = last.seq;
                record.extend(records.iter().map(|record| (record.at, record.entry().unwrap())));
            }
        })
    }

    /// The incidents about a workload: what its alerts name is the workload, or the Service of the same name.
    fn incidents(&self, workload: &str) -> Vec<Value> {
        let incidents = self.ask(&["incident", "list", "--limit", "100"]);
        let about = |incident: &&Value| {
            text(&incident["subject"]).split_once('=').is_some_and(|(_, name)| name == workload)
        };
        incidents["items"].as_array().unwrap().iter().filter(about).cloned().collect()
    }

    /// The plan about a workload that waits for approval, once there is one.
    fn plan(&self, workload: &str) -> Value {
        within(90, &format!("a plan for {workload}"), || {
            let incidents = self.incidents(workload);
            let plans = self.ask(&["plan", "list", "--limit", "100"]);
            let is_wanted = |plan: &&Value| {
                plan["status"] == "needs-approval"
                    && incidents.iter().any(|incident| incident["id"] == plan["incident"])
            };
            plans["items"].as_array()?.iter().find(is_wanted).cloned()
        })
    }

    /// Approves a plan as a person does, and gives the run that follows.
    fn approve(&self, plan: &Value) -> String {
        let id = text(&plan["id"]);
        println!("approving {id}: {} by {}", text(&plan["workflow"]), text(&plan["source"]));
        self.ask(&[
            "plan",
            "approve",
            id,
            "--reason",
            "it says what is wrong",
            "--actor",
            "operator",
        ]);
        within(30, "the plan runs", || {
            let plan = self.ask(&["plan", "get", id]);
            plan["run"].as_str().map(ToString::to_string)
        })
    }

    /// A run once nothing follows any more, or a person is needed.
    fn ended(&self, run: &str) -> Value {
        let ended = within(240, &format!("{run} ends"), || {
            let run = self.ask(&["run", "get", run]);
            (!run["endedAt"].is_null() || run["status"] == "needs-human").then_some(run)
        });
        println!("{run}: {}; {}", text(&ended["status"]), text(&ended["message"]));
        ended
    }

    /// Waits until an incident about a workload ended well.
    fn is_resolved(&self, workload: &str) {
        within(180, &format!("{workload} is resolved"), || {
            let ended = |incident: &Value| incident["outcome"] == "resolved";
            self.incidents(workload).iter().any(ended).then_some(())
        });
        println!("{workload}: resolved");
    }
}

/// One field of an object, as kubectl reads it.
fn field(object: &str, path: &str) -> Value {
    objects(&["-n", SHOP, "get", object]).pointer(path).cloned().unwrap_or_default()
}

fn break_selector(service: &str) {
    let stray = json!({"spec": {"selector": {"app": format!("{service}-v2")}}}).to_string();
    kubectl(&["-n", SHOP, "patch", "service", service, "--type", "merge", "-p", &stray]);
}

fn lose_key(workload: &str) {
    let gone = r#"[{"op": "remove", "path": "/data/mode"}]"#;
    kubectl(&["-n", SHOP, "patch", "configmap", workload, "--type", "json", "-p", gone]);
    kubectl(&["-n", SHOP, "delete", "pods", "-l", &format!("app={workload}")]);
}

#[test]
#[ignore = "needs: kubernetes"]
fn a_real_cluster_is_healed_and_where_it_says_no_nothing_is_forced() {
    let story = Story::begin();
    let _standin = StandIn::start(SHOP, given("CHIRON_TEST_ALERTMANAGER"));
    four_faults_are_healed(&story);
    somebody_else_who_keeps_writing_is_never_overwritten(&story);
    an_admission_veto_ends_the_run(&story);
    a_right_taken_away_in_mid_run_ends_it(&story);
    what_it_cost_is_told_and_bounded(&story);
    let Story { server, dir } = story;
    server.end();
    let verified = chiron().args(["admin", "verify", "--data-dir"]).arg(&dir).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

fn four_faults_are_healed(story: &Story) {
    let port = r#"[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9999}]"#;
    break_selector("cart");
    kubectl(&["-n", SHOP, "patch", "service", "catalog", "--type", "json", "-p", port]);
    kubectl(&["-n", SHOP, "scale", "deployment", "payment", "--replicas", "0"]);
    lose_key("checkout");
    let broken = ["cart", "catalog", "payment", "checkout"];
    let runs = broken.map(|workload| story.approve(&story.plan(workload)));
    for run in runs {
        let ended = story.ended(&run);
        assert_eq!(ended["status"], "succeeded", "{ended:#}");
    }
    assert_eq!(field("service/cart", "/spec/selector"), json!({"app": "cart"}));
    assert_eq!(field("service/catalog", "/spec/ports/0/targetPort"), 3550);
    assert_eq!(field("deployment/payment", "/spec/replicas"), 2);
    assert_eq!(field("configmap/checkout", "/data/mode"), "live");
    all_are_available_within(60);
    for workload in broken {
        story.is_resolved(workload);
    }
}

/// Somebody writes to the object each time between Chiron's reading of it and its writing: conflict after conflict,
/// three new attempts and no more, and never a change by force.
fn somebody_else_who_keeps_writing_is_never_overwritten(story: &Story) {
    let somebody = Webhook::stand("services", "orders", |call| {
        let note = format!("somebody=wrote-{call}");
        kubectl(&["-n", SHOP, "annotate", "--overwrite", "service", "orders", &note]);
    });
    break_selector("orders");
    let run = story.approve(&story.plan("orders"));
    let ended = story.ended(&run);
    println!("{} writes by somebody else meanwhile", somebody.calls());
    drop(somebody);
    assert_ne!(ended["status"], "succeeded", "{ended:#}");
    assert_eq!(ended["effects"][0]["attempts"], 4, "{ended:#}");
    assert_eq!(
        field("service/orders", "/spec/selector"),
        json!({"app": "orders-v2"}),
        "nothing was forced"
    );
    let mended = r#"{"spec": {"selector": {"app": "orders"}}}"#;
    kubectl(&["-n", SHOP, "patch", "service", "orders", "--type", "merge", "-p", mended]);
}

/// A policy of the cluster refuses what its permissions allow: a definite no, and nothing is changed.
fn an_admission_veto_ends_the_run(story: &Story) {
    kubectl(&["-n", SHOP, "scale", "deployment", "search", "--replicas", "0"]);
    // Proposed before the veto: a dry run would have met it.
    let plan = story.plan("search");
    kubectl(&["apply", "-f", &data("admission-policy.yaml")]);
    within(30, "the veto is in force", || {
        let asked =
            ["-n", SHOP, "--as", CHIRON, "scale", "deployment", "search", "--replicas", "1"];
        kubectl_with(&[&asked[..], &["--dry-run=server"]].concat(), "").err()
    });
    let run = story.approve(&plan);
    let ended = story.ended(&run);
    assert_ne!(ended["status"], "succeeded", "{ended:#}");
    assert!(
        ended.to_string().contains("frozen by the platform team"),
        "the run says who said no: {ended:#}"
    );
    assert_eq!(field("deployment/search", "/spec/replicas"), 0, "nothing was changed");
    kubectl(&["delete", "-f", &data("admission-policy.yaml")]);
    kubectl(&["-n", SHOP, "scale", "deployment", "search", "--replicas", "2"]);
}

/// The right to change anything is taken away while the first of a run's two changes is admitted: the second is
/// refused, what the first did cannot be undone either, and the run ends saying so.
fn a_right_taken_away_in_mid_run_ends_it(story: &Story) {
    let administrator = Webhook::stand("configmaps", "users", |_| {
        kubectl(&[
            "delete",
            "clusterrolebinding",
            "chiron-write",
            "--ignore-not-found",
            "--wait=false",
        ]);
        let asked = ["-n", SHOP, "--as", CHIRON, "auth", "can-i", "patch", "deployments.apps"];
        within(10, "the right is gone", || kubectl_with(&asked, "").err());
    });
    lose_key("users");
    let run = story.approve(&story.plan("users"));
    let ended = story.ended(&run);
    assert!(administrator.calls() > 0, "{ended:#}");
    drop(administrator);
    assert_ne!(ended["status"], "succeeded", "{ended:#}");
    assert!(ended.to_string().contains("forbidden"), "the run says what it may not: {ended:#}");
    assert_eq!(field("configmap/users", "/data/mode"), "live", "the first change stands");
    // A definite no is not asked again: one attempt of the second change.
    let second = ended["effects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|effect| effect["target"]["kind"] == "Deployment")
        .expect("the second change was attempted");
    assert_eq!(second["attempts"], 1, "{ended:#}");
}

/// What it took: calls for the evidence of an incident, and time from an intent to the API server's answer.
fn what_it_cost_is_told_and_bounded(story: &Story) {
    let (mut calls, mut intents, mut took) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (at, entry) in story.record() {
        match entry {
            Entry::EvidenceGathered(evidence) => calls.push(evidence.api_calls),
            Entry::Run { event: Event::IntentWritten { key, .. }, .. } => {
                intents.insert(key, at);
            }
            Entry::Run { event: Event::EffectAnswered { key, .. }, .. } => {
                took.extend(intents.remove(&key).map(|since| at.duration_since(since).as_millis()));
            }
            _ => {}
        }
    }
    took.sort_unstable();
    let (most, median) = (calls.iter().max().unwrap(), took[took.len() / 2]);
    println!("evidence: at most {most} API calls an incident, of {}", calls.len());
    println!(
        "changes: {}, from intent to answer {median} ms in the middle, {} ms at most",
        took.len(),
        took.last().unwrap()
    );
    // The time is the machine's; it is told, and fails nothing.
    assert!(*most <= 60);
}
