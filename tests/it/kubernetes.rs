//! Against a real Kubernetes control plane, which `tests/kubernetes/run` starts.

#![expect(clippy::print_stdout, reason = "a story of minutes tells how far it is")]

mod chiron_process;
mod deploy;
mod fake_prometheus;
mod remediation;
mod webhook;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What `tests/kubernetes/run` says of where everything is.
fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start tests/kubernetes/run"))
}

/// kubectl, as a person would use it, with the administrator's rights.
fn kubectl(arguments: &[&str]) -> String {
    kubectl_with(arguments, "").unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
}

/// As [`kubectl`], with something on standard input; what it says on standard error where it fails.
fn kubectl_with(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(given("CHIRON_TEST_KUBECTL"))
        .args(["--kubeconfig", &given("CHIRON_TEST_KUBECONFIG")])
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

/// Objects as kubectl reads them.
fn objects(arguments: &[&str]) -> Value {
    let text = kubectl(&[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&text).expect("kubectl prints JSON")
}
