//! Checks the structure of the workspace: allowed dependencies, purity, lints, licences, and that ARCHITECTURE.md matches.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate with the crates of the workspace that it may depend on, in dependency order.
const ALLOWED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("cluster", &[]),
    ("runtime", &[]),
    ("workflow", &["cluster"]),
    ("actions", &["workflow", "cluster"]),
    ("planner", &["workflow", "cluster", "actions"]),
    ("optimizer", &["workflow", "actions"]),
    ("learner", &["workflow"]),
    ("store", &["workflow"]),
    ("executor", &["workflow", "cluster", "actions", "store"]),
    ("simulator", &["workflow", "cluster", "runtime"]),
    (
        "engine",
        &[
            "cluster",
            "runtime",
            "workflow",
            "actions",
            "planner",
            "optimizer",
            "learner",
            "store",
            "executor",
        ],
    ),
    (
        "evals",
        &[
            "cluster",
            "runtime",
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
    ("api", &["workflow"]),
    ("server", &["api", "workflow", "store"]),
    (
        "chiron",
        &[
            "cluster",
            "runtime",
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
            "api",
            "server",
        ],
    ),
];

/// Crates that every crate may use in its tests.
const FOR_TESTS: [&str; 2] = ["simulator", "store"];

/// Crates without async code, clock, unseeded randomness and IO, and the packages that they must not depend on.
const PURE: [&str; 4] = ["workflow", "actions", "optimizer", "learner"];
const IMPURE: [&str; 6] = ["tokio", "futures", "async-trait", "reqwest", "kube", "rusqlite"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// Returns the members of the workspace with the dependencies in their manifests, without packages of the registry.
fn members() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads the workspace")
}

fn allowed(name: &str) -> Option<BTreeSet<&'static str>> {
    let entry = ALLOWED_DEPENDENCIES.iter().find(|(of, _)| *of == name);
    entry.map(|(_, on)| on.iter().copied().collect())
}

/// Returns the crates of the workspace among the package's dependencies of the given kinds.
fn workspace_dependencies(package: &Package, kinds: &[DependencyKind]) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|d| kinds.contains(&d.kind) && allowed(&d.name).is_some())
        .map(|d| d.name.clone())
        .collect()
}

#[test]
fn crates_depend_only_on_allowed_crates() {
    let mut wrong = Vec::new();
    for package in &members().packages {
        let Some(mut allowed) = allowed(&package.name) else {
            wrong.push(format!("{} is not in ALLOWED_DEPENDENCIES", package.name));
            continue;
        };
        let normal = [DependencyKind::Normal, DependencyKind::Build];
        for name in workspace_dependencies(package, &normal) {
            if !allowed.contains(&*name) {
                wrong.push(format!("{} may not depend on {name}", package.name));
            }
        }
        allowed.extend(FOR_TESTS);
        for name in workspace_dependencies(package, &[DependencyKind::Development]) {
            if !allowed.contains(&*name) {
                wrong.push(format!("the tests of {} may not depend on {name}", package.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nhint: a type that two crates need belongs in `workflow`",
        wrong.join("\n")
    );
}

#[test]
fn allowed_dependencies_list_only_workspace_members() {
    let members: BTreeSet<_> = members().packages.iter().map(|p| p.name.to_string()).collect();
    let missing: Vec<_> =
        ALLOWED_DEPENDENCIES.iter().filter(|(name, _)| !members.contains(*name)).collect();
    assert!(missing.is_empty(), "not in the workspace: {missing:?}");
}

#[test]
fn pure_crates_have_no_io_dependencies() {
    for package in members().packages.iter().filter(|p| PURE.contains(&p.name.as_str())) {
        for dependency in
            package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development)
        {
            assert!(
                !IMPURE.contains(&&*dependency.name),
                "{} depends on {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn default_members_are_all_crates() {
    let metadata = members();
    let defaults: BTreeSet<_> =
        metadata.workspace_default_packages().iter().map(|p| p.name.to_string()).collect();
    let expected: BTreeSet<_> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    assert_eq!(defaults, expected, "`default-members` of the root manifest");
}

#[test]
fn crates_inherit_workspace_lints() {
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
fn pure_crates_repeat_root_clippy_settings_and_ban_clock() {
    let shared: toml::Table =
        toml::from_str(&read(root().join("clippy.toml"))).expect("clippy.toml is TOML");
    for name in PURE.iter().chain(&["executor"]) {
        let own: toml::Table = toml::from_str(&read(root().join(name).join("clippy.toml")))
            .expect("clippy.toml is TOML");
        for (key, value) in &shared {
            assert_eq!(
                own.get(key),
                Some(value),
                "{name}/clippy.toml must repeat `{key}`, because Clippy does not merge files"
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
fn architecture_md_matches_allowed_dependencies() {
    let rows = parse_dependency_table(&read(root().join("ARCHITECTURE.md")));
    for package in &members().packages {
        let Some(row) = rows.get(package.name.as_str()) else {
            panic!("ARCHITECTURE.md has no row for {}", package.name)
        };
        let allowed = allowed(&package.name)
            .unwrap_or_else(|| panic!("{} is not in ALLOWED_DEPENDENCIES", package.name));
        let expected: BTreeSet<_> = allowed.into_iter().map(str::to_owned).collect();
        assert_eq!(
            row, &expected,
            "ARCHITECTURE.md and ALLOWED_DEPENDENCIES differ for {}",
            package.name
        );
    }
    for name in rows.keys() {
        assert!(
            allowed(name).is_some(),
            "ARCHITECTURE.md has a row for {name}, which is not in ALLOWED_DEPENDENCIES"
        );
    }
}

/// Parses the rows `| folder/ | contents | allowed dependencies |`, with names in backticks.
///
/// Instead of names, the last cell can be `nothing of ours`, `all above` (or `all`), or `all above but` names. Folders
/// without Rust code are skipped.
fn parse_dependency_table(document: &str) -> BTreeMap<String, BTreeSet<String>> {
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
        let listed = on.split('`').skip(1).step_by(2).map(|c| c.trim_end_matches('/').to_owned());
        let on = match on {
            "nothing of ours" => BTreeSet::new(),
            "all above" | "all" => rows.keys().cloned().collect(),
            "anything" | "no Rust of ours" => continue,
            _ if on.starts_with("all above but ") => {
                let excluded: BTreeSet<_> = listed.collect();
                rows.keys().filter(|name| !excluded.contains(*name)).cloned().collect()
            }
            _ => listed.collect(),
        };
        assert!(
            rows.insert(name.to_owned(), on).is_none(),
            "ARCHITECTURE.md has two rows for {name}"
        );
    }
    rows
}

#[test]
fn dependency_table_rows_are_parsed() {
    let rows = parse_dependency_table(
        "| Folder = crate | Owns | May depend on |\n|---|---|---|\n\
         | `cluster/` | objects; `a` or `b` | nothing of ours |\n\
         | `workflow/` | types | `cluster` |\n\
         | `engine/` | the loop | all above |\n\
         | `evals/` | reports | all above but `engine` |\n\
         | `tests/` | scenarios | anything |\n",
    );
    let of = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["cluster", "engine", "evals", "workflow"]);
    assert_eq!(rows["cluster"], of(&[]));
    assert_eq!(rows["workflow"], of(&["cluster"]));
    assert_eq!(rows["engine"], of(&["cluster", "workflow"]));
    assert_eq!(rows["evals"], of(&["cluster", "workflow"]));
}

/// Returns the configuration of cargo-deny, so that the tests below work without the tool.
fn deny() -> toml::Table {
    toml::from_str(&read(root().join("deny.toml"))).expect("deny.toml is TOML")
}

#[test]
fn dependencies_have_accepted_licences() {
    let deny = deny();
    let accepted: BTreeSet<_> = deny["licenses"]["allow"]
        .as_array()
        .expect("licenses.allow is a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    // Only this platform's packages: those of other platforms are not downloaded.
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--offline".to_owned(), "--filter-platform".to_owned(), host()])
        .exec()
        .expect("cargo metadata resolves all dependencies");
    let refused: Vec<_> = metadata
        .packages
        .iter()
        .filter(|p| !p.license.as_deref().is_some_and(|l| is_accepted(l, &accepted)))
        .map(|p| {
            format!("{} {}: {}", p.name, p.version, p.license.as_deref().unwrap_or("no licence"))
        })
        .collect();
    assert!(refused.is_empty(), "not in licenses.allow of deny.toml:\n{}", refused.join("\n"));
}

/// Returns the target triple of the toolchain's host.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().expect("rustc prints its version");
    let text = String::from_utf8(output.stdout).expect("rustc writes UTF-8");
    text.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc prints its host").to_owned()
}

/// Returns whether the accepted licences satisfy an SPDX expression.
///
/// `/` is the old notation for OR. AND binds stronger than OR. WITH applies to the name before it.
fn is_accepted(expression: &str, accepted: &BTreeSet<&str>) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = text.split_whitespace().peekable();
    let is_satisfied = any_of(&mut words, accepted);
    is_satisfied && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, accepted: &BTreeSet<&str>) -> bool {
    let mut is_satisfied = all_of(words, accepted);
    while words.next_if_eq(&"OR").is_some() {
        is_satisfied |= all_of(words, accepted);
    }
    is_satisfied
}

fn all_of(words: &mut Words<'_>, accepted: &BTreeSet<&str>) -> bool {
    let mut is_satisfied = operand(words, accepted);
    while words.next_if_eq(&"AND").is_some() {
        is_satisfied &= operand(words, accepted);
    }
    is_satisfied
}

fn operand(words: &mut Words<'_>, accepted: &BTreeSet<&str>) -> bool {
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
fn spdx_expressions_are_evaluated() {
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
fn lock_file_contains_no_banned_crate() {
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
    // The lock file contains the packages of all platforms.
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
        "banned by deny.toml: {found:?}; hint: run `cargo tree --invert NAME` to see which crate depends on it"
    );
}
