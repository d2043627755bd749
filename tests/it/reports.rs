//! What evaluations and benchmarks print as JSON: the members that whoever checks a figure relies on.

use std::process::Command;

use serde_json::Value;

/// What the program prints, as JSON.
fn printed(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn has_numbers(value: &Value, members: &[&str]) {
    for member in members {
        assert!(value[*member].is_number(), "`{member}` is no number in {value:#}");
    }
}

#[test]
fn an_evaluation_says_for_each_policy_and_family_how_often_it_mended() {
    let report = printed(&[
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
        has_numbers(policy, &["harmful"]);
        has_numbers(&policy["mitigation"], &["estimate", "low", "high", "n"]);
        assert!(policy.get("meanSecondsToResolve").is_some(), "{policy:#}");
        let families = policy["families"].as_array().unwrap();
        assert!(!families.is_empty());
        for family in families {
            assert!(family["family"].is_string(), "{family:#}");
            has_numbers(&family["mitigation"], &["estimate", "low", "high", "n"]);
        }
    }
}

#[test]
fn benchmarks_print_their_figures_beside_the_machine_s_floor() {
    let first = printed(&["bench", "first", "--seconds", "1", "--executions", "100", "--json"]);
    has_numbers(
        &first,
        &["startToPlanMs", "planP99Ms", "rssMiB", "cpuPercent", "stepsPerSecond", "fdatasyncUs"],
    );
    has_numbers(&first, &["simulatedMinutesPerSecond"]);
    let row = printed(&["bench", "simulator", "--row", "busy:10"]);
    has_numbers(&row, &["simulatedMinutesPerSecond", "eventsPerSecond", "worldBytes", "forkMs"]);
}
