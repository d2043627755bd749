//! `chiron chaos`: the counts of a run under kills and API faults, and its cleanup.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::server_process::wait_for;

fn chaos(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .arg("chaos")
        .args(args)
        .arg("--json")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}); standard error: {errors}"))
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_chaos_kill_at_any_position_loses_and_duplicates_no_change() {
    let report = chaos(&["kill", "--cycles", "6", "--seed", "3"]);
    for name in ["lost", "duplicated", "stuck", "unrecorded"] {
        assert_eq!(report[name], 0, "{report:#}");
    }
    assert_eq!(report["effects"], 60, "ten changes per run: {report:#}");
    let (positions, hits) = (&report["positions"], report["killPositions"].as_object().unwrap());
    assert_eq!(hits.values().filter_map(Value::as_u64).sum::<u64>(), 6, "{report:#}");
    // A kill can be slightly late, so two cycles can hit the same position, but not most of them.
    assert!(hits.len() >= 4, "{report:#}");
    let is_within = |at: &String| (1..=positions.as_u64().unwrap()).contains(&at.parse().unwrap());
    assert!(hits.keys().all(is_within), "{report:#}");
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_chaos_proxy_faults_lose_and_duplicate_no_change() {
    let report = chaos(&["proxy", "--effects", "40", "--seed", "2"]);
    for name in ["lost", "duplicated", "stuck", "unrecorded"] {
        assert_eq!(report[name], 0, "{report:#}");
    }
    assert!(report["effects"].as_u64().unwrap() >= 40, "{report:#}");
    assert!(report["faults"].as_object().unwrap().len() >= 3, "{report:#}");
}

/// A process that gets SIGTERM when dropped, so that it also ends its own child processes.
struct TerminatedOnDrop(Child);

impl TerminatedOnDrop {
    fn terminate(&self) {
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
    }
}

impl Drop for TerminatedOnDrop {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.terminate();
        }
    }
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_interrupted_chaos_ends_its_processes_and_removes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chiron"));
    command.args(["chaos", "kill", "--cycles", "1000"]).env("TMPDIR", folder.path());
    let mut chaos = TerminatedOnDrop(command.stdout(Stdio::null()).spawn().unwrap());
    // Processes whose command line names the folder: the cluster, and the server once it is started.
    let running = || {
        let id_of = |process: std::fs::DirEntry| {
            let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            line.contains(folder.path().to_str().unwrap()).then(|| process.file_name())
        };
        std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter_map(id_of).count()
    };
    let both = || (running() >= 2).then_some(());
    wait_for(Duration::from_secs(60), "cluster and server are started", both);
    chaos.terminate();
    let exited = || chaos.0.try_wait().unwrap();
    let status = wait_for(Duration::from_secs(60), "chaos exits", exited);
    assert_eq!(status.code(), Some(130));
    assert_eq!(running(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
