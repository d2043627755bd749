//! The tests of the workspace as their sources declare them, so that no build is needed to check a name.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::language::tracked_files;

/// A test function.
#[derive(Debug)]
pub(crate) struct SourceTest {
    /// The file, relative to the root of the repository.
    pub(crate) file: String,
    /// Name as in `cargo test -- --list`, with the target in front: `workflow::id::tests::derived_id_…`.
    pub(crate) path: String,
    /// The doc comment, without `///`.
    pub(crate) doc: String,
    /// The reason in `#[ignore = "…"]`.
    pub(crate) ignored: Option<String>,
}

impl SourceTest {
    /// The name of the function.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit("::").next().expect("a path has a last segment")
    }
}

/// Returns all tests of the workspace, except doctests.
pub(crate) fn source_tests() -> Vec<SourceTest> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for file in tracked_files() {
        let file = file.to_string_lossy().into_owned();
        // A tracked file may be deleted in the working tree.
        let (Some(module), Ok(text)) = (module_of(&file), fs::read_to_string(root.join(&file)))
        else {
            continue;
        };
        tests.extend(parse(&file, &module, &text));
    }
    assert!(tests.len() > 500, "only {} tests were found", tests.len());
    tests
}

/// Returns target and module of a source file, joined by `::`; `None` if it belongs to no test target.
fn module_of(file: &str) -> Option<String> {
    let segments: Vec<&str> = file.strip_suffix(".rs")?.split('/').collect();
    let (target, modules) = match segments[..] {
        ["src", ref modules @ ..] => ("chiron", modules),
        ["tests", target, ref modules @ ..] | [_, "tests", target, ref modules @ ..] => {
            (target, modules)
        }
        [krate, "src", ref modules @ ..] => (krate, modules),
        _ => return None,
    };
    let modules = match modules {
        ["lib" | "main"] => &[],
        modules => modules,
    };
    Some([&[target], modules].concat().join("::"))
}

/// Finds the tests in the text of a file. Inline modules are recognized by their indentation, which rustfmt ensures.
fn parse(file: &str, module: &str, text: &str) -> Vec<SourceTest> {
    let opening = Regex::new(r"^(\s*)(?:pub(?:\(\w+\))? )?mod (\w+) \{$").expect("a valid pattern");
    let function =
        Regex::new(r"^\s*(?:pub(?:\(\w+\))? )?(?:async )?fn (\w+)").expect("a valid pattern");
    let ignore = Regex::new(r#"^#\[ignore = "(.*)"\]$"#).expect("a valid pattern");
    let mut modules: Vec<(String, String)> = Vec::new();
    let mut tests = Vec::new();
    let (mut doc, mut is_test, mut ignored) = (Vec::new(), false, None);
    for line in text.lines() {
        let trimmed = line.trim();
        if modules.last().is_some_and(|(indent, _)| line == format!("{indent}}}")) {
            modules.pop();
        } else if let Some(captures) = opening.captures(line) {
            modules.push((captures[1].to_owned(), captures[2].to_owned()));
        } else if let Some(comment) = trimmed.strip_prefix("///") {
            doc.push(comment.trim().to_owned());
            continue;
        } else if trimmed.starts_with("#[") {
            is_test |= trimmed == "#[test]" || trimmed.starts_with("#[tokio::test");
            if let Some(captures) = ignore.captures(trimmed) {
                ignored = Some(captures[1].to_owned());
            }
            continue;
        } else if let Some(captures) = function.captures(line).filter(|_| is_test) {
            let inner = modules.iter().map(|(_, name)| name.as_str());
            let path: Vec<&str> = std::iter::once(module)
                .chain(inner)
                .chain([captures.get(1).expect("a name").as_str()])
                .collect();
            tests.push(SourceTest {
                file: file.to_owned(),
                path: path.join("::"),
                doc: doc.join(" "),
                ignored: ignored.take(),
            });
        }
        doc.clear();
        (is_test, ignored) = (false, None);
    }
    tests
}

#[test]
fn source_tests_have_the_names_that_cargo_lists() {
    for (file, module) in [
        ("src/cli/alert.rs", Some("chiron::cli::alert")),
        ("workflow/src/lib.rs", Some("workflow")),
        ("tests/it/demo.rs", Some("it::demo")),
        ("tests/it/main.rs", Some("it")),
        ("simulator/tests/world.rs", Some("world")),
        ("learner/benches/decision.rs", None),
        ("docs/formats.md", None),
    ] {
        assert_eq!(module_of(file).as_deref(), module, "{file}");
    }
    let text = "/// Row.\n#[tokio::test]\nasync fn first() {\n}\n\nfn helper() {}\n\n#[cfg(test)]\nmod tests {\n    \
                /// Doc.\n    /// More.\n    #[test]\n    #[ignore = \"slow: why\"]\n    fn second() {\n    }\n}\n\n#[test]\nfn third() {}\n";
    let tests = parse("a/src/b.rs", "a::b", text);
    let found: Vec<_> = tests
        .iter()
        .map(|test| (test.path.as_str(), test.doc.as_str(), test.ignored.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("a::b::first", "Row.", None),
            ("a::b::tests::second", "Doc. More.", Some("slow: why")),
            ("a::b::third", "", None)
        ]
    );
    // This test and its module, as the harness names it.
    let own = source_tests()
        .into_iter()
        .find(|test| test.name() == "source_tests_have_the_names_that_cargo_lists");
    assert_eq!(
        own.expect("this test").path,
        format!("{}::source_tests_have_the_names_that_cargo_lists", module_path!())
    );
}

/// The reasons decide who runs an ignored test: `tests/NAME/run`, `scripts/test.sh`, or another test.
#[test]
fn ignored_tests_say_who_runs_them() {
    let tests = source_tests();
    let mut slow = 0;
    for test in &tests {
        let (path, is_slow) = (&test.path, test.name().starts_with("slow_"));
        match test.ignored.as_deref() {
            Some("slow: run by make test") => assert!(is_slow, "{path}; hint: call it slow_…"),
            Some(reason) if reason.starts_with("child of ") => {
                assert!(test.name().starts_with("child_"), "{path}; hint: call it child_…");
                let parent = reason.trim_start_matches("child of ");
                let is_parent =
                    |other: &&SourceTest| other.file == test.file && other.name() == parent;
                assert!(
                    tests.iter().any(|other| is_parent(&other)),
                    "{path}: there is no {parent}"
                );
            }
            Some(reason) => {
                let server = reason.strip_prefix("needs: ");
                let server = server.unwrap_or_else(|| panic!("{path}: unknown reason `{reason}`"));
                assert!(
                    path.split("::").any(|module| module == server),
                    "{path} is not in {server}"
                );
            }
            None => assert!(!is_slow, "{path}; hint: #[ignore = \"slow: run by make test\"]"),
        }
        slow += usize::from(is_slow);
    }
    assert!(slow > 10, "only {slow} slow tests");
}
