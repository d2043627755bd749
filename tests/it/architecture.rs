//! Holds the map of the workspace: who may depend on whom, what the pure crates do without, which licences come in.
//! ARCHITECTURE.md repeats the map, and is compared with it here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate, and which of ours it may depend on, in the order of the map.
const MAP: &[(&str, &[&str])] = &[
    ("cluster", &[]),
    ("workflow", &["cluster"]),
    ("actions", &["workflow", "cluster"]),
    ("planner", &["workflow", "cluster", "actions"]),
    ("optimizer", &["workflow", "actions"]),
    ("learner", &["workflow"]),
    ("store", &["workflow"]),
    ("executor", &["workflow", "cluster", "actions", "store"]),
    ("simulator", &["workflow", "cluster"]),
    (
        "engine",
        &[
            "cluster",
            "workflow",
            "actions",
            "planner",
            "optimizer",
            "learner",
            "store",
            "executor",
            "simulator",
        ],
    ),
    (
        "evals",
        &[
            "cluster",
            "workflow",
            "actions",
            "planner",
            "optimizer",
            "learner",
            "store",
            "executor",
            "simulator",
            "engine",
        ],
    ),
    ("server", &["workflow", "store"]),
    ("temporal", &["workflow", "cluster", "actions", "executor"]),
    (
        "chiron",
        &[
            "cluster",
            "workflow",
            "actions",
            "planner",
            "optimizer",
            "learner",
            "store",
            "executor",
            "simulator",
            "engine",
            "evals",
            "server",
            "temporal",
        ],
    ),
];

/// The crate that may be missing, and that a plain `cargo test` leaves out where it is there.
const OPTIONAL: &str = "temporal";

/// Tests of any crate may use these, whatever the map says of the crate itself.
const FOR_TESTS: [&str; 2] = ["simulator", "store"];

/// Values go from one stage to the next by the engine alone.
const STAGES: [&str; 4] = ["planner", "optimizer", "executor", "learner"];

/// Crates without async, clock, unseeded chance and IO, and what they therefore never name.
const PURE: [&str; 4] = ["workflow", "actions", "optimizer", "learner"];
const IMPURE: [&str; 6] = ["tokio", "futures", "async-trait", "reqwest", "kube", "rusqlite"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The members of the workspace and what their manifests name, nothing of the registry.
fn members() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads the workspace")
}

fn allowed(name: &str) -> Option<BTreeSet<&'static str>> {
    MAP.iter().find(|(of, _)| *of == name).map(|(_, on)| on.iter().copied().collect())
}

/// What the package names among our own crates, in the given kinds of dependencies.
fn ours_named_by(package: &Package, kinds: &[DependencyKind]) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|d| kinds.contains(&d.kind) && allowed(&d.name).is_some())
        .map(|d| d.name.clone())
        .collect()
}

#[test]
fn every_crate_depends_on_what_the_map_allows_and_nothing_else() {
    let mut wrong = Vec::new();
    for package in &members().packages {
        let Some(mut allowed) = allowed(&package.name) else {
            wrong.push(format!("{} is not in the map", package.name));
            continue;
        };
        let normal = [DependencyKind::Normal, DependencyKind::Build];
        for name in ours_named_by(package, &normal) {
            if !allowed.contains(&*name) {
                wrong.push(format!("{} may not depend on {name}", package.name));
            }
        }
        allowed.extend(FOR_TESTS);
        for name in ours_named_by(package, &[DependencyKind::Development]) {
            if !allowed.contains(&*name) {
                wrong.push(format!("the tests of {} may not depend on {name}", package.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nhint: a type that two crates need is a word of `workflow`",
        wrong.join("\n")
    );
}

#[test]
fn every_crate_of_the_map_is_a_member() {
    let members: BTreeSet<_> = members().packages.iter().map(|p| p.name.to_string()).collect();
    let missing: Vec<_> =
        MAP.iter().filter(|(name, _)| !members.contains(*name) && *name != OPTIONAL).collect();
    assert!(missing.is_empty(), "not in the workspace: {missing:?}");
}

#[test]
fn the_four_stages_never_import_one_another() {
    let every = [DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development];
    for package in members().packages.iter().filter(|p| STAGES.contains(&p.name.as_str())) {
        let named = ours_named_by(package, &every);
        for other in STAGES.iter().filter(|other| **other != package.name.as_str()) {
            assert!(
                !named.contains(*other),
                "{} names {other}; the engine carries values between stages",
                package.name
            );
        }
    }
}

#[test]
fn pure_crates_name_nothing_that_waits_or_reaches_out() {
    for package in members().packages.iter().filter(|p| PURE.contains(&p.name.as_str())) {
        for dependency in
            package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development)
        {
            assert!(
                !IMPURE.contains(&&*dependency.name),
                "{} names {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn machine_and_fleet_of_the_executor_are_pure() {
    let source = root().join("executor/src");
    let mut files = Vec::new();
    for module in ["machine", "fleet"] {
        files.push(source.join(module).with_extension("rs"));
        collect_rust_files(&source.join(module), &mut files);
    }
    for file in files.iter().filter(|f| f.exists()) {
        for (number, line) in read(file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in ["async fn", "async move", ".await", "tokio::", "futures::", "async_trait"]
            {
                assert!(
                    !code.contains(word),
                    "{}:{}: `{word}` in a pure module",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}

fn collect_rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn a_plain_cargo_test_misses_no_crate_but_temporal() {
    let metadata = members();
    let defaults: BTreeSet<_> =
        metadata.workspace_default_packages().iter().map(|p| p.name.to_string()).collect();
    let expected: BTreeSet<_> = metadata
        .packages
        .iter()
        .map(|p| p.name.to_string())
        .filter(|name| name != OPTIONAL)
        .collect();
    assert_eq!(defaults, expected, "`default-members` of the root manifest");
}

#[test]
fn every_crate_inherits_the_lints_of_the_workspace() {
    for package in &members().packages {
        let manifest: toml::Table =
            toml::from_str(&read(&package.manifest_path)).expect("a manifest is TOML");
        let inherits =
            manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(
            inherits,
            Some(true),
            "{} needs `[lints]` with `workspace = true`",
            package.manifest_path
        );
    }
}

#[test]
fn pure_crates_repeat_the_lint_settings_of_the_root_and_ban_the_clock() {
    let shared: toml::Table =
        toml::from_str(&read(root().join("clippy.toml"))).expect("clippy.toml is TOML");
    for name in PURE.iter().chain(&["executor"]) {
        let own: toml::Table = toml::from_str(&read(root().join(name).join("clippy.toml")))
            .expect("clippy.toml is TOML");
        for (key, value) in &shared {
            assert_eq!(
                own.get(key),
                Some(value),
                "{name}/clippy.toml: `{key}`, for clippy does not merge files"
            );
        }
        let banned: BTreeSet<_> = own
            .get("disallowed-methods")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|m| m.get("path").and_then(toml::Value::as_str))
            .collect();
        for clock in [
            "jiff::Timestamp::now",
            "jiff::Zoned::now",
            "std::time::SystemTime::now",
            "std::time::Instant::now",
        ] {
            assert!(banned.contains(clock), "{name}/clippy.toml does not ban {clock}");
        }
    }
}

#[test]
fn architecture_md_repeats_the_map() {
    let rows = map_of(&read(root().join("ARCHITECTURE.md")));
    for package in &members().packages {
        let Some(row) = rows.get(package.name.as_str()) else {
            panic!("ARCHITECTURE.md has no row for {}", package.name)
        };
        let map =
            allowed(&package.name).unwrap_or_else(|| panic!("{} is not in the map", package.name));
        // What is not in the workspace need not be spoken of.
        let absent = if members_lack(OPTIONAL) { Some(OPTIONAL) } else { None };
        let expected: BTreeSet<_> =
            map.into_iter().filter(|c| Some(*c) != absent).map(str::to_owned).collect();
        let row: BTreeSet<_> = row.iter().filter(|c| Some(c.as_str()) != absent).cloned().collect();
        assert_eq!(row, expected, "ARCHITECTURE.md and the map disagree on {}", package.name);
    }
    for name in rows.keys() {
        assert!(
            allowed(name).is_some(),
            "ARCHITECTURE.md has a row for {name}, which the map lacks"
        );
    }
}

fn members_lack(name: &str) -> bool {
    !members().packages.iter().any(|p| p.name.as_str() == name)
}

/// Reads the rows `| folder/ | what it owns | which of ours it may depend on |`, names in backticks.
/// `nothing of ours`, `all above` and `all` may stand for names; folders without Rust are passed over.
fn map_of(document: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in document.lines().filter(|l| l.trim_start().starts_with('|')) {
        let cells: Vec<_> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let [folder, _, on] = cells[..] else { continue };
        let Some(folder) =
            folder.strip_prefix('`').and_then(|f| f.split_once("/`")).map(|(name, _)| name)
        else {
            continue;
        };
        let name = if folder == "src" { "chiron" } else { folder };
        let on = match on {
            "nothing of ours" => BTreeSet::new(),
            "all above" | "all" => rows.keys().cloned().collect(),
            "anything" | "no Rust of ours" => continue,
            _ => on
                .split('`')
                .skip(1)
                .step_by(2)
                .map(|c| c.trim_end_matches('/').to_owned())
                .collect(),
        };
        assert!(
            rows.insert(name.to_owned(), on).is_none(),
            "ARCHITECTURE.md has two rows for {name}"
        );
    }
    rows
}

#[test]
fn a_row_of_the_map_is_read_as_it_is_written() {
    let rows = map_of(
        "| Folder = crate | Owns | May depend on |\n|---|---|---|\n\
         | `cluster/` | objects; `a` or `b` | nothing of ours |\n\
         | `workflow/` | words | `cluster` |\n\
         | `engine/` | the loop | all above |\n\
         | `tests/` | stories | anything |\n",
    );
    let of = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["cluster", "engine", "workflow"]);
    assert_eq!(rows["cluster"], of(&[]));
    assert_eq!(rows["workflow"], of(&["cluster"]));
    assert_eq!(rows["engine"], of(&["cluster", "workflow"]));
}

/// What deny.toml says, for those who do not have the tool.
fn deny() -> toml::Table {
    toml::from_str(&read(root().join("deny.toml"))).expect("deny.toml is TOML")
}

#[test]
fn every_crate_that_we_build_has_a_licence_we_accept() {
    let deny = deny();
    let accepted: BTreeSet<_> = deny["licenses"]["allow"]
        .as_array()
        .expect("licenses.allow is a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    // This platform's crates only: those of others were never downloaded.
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--offline".to_owned(), "--filter-platform".to_owned(), host()])
        .exec()
        .expect("cargo metadata knows all dependencies");
    let refused: Vec<_> = metadata
        .packages
        .iter()
        .filter(|p| !p.license.as_deref().is_some_and(|l| is_accepted(l, &accepted)))
        .map(|p| {
            format!(
                "{} {}: {}",
                p.name,
                p.version,
                p.license.as_deref().unwrap_or("no licence named")
            )
        })
        .collect();
    assert!(refused.is_empty(), "not in licenses.allow of deny.toml:\n{}", refused.join("\n"));
}

/// The platform that this toolchain builds for.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().expect("rustc tells its version");
    let text = String::from_utf8(output.stdout).expect("rustc writes UTF-8");
    text.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// Whether one may use what stands under this SPDX expression with the accepted licences alone.
/// `/` is the old way to write OR; AND binds closer than OR; WITH belongs to the name before it.
fn is_accepted(expression: &str, accepted: &BTreeSet<&str>) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = text.split_whitespace().peekable();
    let verdict = any_of(&mut words, accepted);
    verdict && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, accepted: &BTreeSet<&str>) -> bool {
    let mut verdict = all_of(words, accepted);
    while words.next_if_eq(&"OR").is_some() {
        verdict |= all_of(words, accepted);
    }
    verdict
}

fn all_of(words: &mut Words<'_>, accepted: &BTreeSet<&str>) -> bool {
    let mut verdict = one(words, accepted);
    while words.next_if_eq(&"AND").is_some() {
        verdict &= one(words, accepted);
    }
    verdict
}

fn one(words: &mut Words<'_>, accepted: &BTreeSet<&str>) -> bool {
    match words.next() {
        Some("(") => any_of(words, accepted) && words.next() == Some(")"),
        Some(name) if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next().unwrap_or_default();
            accepted.contains(&*format!("{name} WITH {exception}"))
        }
        Some(name) => accepted.contains(name),
        None => false,
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let accepted = BTreeSet::from(["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]);
    let check = |expression, expected| {
        assert_eq!(is_accepted(expression, &accepted), expected, "{expression}")
    };
    check("MIT", true);
    check("GPL-3.0", false);
    check("GPL-3.0 OR MIT", true);
    check("GPL-3.0/MIT", true);
    check("GPL-3.0 AND MIT", false);
    check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
    check("(GPL-3.0 OR Apache-2.0) AND Unicode-3.0", false);
    check("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true);
    check("Apache-2.0 WITH Other-exception", false);
    check("MIT OR GPL-3.0 AND GPL-2.0", true);
    check("MIT )", false);
    check("", false);
}

#[test]
fn banned_crates_are_in_nobodys_tree() {
    let deny = deny();
    let banned: BTreeSet<_> = deny["bans"]["deny"]
        .as_array()
        .expect("bans.deny is a list")
        .iter()
        .filter_map(|b| b.get("crate").and_then(toml::Value::as_str))
        .collect();
    for name in ["bincode", "serde_yml", "serde_yaml", "backoff", "yaml-rust", "instant"] {
        assert!(banned.contains(name), "deny.toml does not ban {name}");
    }
    // The lock file knows the crates of every platform.
    let lock: toml::Table =
        toml::from_str(&read(root().join("Cargo.lock"))).expect("Cargo.lock is TOML");
    let locked = lock["package"].as_array().expect("Cargo.lock lists packages");
    let found: Vec<_> = locked
        .iter()
        .filter_map(|p| p["name"].as_str())
        .filter(|name| banned.contains(name))
        .collect();
    assert!(
        found.is_empty(),
        "banned by deny.toml: {found:?}; hint: cargo tree --invert NAME says who wants it"
    );
}
