use std::fs;
use std::path::{Path, PathBuf};

/// The machine and the fleet only decide; they do not wait and have no side effects.
#[test]
fn machine_and_fleet_have_no_async_clock_or_io() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> =
        ["machine.rs", "fleet.rs"].iter().map(|name| src.join(name)).collect();
    for folder in ["machine", "fleet"] {
        files.extend(fs::read_dir(src.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    assert!(files.len() > 8, "the files moved: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in [
            "async ", ".await", "tokio", "futures", "::now()", "std::fs", "std::net", "HashMap",
            "println",
        ] {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert!(
                !code.into_iter().any(|line| line.contains(word)),
                "{} contains `{word}`",
                file.display()
            );
        }
    }
}
