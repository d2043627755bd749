//! Checks tests/requirements.toml: it lists every requirement, and the tests that it names exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;

/// The families of requirements with their ranges of numbers.
const FAMILIES: &[(&str, &[RangeInclusive<u32>])] = &[
    ("BR-WF", &[1..=34, 50..=53]),
    ("BR-IWB", &[1..=20]),
    ("BR-ORCH", &[1..=20]),
    ("BR-DEP", &[1..=15]),
    ("BR-EXEC", &[1..=20]),
    ("BR-PERF", &[1..=15]),
    ("BR-REL", &[1..=15]),
    ("BR-SEC", &[1..=15]),
    ("BR-INT", &[1..=10]),
    ("BR-MON", &[1..=15]),
    ("BR-DATA", &[1..=15]),
    ("BR-UX", &[1..=15]),
];

/// The success criteria: functional, performance, business; five of each.
const CRITERIA: [&str; 3] = ["SC-F", "SC-P", "SC-B"];

/// The value of a requirement.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Coverage {
    /// Names of the tests that cover it.
    Tests(Vec<String>),
    /// `open` if no test covers it yet.
    Status(String),
}

fn requirements() -> BTreeMap<String, Coverage> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.toml");
    let text = fs::read_to_string(path).expect("tests/requirements.toml can be read");
    toml::from_str(&text)
        .expect("tests/requirements.toml has each id once, with a list of tests or \"open\"")
}

fn required_ids() -> BTreeSet<String> {
    let numbered = FAMILIES.iter().flat_map(|(family, ranges)| {
        ranges.iter().cloned().flatten().map(move |number| format!("{family}-{number:03}"))
    });
    let criteria =
        CRITERIA.iter().flat_map(|family| (1..=5).map(move |number| format!("{family}{number}")));
    numbered.chain(criteria).collect()
}

#[test]
fn requirement_ids_are_complete_and_known() {
    let required = required_ids();
    assert_eq!(required.len(), 213 + 15);
    let named: BTreeSet<_> = requirements().into_keys().collect();
    let missing: Vec<_> = required.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&required).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
}

#[test]
fn requirement_is_open_or_names_tests() {
    for (id, coverage) in requirements() {
        match coverage {
            Coverage::Status(status) => assert_eq!(status, "open", "{id}"),
            Coverage::Tests(tests) => {
                assert!(!tests.is_empty(), "{id} names no test; hint: write \"open\"")
            }
        }
    }
}

#[test]
fn tests_named_by_requirements_exist() {
    let claims: Vec<(String, String)> = requirements()
        .into_iter()
        .flat_map(|(id, coverage)| match coverage {
            Coverage::Tests(tests) => tests.into_iter().map(|test| (id.clone(), test)).collect(),
            Coverage::Status(_) => Vec::new(),
        })
        .collect();
    let missing = |known: &BTreeSet<String>| -> Vec<String> {
        claims
            .iter()
            .filter(|(_, test)| !known.contains(test))
            .map(|(id, test)| format!("{id}: {test}"))
            .collect()
    };
    if claims.is_empty() {
        return;
    }
    let target = target_folder();
    let cached = fs::read_to_string(target.join("test-list.txt")).ok();
    // The cached list may be older than the tests, so cargo is asked only if a name is missing from it.
    if cached.is_some_and(|list| missing(&test_names(&list)).is_empty()) {
        return;
    }
    let missing = missing(&test_names(&list_tests(&target)));
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

fn target_folder() -> PathBuf {
    let metadata = MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads the workspace");
    metadata.target_directory.into_std_path_buf()
}

/// Lists all tests with cargo, and stores the list in the file that `make test` also writes.
fn list_tests(target: &Path) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let path = target.join("test-list.txt");
    let file = fs::File::create(&path).expect("the target folder can be written to");
    // One file for both streams: cargo prints the target to standard error, and the target its tests to standard output.
    let status = Command::new(cargo)
        .args(["test", "--workspace", "--tests", "--offline", "--color=never", "--", "--list"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target)
        .stdout(file.try_clone().expect("a file handle can be cloned"))
        .stderr(file)
        .status()
        .expect("cargo runs");
    let list = fs::read_to_string(&path).expect("the file was just written");
    if !status.success() {
        // An incomplete list must not be used by the next run.
        fs::remove_file(&path).expect("the file was just written");
        panic!("cargo test -- --list failed:\n{list}");
    }
    list
}

/// Returns the target in a line of cargo: `workflow` for
/// `Running unittests src/lib.rs (target/debug/deps/workflow-0123456789abcdef)`.
fn parse_target(line: &str) -> Option<&str> {
    let (_, path) = line.trim_start().strip_prefix("Running ")?.rsplit_once('(')?;
    let file = path.strip_suffix(')')?.rsplit(['/', '\\']).next()?;
    file.rsplit_once('-').map(|(name, _)| name)
}

/// Parses the output of `cargo test -- --list` into names with the target in front.
fn test_names(list: &str) -> BTreeSet<String> {
    let mut target = "";
    let mut names = BTreeSet::new();
    for line in list.lines() {
        if let Some(name) = parse_target(line) {
            target = name;
        } else if let Some(test) = line.strip_suffix(": test") {
            names.insert(format!("{target}::{test}"));
        }
    }
    names
}

#[test]
fn test_names_start_with_target() {
    let list = "    Finished `test` profile\n     Running unittests src/lib.rs (target/debug/deps/workflow-01ab)\n\
                validate::tests::cycles_are_named: test\n\n1 test, 0 benchmarks\n     \
                Running unittests src/lib.rs (target/debug/deps/empty-01ab)\n0 tests, 0 benchmarks\n     \
                Running tests/it/main.rs (/elsewhere/debug/deps/it-23cd)\ndemo::resolves: test\n\n1 test, 0 benchmarks\n";
    let names = test_names(list);
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["it::demo::resolves", "workflow::validate::tests::cycles_are_named"]
    );
}
