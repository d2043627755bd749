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

fn number(value: &Value, member: &str) -> f64 {
    value[member].as_f64().unwrap_or_else(|| panic!("`{member}` is not a number in {value:#}"))
}

/// Asserts a proportion of `n` worlds within its interval.
fn check_proportion(proportion: &Value, estimate: f64, n: f64) {
    let [low, found, high] = ["low", "estimate", "high"].map(|member| number(proportion, member));
    assert_eq!((found, number(proportion, "n")), (estimate, n), "{proportion:#}");
    assert!(0.0 <= low && low <= found && found <= high && high <= 1.0, "{proportion:#}");
    // One world is no evidence for more than half of the range.
    assert!(high - low > 0.5, "{proportion:#}");
}

/// With one seed, the faulty world is mitigated by Chiron alone, and the world without a fault is left unchanged by the
/// policies that do not act on every alert.
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
    let results: Vec<(&str, f64, f64)> = policies
        .iter()
        .map(|policy| {
            let families = policy["families"].as_array().unwrap();
            let names: Vec<&str> =
                families.iter().map(|family| family["family"].as_str().unwrap()).collect();
            assert_eq!(names, ["bad-image", "nothing-wrong"]);
            let estimates = families.iter().map(|family| {
                let estimate = number(&family["mitigation"], "estimate");
                check_proportion(&family["mitigation"], estimate, 1.0);
                let verdict = if estimate == 1.0 { "resolved" } else { "failed" };
                assert_eq!(family["verdict"], verdict, "{family:#}");
                estimate
            });
            let [faulty, unchanged] = estimates.collect::<Vec<_>>()[..] else {
                panic!("{policy:#}")
            };
            // The total counts faulty worlds only.
            check_proportion(&policy["mitigation"], faulty, 1.0);
            assert_eq!(policy["meanSecondsToResolve"].is_number(), faulty == 1.0, "{policy:#}");
            (policy["policy"].as_str().unwrap(), faulty, unchanged)
        })
        .collect();
    assert_eq!(
        results,
        [
            ("do-nothing", 0.0, 1.0),
            ("restart-everything", 0.0, 0.0),
            ("delete-the-object", 0.0, 0.0),
            ("static-template", 1.0, 1.0),
            ("chiron", 1.0, 1.0),
        ]
    );
    for policy in policies.iter().filter(|policy| policy["policy"] != "delete-the-object") {
        assert_eq!(policy["harmful"], 0, "{policy:#}");
    }
}

/// The figures depend on the machine, so this checks what holds on every machine: units, signs, and how they relate.
#[test]
#[ignore = "slow: run by make test"]
fn slow_bench_reports_have_figures_and_machine_baseline() {
    let core = json_output(&["bench", "core", "--seconds", "1", "--executions", "100", "--json"]);
    let of = |member: &str| number(&core, member);
    assert_eq!((of("pastExecutions"), of("loadSeconds")), (100.0, 1.0));
    // A process has at least a megabyte; a load of 1,000 steps per minute uses less than all of two cores.
    assert!((1.0..10_000.0).contains(&of("rssMiB")), "{core:#}");
    assert!((0.0..200.0).contains(&of("cpuPercent")), "{core:#}");
    for member in ["startToPlanMs", "planP99Ms"] {
        assert!((0.0..60_000.0).contains(&of(member)), "{member}: {core:#}");
    }
    // A step takes several durable appends, so there cannot be more steps than syncs by the group commit of 50 runs.
    let syncs_per_second = 1e6 / of("fdatasyncUs").max(1.0);
    assert!(
        0.0 < of("stepsPerSecond") && of("stepsPerSecond") < 50.0 * syncs_per_second,
        "{core:#}"
    );
    assert!(
        of("simulatedMinutesPerSecond") > 1.0,
        "simulated time is slower than the clock: {core:#}"
    );

    let row = json_output(&["bench", "simulator", "--row", "busy:10"]);
    let of = |member: &str| number(&row, member);
    assert_eq!((&row["load"], of("workloads")), (&"busy".into(), 10.0));
    assert!(of("pods") >= of("workloads") && of("worldBytes") > 1_000.0 * of("pods"), "{row:#}");
    // A busy world has several events in each simulated minute.
    assert!(of("eventsPerSecond") > of("simulatedMinutesPerSecond"), "{row:#}");
    assert!(of("forkMs") >= 0.0 && of("simulatedMinutes") > 0.0, "{row:#}");
}
