//! Checks the project's vocabulary: no private or literary word in any tracked file, and no type name with two meanings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

/// Words that the project once used privately, and what to write instead.
///
/// Matched as whole words of identifiers (`snake_case` and `camelCase` are split), strings, comments and documents.
const BANNED: &[(&[&str], &str)] = &[
    (&["deed", "deeds"], "action, operation or request"),
    (&["befall", "befalls", "befell"], "apply, inject or affect"),
    (&["patiently", "patience"], "with a timeout"),
    (&["whoever", "nobody", "somebody"], "the operator, client or component meant"),
    (&["unwell"], "unhealthy or affected"),
    (&["glance", "glances"], "scan or cached list"),
    (&["tale", "tales"], "progress or report"),
    (&["mend", "mends", "mended", "mending"], "fix, repair or mitigate"),
    (&["wish", "wishes", "wished"], "request or option"),
    (&["heard", "told"], "received or reported"),
    (&["anew", "afresh", "seldom"], "again or rarely"),
];

/// Places where a banned word is right, each with the reason.
const ALLOWED_WORDS: &[(&str, &str, &str)] = &[
    ("CHANGELOG.md", "deeds", "lists the old names of renamed fields"),
    ("simulator/src/http/kinds.tsv", "wishes", "Kubernetes' own description of a field"),
];

/// Public type names that two crates share, each with the reason.
const SHARED_TYPE_NAMES: &[(&str, &str)] = &[];

/// Files that hold other people's words: lock files, licences, names of packages.
const FOREIGN: &[&str] = &["Cargo.lock", "LICENSE", "go.sum", "tests/it/language.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tracked text files, or, where git is missing, none (the caller then fails).
pub(crate) fn tracked_files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the tracked files");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("paths are UTF-8").lines().map(PathBuf::from).collect()
}

/// The words of one line, in lower case; `HTTPServer_isReady` gives `http`, `server`, `is`, `ready`.
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let characters: Vec<char> = line.chars().collect();
    for (index, &character) in characters.iter().enumerate() {
        let follows_lower = index > 0 && characters[index - 1].is_lowercase();
        let precedes_lower = characters.get(index + 1).is_some_and(|next| next.is_lowercase());
        let starts_word = character.is_uppercase() && (follows_lower || precedes_lower);
        if (starts_word || !character.is_alphabetic()) && !word.is_empty() {
            found.push(std::mem::take(&mut word));
        }
        if character.is_alphabetic() {
            word.extend(character.to_lowercase());
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

#[test]
fn words_splits_snake_camel_and_acronyms() {
    assert_eq!(words("HTTPServer_isReady(a8_x)"), ["http", "server", "is", "ready", "a", "x"]);
    assert_eq!(words("\"toldYou\": told"), ["told", "you", "told"]);
}

#[test]
fn tracked_files_contain_no_banned_word() {
    let banned: BTreeMap<&str, &str> = BANNED
        .iter()
        .flat_map(|(words, use_)| words.iter().map(move |word| (*word, *use_)))
        .collect();
    let mut found = Vec::new();
    let mut read = 0;
    for file in tracked_files() {
        let name = file.to_string_lossy();
        if FOREIGN.iter().any(|foreign| name.ends_with(foreign)) {
            continue;
        }
        // Files that are not UTF-8 are test inputs for the parsers.
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        read += 1;
        for (number, line) in text.lines().enumerate() {
            for word in words(line) {
                let Some(instead) = banned.get(word.as_str()) else { continue };
                if !ALLOWED_WORDS.iter().any(|(path, allowed, _)| *path == name && *allowed == word)
                {
                    found.push(format!("{name}:{}: `{word}`; hint: write {instead}", number + 1));
                }
            }
        }
    }
    assert!(read > 300, "only {read} files were read");
    assert!(found.is_empty(), "{} banned words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn public_type_names_occur_in_one_crate_or_are_listed() {
    let declaration = Regex::new(r"^\s*pub (?:struct|enum|trait|type|union) (\w+)").unwrap();
    let mut crates_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in tracked_files() {
        let name = file.to_string_lossy().into_owned();
        // `src/…` is the binary; `crate/src/…` a library.
        let Some((krate, rest)) = name.split_once('/') else { continue };
        let is_source = krate == "src" || rest.starts_with("src/");
        if !is_source || !name.ends_with(".rs") || name.contains("/tests") {
            continue;
        }
        for line in fs::read_to_string(root().join(&file)).expect("a tracked file").lines() {
            if let Some(captures) = declaration.captures(line) {
                crates_of.entry(captures[1].to_owned()).or_default().insert(krate.to_owned());
            }
        }
    }
    assert!(crates_of.len() > 300, "only {} public types were found", crates_of.len());
    let shared: BTreeMap<_, _> =
        crates_of.into_iter().filter(|(_, crates)| crates.len() > 1).collect();
    for (name, crates) in &shared {
        println!("{name}: {}", crates.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    let listed: BTreeSet<&str> = SHARED_TYPE_NAMES.iter().map(|(name, _)| *name).collect();
    let unlisted: Vec<_> = shared.keys().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(unlisted.is_empty(), "public in two crates: {unlisted:?}; hint: rename one of them");
    let stale: Vec<_> = listed.iter().filter(|name| !shared.contains_key(**name)).collect();
    assert!(stale.is_empty(), "listed and not shared any more: {stale:?}");
}
