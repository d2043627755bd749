//! Holds tests/requirements.toml: every requirement is there, and what it claims to be shown by exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;

/// The families of requirements, and the numbers in each.
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

/// What stands behind an id.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Shown {
    By(Vec<String>),
    Word(String),
}

fn requirements() -> BTreeMap<String, Shown> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.toml");
    let text = fs::read_to_string(path).expect("tests/requirements.toml can be read");
    toml::from_str(&text)
        .expect("tests/requirements.toml gives each id once, with a list of tests or a word")
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
fn no_requirement_is_missing_and_none_is_invented() {
    let required = required_ids();
    assert_eq!(required.len(), 213 + 15);
    let named: BTreeSet<_> = requirements().into_keys().collect();
    let missing: Vec<_> = required.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&required).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
}

#[test]
fn a_requirement_is_open_or_names_its_tests() {
    for (id, shown) in requirements() {
        match shown {
            Shown::Word(word) => assert_eq!(word, "open", "{id}"),
            Shown::By(tests) => {
                assert!(!tests.is_empty(), "{id} names no test; hint: write \"open\"")
            }
        }
    }
}

#[test]
fn every_test_that_a_requirement_names_exists() {
    let claims: Vec<(String, String)> = requirements()
        .into_iter()
        .flat_map(|(id, shown)| match shown {
            Shown::By(tests) => tests.into_iter().map(|test| (id.clone(), test)).collect(),
            Shown::Word(_) => Vec::new(),
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
    let kept = fs::read_to_string(target.join("test-list.txt")).ok();
    // The kept list may be older than the tests: what it lacks is looked up afresh.
    if kept.is_some_and(|list| missing(&names_in(&list)).is_empty()) {
        return;
    }
    let lacking = missing(&names_in(&list_tests(&target)));
    assert!(lacking.is_empty(), "no such test:\n{}", lacking.join("\n"));
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

/// Asks cargo for the names of all tests, and keeps the answer where `make test` keeps it.
fn list_tests(target: &Path) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let path = target.join("test-list.txt");
    let file = fs::File::create(&path).expect("the target folder can be written to");
    // One file for both: cargo announces a target on one stream, the target lists its tests on the other.
    let status = Command::new(cargo)
        .args(["test", "--workspace", "--tests", "--offline", "--color=never", "--", "--list"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target)
        .stdout(file.try_clone().expect("a handle can be doubled"))
        .stderr(file)
        .status()
        .expect("cargo runs");
    let list = fs::read_to_string(&path).expect("it was just written");
    if !status.success() {
        // Half a list must not be taken for a whole one the next time.
        fs::remove_file(&path).expect("it was just written");
        panic!("cargo test -- --list failed:\n{list}");
    }
    list
}

/// `Running unittests src/lib.rs (target/debug/deps/workflow-0123456789abcdef)` speaks of the target `workflow`.
fn target_in(line: &str) -> Option<&str> {
    let (_, path) = line.trim_start().strip_prefix("Running ")?.rsplit_once('(')?;
    let file = path.strip_suffix(')')?.rsplit(['/', '\\']).next()?;
    file.rsplit_once('-').map(|(name, _)| name)
}

/// The full names of the tests in what `cargo test -- --list` printed.
fn names_in(list: &str) -> BTreeSet<String> {
    let mut target = "";
    let mut names = BTreeSet::new();
    for line in list.lines() {
        if let Some(announced) = target_in(line) {
            target = announced;
        } else if let Some(test) = line.strip_suffix(": test") {
            names.insert(format!("{target}::{test}"));
        }
    }
    names
}

#[test]
fn names_of_tests_carry_their_target() {
    let list = "    Finished `test` profile\n     Running unittests src/lib.rs (target/debug/deps/workflow-01ab)\n\
                validate::tests::cycles_are_named: test\n\n1 test, 0 benchmarks\n     \
                Running unittests src/lib.rs (target/debug/deps/empty-01ab)\n0 tests, 0 benchmarks\n     \
                Running tests/it/main.rs (/elsewhere/debug/deps/it-23cd)\ndemo::heals: test\n\n1 test, 0 benchmarks\n";
    let names = names_in(list);
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["it::demo::heals", "workflow::validate::tests::cycles_are_named"]
    );
}
