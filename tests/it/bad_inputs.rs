//! Checks docs/bad-inputs.md against the tests: each test that it names exists and names its row, and no such test is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::test_index::source_tests;

/// A row id, the file of a test, and the name of the test.
type Claim = (String, String, String);

/// Parses the rows of the table: `` | A1 | input | result | `FILE`: `TEST`, `TEST`<br>`FILE`: `TEST` | ``.
fn parse_table(document: &str) -> Vec<Claim> {
    let row = Regex::new(r"^\| ([A-Z]\d+) \|").expect("a valid pattern");
    let name = Regex::new("`([^`]+)`(:?)").expect("a valid pattern");
    let mut claims = Vec::new();
    for line in document.lines() {
        let Some(id) = row.captures(line).map(|captures| captures[1].to_owned()) else { continue };
        // The texts before the last cell contain no ` | `.
        let cell = line.trim_end_matches('|').rsplit(" | ").next().expect("a row has cells");
        let before = claims.len();
        let mut file = String::new();
        for captures in name.captures_iter(cell) {
            match &captures[2] {
                ":" => captures[1].clone_into(&mut file),
                _ => claims.push((id.clone(), file.clone(), captures[1].to_owned())),
            }
        }
        assert!(
            claims.len() > before,
            "row {id} names no test; hint: list it under `Rows without a test`"
        );
    }
    claims
}

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bad-inputs.md"))
        .expect("docs/bad-inputs.md can be read")
}

#[test]
fn bad_input_table_and_doc_comments_name_the_same_tests() {
    let listed: BTreeSet<Claim> = parse_table(&document()).into_iter().collect();
    let mention = Regex::new(r"Bad-input row ([A-Z]\d+)").expect("a valid pattern");
    let mut documented = BTreeSet::new();
    for test in source_tests() {
        for captures in mention.captures_iter(&test.doc) {
            documented.insert((captures[1].to_owned(), test.file.clone(), test.name().to_owned()));
        }
    }
    let unknown: Vec<_> = listed.difference(&documented).collect();
    let missing: Vec<_> = documented.difference(&listed).collect();
    assert!(
        unknown.is_empty(),
        "docs/bad-inputs.md names tests that do not exist or whose doc comment does not name the row: {unknown:#?}"
    );
    assert!(missing.is_empty(), "docs/bad-inputs.md does not list: {missing:#?}");
    assert!(listed.len() > 60, "only {} tests are listed", listed.len());
}

#[test]
fn bad_input_rows_without_a_test_are_not_in_the_table() {
    let document = document();
    let (table, rest) = document.split_once("## Rows without a test").expect("the second section");
    let tested: BTreeSet<String> = parse_table(table).into_iter().map(|(id, ..)| id).collect();
    let id = Regex::new(r"\b[A-Z]\d+\b").expect("a valid pattern");
    let untested: Vec<&str> = id.find_iter(rest).map(|found| found.as_str()).collect();
    assert!(!untested.is_empty());
    let both: Vec<_> = untested.iter().filter(|id| tested.contains(**id)).collect();
    assert!(both.is_empty(), "rows with a test are listed as rows without one: {both:?}");
}

#[test]
fn bad_input_row_is_parsed_into_files_and_tests() {
    let claims = parse_table(
        "| Row | Tests |\n| C3 | `1e3` in fields | parsed | `a.rs`: `one`, `two`<br>`b.rs`: `three` |\n",
    );
    let expected = [("C3", "a.rs", "one"), ("C3", "a.rs", "two"), ("C3", "b.rs", "three")];
    assert_eq!(claims, expected.map(|(id, file, test)| (id.into(), file.into(), test.into())));
}
