//! `chiron demo` as a person, or a script, runs it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

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
    for key in ["digest", "confidence", "evidence", "candidates", "steps"] {
        assert!(!object["plan"][key].is_null(), "plan.{key}");
    }
    for key in ["estimate", "low", "high"] {
        assert!(object["plan"]["confidence"][key].is_f64(), "confidence.{key}");
    }
    let propensities = object["decision"]["propensities"].as_array().unwrap();
    let sum: f64 = propensities.iter().map(|option| option["propensity"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    assert!(object["decision"]["chosen"].is_string() && object["decision"]["seed"].is_string());
    assert_eq!(object["run"]["status"], "succeeded");
    assert_eq!(object["outcome"]["resolved"], true);
    let count = |key: &str| object["learner"][key].as_u64().unwrap();
    assert!(count("observationsAfter") > count("observationsBefore"));
    assert!(object["alert"]["name"].is_string() && object["attempts"].is_array());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = || serde_json::to_string(&without_timing(demo(&["--seed", "42"]))).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn confidence_is_no_constant() {
    let of = |seed: u64| demo_any(seed)["plan"]["confidence"]["estimate"].to_string();
    let values: BTreeSet<String> = (1..=20).map(of).collect();
    assert!(values.len() >= 5, "{values:?}");
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
