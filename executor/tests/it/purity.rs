use std::fs;
use std::path::{Path, PathBuf};

/// The machine and the fleet decide; they neither wait nor touch anything.
#[test]
fn machine_and_fleet_hold_no_async_no_clock_and_no_io() {
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
                "{} holds `{word}`",
                file.display()
            );
        }
    }
}
