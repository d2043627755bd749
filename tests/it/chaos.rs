//! Runs that are cut off and harmed, counted at the cluster.

use std::process::Command;

use serde_json::Value;

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
    for name in ["lost", "doubled", "stuck"] {
        assert_eq!(report[name], 0, "{report:#}");
    }
    assert_eq!(report["effects"], 60, "ten changes a run: {report:#}");
    let hits = report["atPosition"].as_object().unwrap().values();
    assert_eq!(hits.map(|times| times.as_u64().unwrap()).sum::<u64>(), 6, "{report:#}");
}

#[test]
fn changes_harmed_on_their_way_are_neither_lost_nor_doubled() {
    let report = chaos(&["proxy", "--effects", "40", "--seed", "2"]);
    for name in ["lost", "doubled", "stuck"] {
        assert_eq!(report[name], 0, "{report:#}");
    }
    assert!(report["effects"].as_u64().unwrap() >= 40, "{report:#}");
    assert!(report["faults"].as_object().unwrap().len() >= 3, "{report:#}");
}
