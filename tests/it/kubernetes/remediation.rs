//! Remediation on a real cluster by `chiron serve --kubeconfig`.
//!
//! Faults are injected with kubectl, a real Alertmanager delivers the alerts, and the plans are approved over the command
//! line. Conflicts, an admission policy and revoked permissions must not lead to changes by force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Sqlite, Store as _};
use workflow::Entry;
use workflow::run::Event;

use super::admission_webhook::AdmissionWebhook;
use super::fake_prometheus::FakePrometheus;
use super::{env_var, kubectl, kubectl_with, objects};
use crate::server_process::{HttpServer, wait_for};

/// Namespace of the workloads.
pub(super) const SHOP: &str = "shop";
/// User name of Chiron's service account.
pub(super) const CHIRON: &str = "system:serviceaccount:chiron:chiron";

/// A server for the shop on the real cluster, and its data directory.
struct RemediationEnv {
    server: HttpServer,
    dir: PathBuf,
}

fn manifest(file: &str) -> String {
    format!("{}/tests/kubernetes/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Writes a kubeconfig with a token of Chiron's service account as its only credentials.
fn kubeconfig(dir: &Path) -> PathBuf {
    let path = dir.join("chiron.kubeconfig");
    let file = path.to_str().unwrap();
    std::fs::copy(env_var("CHIRON_TEST_KUBECONFIG"), &path).unwrap();
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

/// Waits until all Deployments of the shop are available.
fn wait_until_available(seconds: u32) {
    let timeout = format!("--timeout={seconds}s");
    let wait = ["-n", SHOP, "wait", "--for=condition=Available", "deployment", "--all"];
    kubectl(&[&wait[..], &[timeout.as_str()]].concat());
}

impl RemediationEnv {
    /// Creates the shop, starts the server, and waits until the known-good state of each workload is recorded.
    fn start() -> Self {
        kubectl(&["apply", "-f", &manifest("shop.yaml"), "-f", &manifest("rbac.yaml")]);
        wait_until_available(90);
        let dir = PathBuf::from(env_var("CHIRON_TEST_DATA"));
        let config = kubeconfig(dir.parent().unwrap());
        let listen = env_var("CHIRON_TEST_LISTEN");
        let common = ["--kubeconfig", config.to_str().unwrap(), "--autonomy", "approve"];
        // The greedy policy always chooses the most probable candidate, so the test does not depend on exploration.
        let policy = ["--listen", &listen, "--policy", "greedy"];
        // The default of five minutes would be most of the duration of the test.
        let known_good = ["--known-good-after", "15s", "--scan-interval", "5s"];
        let quiet_period = ["--quiet-period", "10s"];
        let arguments = [&common[..], &policy, &known_good, &quiet_period].concat();
        let env = Self { server: HttpServer::start(&dir, &arguments), dir };
        let workloads =
            objects(&["-n", SHOP, "get", "deployments"])["items"].as_array().unwrap().len();
        wait_for(seconds(120), "the known-good state of each workload is recorded", || {
            let is_in_shop = |(_, entry): &(Timestamp, Entry)| matches!(entry, Entry::ObjectHealthy { object, .. } if object.namespace.as_deref() == Some(SHOP));
            let recorded = env.record().into_iter().filter(is_in_shop).count();
            (recorded >= workloads).then_some(())
        });
        println!("recorded the known-good state of {workloads} workloads");
        env
    }

    /// Runs a `chiron` command against the server.
    fn chiron(&self, arguments: &[&str]) -> Value {
        self.server.json(arguments)
    }

    /// Reads the record. Returns all entries with their timestamps.
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

    /// Returns the incidents whose alerts name the workload, or the Service of the same name.
    fn incidents(&self, workload: &str) -> Vec<Value> {
        let incidents = self.chiron(&["incident", "list", "--limit", "100"]);
        let is_about_workload = |incident: &&Value| {
            text(&incident["subject"]).split_once('=').is_some_and(|(_, name)| name == workload)
        };
        let incidents = incidents["items"].as_array().unwrap();
        incidents.iter().filter(is_about_workload).cloned().collect()
    }

    /// Waits for a plan for the workload that needs approval, and returns it.
    fn wait_for_plan(&self, workload: &str) -> Value {
        wait_for(seconds(90), &format!("a plan for {workload}"), || {
            let incidents = self.incidents(workload);
            let plans = self.chiron(&["plan", "list", "--limit", "100"]);
            let is_match = |plan: &&Value| {
                plan["status"] == "needs-approval"
                    && incidents.iter().any(|incident| incident["id"] == plan["incident"])
            };
            plans["items"].as_array()?.iter().find(is_match).cloned()
        })
    }

    /// Approves a plan. Returns the id of its run.
    fn approve(&self, plan: &Value) -> String {
        let id = text(&plan["id"]);
        println!("approving {id}: {} by {}", text(&plan["workflow"]), text(&plan["source"]));
        let reason = "the explanation matches the fault";
        self.chiron(&["plan", "approve", id, "--reason", reason, "--actor", "operator"]);
        wait_for(seconds(30), "the plan is executed", || {
            let plan = self.chiron(&["plan", "get", id]);
            plan["run"].as_str().map(ToString::to_string)
        })
    }

    /// Waits until a run has ended or needs manual intervention, and returns it.
    fn wait_for_end(&self, run: &str) -> Value {
        let ended = wait_for(seconds(240), &format!("{run} ends"), || {
            let run = self.chiron(&["run", "get", run]);
            (!run["endedAt"].is_null() || run["status"] == "needs-human").then_some(run)
        });
        println!("{run}: {}; {}", text(&ended["status"]), text(&ended["message"]));
        ended
    }

    /// Waits until an incident about the workload is resolved.
    fn wait_until_resolved(&self, workload: &str) {
        wait_for(seconds(180), &format!("{workload} is resolved"), || {
            let is_resolved = |incident: &Value| incident["outcome"] == "resolved";
            self.incidents(workload).iter().any(is_resolved).then_some(())
        });
        println!("{workload}: resolved");
    }
}

/// Reads one field of an object with kubectl.
fn field(object: &str, path: &str) -> Value {
    objects(&["-n", SHOP, "get", object]).pointer(path).cloned().unwrap_or_default()
}

fn break_selector(service: &str) {
    let stray = json!({"spec": {"selector": {"app": format!("{service}-v2")}}}).to_string();
    kubectl(&["-n", SHOP, "patch", "service", service, "--type", "merge", "-p", &stray]);
}

fn remove_key(workload: &str) {
    let patch = r#"[{"op": "remove", "path": "/data/mode"}]"#;
    kubectl(&["-n", SHOP, "patch", "configmap", workload, "--type", "json", "-p", patch]);
    kubectl(&["-n", SHOP, "delete", "pods", "-l", &format!("app={workload}")]);
}

/// Faults on a real cluster are remediated, and a change that the cluster rejects is not forced.
#[test]
#[ignore = "needs: kubernetes"]
fn real_cluster_is_remediated_without_force() {
    let env = RemediationEnv::start();
    let _prometheus = FakePrometheus::start(SHOP, env_var("CHIRON_TEST_ALERTMANAGER"));
    four_faults_are_remediated(&env);
    concurrent_writer_is_not_overwritten(&env);
    admission_policy_fails_run(&env);
    revoked_permission_fails_run(&env);
    api_calls_per_incident_are_bounded(&env);
    env.server.end();
}

fn four_faults_are_remediated(env: &RemediationEnv) {
    let port = r#"[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9999}]"#;
    break_selector("cart");
    kubectl(&["-n", SHOP, "patch", "service", "catalog", "--type", "json", "-p", port]);
    kubectl(&["-n", SHOP, "scale", "deployment", "payment", "--replicas", "0"]);
    remove_key("checkout");
    let broken = ["cart", "catalog", "payment", "checkout"];
    let runs = broken.map(|workload| env.approve(&env.wait_for_plan(workload)));
    for run in runs {
        let ended = env.wait_for_end(&run);
        assert_eq!(ended["status"], "succeeded", "{ended:#}");
    }
    assert_eq!(field("service/cart", "/spec/selector"), json!({"app": "cart"}));
    assert_eq!(field("service/catalog", "/spec/ports/0/targetPort"), 3550);
    assert_eq!(field("deployment/payment", "/spec/replicas"), 2);
    assert_eq!(field("configmap/checkout", "/data/mode"), "live");
    wait_until_available(60);
    for workload in broken {
        env.wait_until_resolved(workload);
    }
}

/// Another client writes to the object between each read and write of Chiron: after three retries on conflict the step fails,
/// without a forced change.
fn concurrent_writer_is_not_overwritten(env: &RemediationEnv) {
    let writer = AdmissionWebhook::register("services", "orders", |call| {
        let annotation = format!("test-writer=call-{call}");
        kubectl(&["-n", SHOP, "annotate", "--overwrite", "service", "orders", &annotation]);
    });
    break_selector("orders");
    let run = env.approve(&env.wait_for_plan("orders"));
    let ended = env.wait_for_end(&run);
    println!("{} concurrent writes by another client", writer.calls());
    drop(writer);
    assert_ne!(ended["status"], "succeeded", "{ended:#}");
    assert_eq!(ended["effects"][0]["attempts"], 4, "{ended:#}");
    assert_eq!(
        field("service/orders", "/spec/selector"),
        json!({"app": "orders-v2"}),
        "no change was forced"
    );
    let fix = r#"{"spec": {"selector": {"app": "orders"}}}"#;
    kubectl(&["-n", SHOP, "patch", "service", "orders", "--type", "merge", "-p", fix]);
}

/// An admission policy rejects a change that RBAC allows: the run fails without a change.
fn admission_policy_fails_run(env: &RemediationEnv) {
    kubectl(&["-n", SHOP, "scale", "deployment", "search", "--replicas", "0"]);
    // The plan is made before the policy exists; otherwise its dry run would fail.
    let plan = env.wait_for_plan("search");
    kubectl(&["apply", "-f", &manifest("admission-policy.yaml")]);
    wait_for(seconds(30), "the policy is effective", || {
        let scale =
            ["-n", SHOP, "--as", CHIRON, "scale", "deployment", "search", "--replicas", "1"];
        kubectl_with(&[&scale[..], &["--dry-run=server"]].concat(), "").err()
    });
    let run = env.approve(&plan);
    let ended = env.wait_for_end(&run);
    assert_ne!(ended["status"], "succeeded", "{ended:#}");
    assert!(
        ended.to_string().contains("frozen by the platform team"),
        "the run contains the message of the policy: {ended:#}"
    );
    assert_eq!(field("deployment/search", "/spec/replicas"), 0, "no change was made");
    kubectl(&["delete", "-f", &manifest("admission-policy.yaml")]);
    kubectl(&["-n", SHOP, "scale", "deployment", "search", "--replicas", "2"]);
}

/// The write permission is revoked while the first of two changes is admitted: the second change is refused, the first cannot
/// be undone either, and the run ends with that message.
fn revoked_permission_fails_run(env: &RemediationEnv) {
    let administrator = AdmissionWebhook::register("configmaps", "users", |_| {
        kubectl(&[
            "delete",
            "clusterrolebinding",
            "chiron-write",
            "--ignore-not-found",
            "--wait=false",
        ]);
        let can_i = ["-n", SHOP, "--as", CHIRON, "auth", "can-i", "patch", "deployments.apps"];
        wait_for(seconds(10), "the permission is revoked", || kubectl_with(&can_i, "").err());
    });
    remove_key("users");
    let run = env.approve(&env.wait_for_plan("users"));
    let ended = env.wait_for_end(&run);
    assert!(administrator.calls() > 0, "{ended:#}");
    drop(administrator);
    assert_ne!(ended["status"], "succeeded", "{ended:#}");
    assert!(ended.to_string().contains("forbidden"), "the run contains the error: {ended:#}");
    assert_eq!(field("configmap/users", "/data/mode"), "live", "the first change remains");
    // A definite refusal is not retried: the second change has one attempt.
    let second = ended["effects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|effect| effect["target"]["kind"] == "Deployment")
        .expect("the second change was attempted");
    assert_eq!(second["attempts"], 1, "{ended:#}");
}

/// Checks the number of API calls for the evidence of an incident, and prints the latency from an intent to the response of
/// the API server. The latency depends on the machine, so it is not asserted.
fn api_calls_per_incident_are_bounded(env: &RemediationEnv) {
    let (mut calls, mut intents, mut latencies_ms) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (at, entry) in env.record() {
        match entry {
            Entry::EvidenceGathered(evidence) => calls.push(evidence.api_calls),
            Entry::Run { event: Event::IntentWritten { key, .. }, .. } => {
                intents.insert(key, at);
            }
            Entry::Run { event: Event::EffectAnswered { key, .. }, .. } => {
                let latency = |start| at.duration_since(start).as_millis();
                latencies_ms.extend(intents.remove(&key).map(latency));
            }
            _ => {}
        }
    }
    latencies_ms.sort_unstable();
    let (max_calls, median_ms) =
        (calls.iter().max().unwrap(), latencies_ms[latencies_ms.len() / 2]);
    println!("evidence: at most {max_calls} API calls per incident in {} samples", calls.len());
    println!(
        "changes: {}, latency from intent to response: median {median_ms} ms, maximum {} ms",
        latencies_ms.len(),
        latencies_ms.last().unwrap()
    );
    assert!(*max_calls <= 60);
}
