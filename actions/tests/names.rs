//! The name of an action occurs only in the file of the action: everything else asks the catalogue.
#![allow(clippy::unwrap_used, reason = "a test may panic on unexpected values")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Files that contain a name of an action as a string, each with the reason. A path that ends with `/` is a folder.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("cluster/src/", "scale", "the subresource of Kubernetes"),
    ("simulator/src/", "scale", "the subresource of Kubernetes"),
    ("src/cli/bench/core.rs", "wait", "a step of the workflow that is measured"),
    ("learner/src/testing.rs", "set-image", "a sample entry for tests"),
    ("learner/src/testing.rs", "scale", "a sample entry for tests"),
    ("engine/src/sample.rs", "rollout-restart", "a sample entry for tests"),
    ("store/src/contract/sample.rs", "rollout-restart", "a sample entry for tests"),
];

/// Returns the paths of the tracked Rust files that are not tests, relative to the workspace.
fn source_files(root: &Path) -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let is_test =
        |path: &str| path.split('/').any(|part| part == "tests") || path.ends_with("/tests.rs");
    let paths = String::from_utf8(output.stdout).unwrap();
    paths.lines().filter(|path| !is_test(path)).map(Into::into).collect()
}

fn is_allowed(path: &str, name: &str) -> Option<usize> {
    ALLOWED.iter().position(|(of, allowed, _)| {
        *allowed == name && (path == *of || of.ends_with('/') && path.starts_with(of))
    })
}

#[test]
fn action_names_occur_only_in_the_files_of_the_actions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut found, mut used) = (Vec::new(), [false; ALLOWED.len()]);
    let files = source_files(root);
    assert!(files.len() > 300, "only {} files were read", files.len());
    for path in files {
        // A file that is deleted and not yet committed is still listed.
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for action in actions::all() {
                let name = action.name();
                let own = format!("actions/src/{}.rs", name.replace('-', "_"));
                if path == own || !line.contains(&format!("\"{name}\"")) {
                    continue;
                }
                match is_allowed(&path, name) {
                    Some(index) => used[index] = true,
                    None => found.push(format!("{path}:{}: \"{name}\"", number + 1)),
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "{}\nhint: add a method to `Action` with a default, and implement it in the file of the action",
        found.join("\n")
    );
    let stale: Vec<_> =
        ALLOWED.iter().zip(used).filter(|(_, used)| !used).map(|(entry, _)| entry).collect();
    assert!(stale.is_empty(), "listed and not found any more: {stale:?}");
}
