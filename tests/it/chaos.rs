//! Runs that are cut off and harmed, counted at the cluster.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::served::within;

fn chaos(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .arg("chaos")
        .args(args)
        .arg("--json")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}), but: {errors}"))
}

#[test]
fn a_server_killed_anywhere_in_a_run_loses_and_doubles_nothing() {
    let report = chaos(&["kill", "--cycles", "6", "--seed", "3"]);
    for name in ["lost", "doubled", "stuck", "unannounced"] {
        assert_eq!(report[name], 0, "{report:#}");
    }
    assert_eq!(report["effects"], 60, "ten changes a run: {report:#}");
    let (positions, hits) = (&report["positions"], report["atPosition"].as_object().unwrap());
    assert_eq!(hits.values().filter_map(Value::as_u64).sum::<u64>(), 6, "{report:#}");
    // A kill may come a little late: some positions may be hit twice, not most of them.
    assert!(hits.len() >= 4, "{report:#}");
    let is_within = |at: &String| (1..=positions.as_u64().unwrap()).contains(&at.parse().unwrap());
    assert!(hits.keys().all(is_within), "{report:#}");
}

#[test]
fn changes_harmed_on_their_way_are_neither_lost_nor_doubled() {
    let report = chaos(&["proxy", "--effects", "40", "--seed", "2"]);
    for name in ["lost", "doubled", "stuck", "unannounced"] {
        assert_eq!(report[name], 0, "{report:#}");
    }
    assert!(report["effects"].as_u64().unwrap() >= 40, "{report:#}");
    assert!(report["faults"].as_object().unwrap().len() >= 3, "{report:#}");
}

/// A process that does not outlive the test, however that ends: it is asked, so that it ends its own.
struct Asked(Child);

impl Asked {
    fn ask(&self) {
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.ask();
        }
    }
}

#[test]
fn a_disturbance_that_is_interrupted_ends_its_processes_and_removes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chiron"));
    command.args(["chaos", "kill", "--cycles", "1000"]).env("TMPDIR", folder.path());
    let mut chaos = Asked(command.stdout(Stdio::null()).spawn().unwrap());
    // The processes that were started in the folder: the cluster, and the server when it is up.
    let started = || {
        let id_of = |process: std::fs::DirEntry| {
            let said = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            let is_ours = said.contains(folder.path().to_str().unwrap());
            is_ours.then(|| process.file_name())
        };
        std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter_map(id_of).count()
    };
    let both = || (started() >= 2).then_some(());
    within(Duration::from_secs(60), "cluster and server are started", both);
    chaos.ask();
    let ended = || chaos.0.try_wait().unwrap();
    let status = within(Duration::from_secs(60), "it ends", ended);
    assert_eq!(status.code(), Some(130));
    assert_eq!(started(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
