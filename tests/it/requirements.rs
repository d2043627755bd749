//! Checks tests/requirements.toml: it lists every requirement, and the tests that it names exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use regex::Regex;

use crate::test_index::source_tests;

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

/// The number of open requirements in each family. It only decreases.
///
/// No test can know that an existing test covers a requirement that does not name it. This bounds the error: an entry cannot
/// be reopened or forgotten without a change of this table.
const OPEN: &[(&str, usize)] = &[
    ("BR-WF-", 19),
    ("BR-IWB-", 10),
    ("BR-ORCH-", 19),
    ("BR-DEP-", 8),
    ("BR-EXEC-", 16),
    ("BR-PERF-", 13),
    ("BR-REL-", 9),
    ("BR-SEC-", 14),
    ("BR-INT-", 6),
    ("BR-MON-", 15),
    ("BR-DATA-", 12),
    ("BR-UX-", 15),
    ("SC-", 15),
];

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
    let known: BTreeSet<String> = source_tests().into_iter().map(|test| test.path).collect();
    let mut missing = Vec::new();
    for (id, coverage) in requirements() {
        if let Coverage::Tests(tests) = coverage {
            missing.extend(
                tests
                    .into_iter()
                    .filter(|test| !known.contains(test))
                    .map(|test| format!("{id}: {test}")),
            );
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

/// A test whose doc comment names a requirement covers it.
#[test]
fn requirement_lists_each_test_that_names_it() {
    let id = Regex::new(r"\b(?:BR-[A-Z]+-\d{3}|SC-[FPB]\d)\b").expect("a valid pattern");
    let requirements = requirements();
    let mut missing = Vec::new();
    for test in source_tests() {
        for found in id.find_iter(&test.doc) {
            let is_listed = matches!(requirements.get(found.as_str()), Some(Coverage::Tests(tests)) if tests.contains(&test.path));
            if !is_listed {
                missing.push(format!("{}: {}", found.as_str(), test.path));
            }
        }
    }
    assert!(missing.is_empty(), "tests/requirements.toml does not list:\n{}", missing.join("\n"));
}

/// The register cannot say `open` everywhere: a requirement that is closed stays closed, and each new test is counted.
#[test]
fn open_requirements_are_counted_per_family() {
    let mut open: BTreeMap<&str, usize> = OPEN.iter().map(|(family, _)| (*family, 0)).collect();
    for (id, coverage) in requirements() {
        let family = open.iter_mut().find(|(family, _)| id.starts_with(**family));
        let (_, count) = family.unwrap_or_else(|| panic!("{id} belongs to no family of OPEN"));
        *count += usize::from(matches!(coverage, Coverage::Status(_)));
    }
    let expected: BTreeMap<&str, usize> = OPEN.iter().copied().collect();
    assert_eq!(
        open, expected,
        "hint: if a requirement is now covered, lower its family's number in OPEN; a number never grows"
    );
}
