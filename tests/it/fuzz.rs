//! Runs every fuzz target on its corpus and on seeded mutations of it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

// The targets are files of the package `fuzz/`, which cargo-fuzz builds and this workspace does not.
#[path = "../../fuzz/src/mutation.rs"]
mod mutation;
#[expect(unreachable_pub, reason = "a file of the library of `fuzz/`")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use mutation::Mutations;
use targets::TARGETS;

/// Mutations per target.
const MUTATIONS: usize = 10_000;

/// Returns the files of a target's corpus by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs a target on a thread with the stack size of an async runtime's threads. Returns the input that failed.
fn run(name: &'static str, target: fn(&[u8])) -> Option<String> {
    let work = move || {
        let corpus = corpus(name);
        let mut mutations = Mutations::new(1, corpus.clone());
        let mutated = std::iter::repeat_with(|| mutations.next_input()).take(MUTATIONS);
        for (number, input) in corpus.clone().into_iter().chain(mutated).enumerate() {
            if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                let text = String::from_utf8_lossy(&input).into_owned();
                return Some(format!("{name}, input {number}: {text:?}"));
            }
        }
        None
    };
    thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap()
}

#[test]
fn fuzz_targets_accept_corpus_and_mutations() {
    let failures: Vec<String> =
        TARGETS.iter().filter_map(|(name, target)| run(name, *target)).collect();
    assert!(failures.is_empty(), "add the input to fuzz/corpus/:\n{}", failures.join("\n"));
}

#[test]
fn fuzz_targets_have_a_cargo_fuzz_binary_and_no_corpus_is_unused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest: toml::Table =
        toml::from_str(&fs::read_to_string(root.join("Cargo.toml")).unwrap()).unwrap();
    let mut binaries: Vec<&str> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|binary| binary["name"].as_str().unwrap())
        .collect();
    binaries.sort_unstable();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(binaries, names, "the targets of fuzz/Cargo.toml");
    for name in &names {
        let source = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains("fuzz_target!"), "{name}");
    }
    let mut folders: Vec<String> = fs::read_dir(root.join("corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, names);
}

#[test]
fn mutations_are_deterministic_and_differ() {
    let inputs = |seed| {
        let mut mutations = Mutations::new(seed, vec![b"a: [1, 2]".to_vec(), b"{}".to_vec()]);
        (0..200).map(|_| mutations.next_input()).collect::<Vec<_>>()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    let distinct: std::collections::BTreeSet<_> = inputs(1).into_iter().collect();
    assert!(distinct.len() > 100, "{} distinct inputs", distinct.len());
}
