//! Tests against a real Kubernetes control plane, which `tests/kubernetes/run` starts.

#![expect(clippy::print_stdout, reason = "the tests take minutes and print their progress")]

mod admission_webhook;
mod deploy;
mod fake_prometheus;
mod remediation;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Returns an environment variable that `tests/kubernetes/run` sets.
fn env_var(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; hint: run tests/kubernetes/run"))
}

/// Runs kubectl as administrator and returns its standard output. Panics if it fails.
fn kubectl(arguments: &[&str]) -> String {
    kubectl_with(arguments, "").unwrap_or_else(|stderr| panic!("kubectl {arguments:?}: {stderr}"))
}

/// Runs kubectl as administrator with `input` on standard input.
///
/// # Errors
/// Standard error, if kubectl fails.
fn kubectl_with(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(env_var("CHIRON_TEST_KUBECTL"))
        .args(["--kubeconfig", &env_var("CHIRON_TEST_KUBECONFIG")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs kubectl with `-o json` and parses its output.
fn objects(arguments: &[&str]) -> Value {
    let text = kubectl(&[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&text).expect("kubectl prints JSON")
}
