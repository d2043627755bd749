//! The JSON reports of evaluations and benchmarks: the members on which scripts rely.

use std::process::Command;

use serde_json::Value;

/// Runs `chiron` successfully and parses its output.
fn json_output(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the output is a JSON object")
}

fn assert_numbers(value: &Value, members: &[&str]) {
    for member in members {
        assert!(value[*member].is_number(), "`{member}` is not a number in {value:#}");
    }
}

#[test]
fn eval_report_has_mitigation_per_policy_and_family() {
    let report = json_output(&[
        "eval",
        "run",
        "--seeds",
        "1",
        "--families",
        "bad-image,nothing-wrong",
        "--json",
    ]);
    assert_eq!((&report["suite"], &report["seeds"]), (&"starter".into(), &1.into()));
    let policies = report["policies"].as_array().unwrap();
    let names: Vec<&str> = policies.iter().filter_map(|policy| policy["policy"].as_str()).collect();
    assert_eq!(
        names,
        ["do-nothing", "restart-everything", "delete-the-object", "static-template", "chiron"]
    );
    for policy in policies {
        assert_numbers(policy, &["harmful"]);
        assert_numbers(&policy["mitigation"], &["estimate", "low", "high", "n"]);
        assert!(policy.get("meanSecondsToResolve").is_some(), "{policy:#}");
        let families = policy["families"].as_array().unwrap();
        assert!(!families.is_empty());
        for family in families {
            assert!(family["family"].is_string(), "{family:#}");
            assert_numbers(&family["mitigation"], &["estimate", "low", "high", "n"]);
        }
    }
}

#[test]
fn bench_reports_have_figures_and_machine_baseline() {
    let core = json_output(&["bench", "core", "--seconds", "1", "--executions", "100", "--json"]);
    assert_numbers(
        &core,
        &["startToPlanMs", "planP99Ms", "rssMiB", "cpuPercent", "stepsPerSecond", "fdatasyncUs"],
    );
    assert_numbers(&core, &["simulatedMinutesPerSecond"]);
    let row = json_output(&["bench", "simulator", "--row", "busy:10"]);
    assert_numbers(&row, &["simulatedMinutesPerSecond", "eventsPerSecond", "worldBytes", "forkMs"]);
}
