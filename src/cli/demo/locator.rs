//! Locates the running demo of this user, so that other commands need no flags to reach it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::data_dir::{AddressFile, is_locked};

/// Returns the file that contains the data directory of the running demo: `chiron/demo` in the runtime or state folder
/// of the user. Returns `None` if the user has no such folder.
fn file() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = of("XDG_RUNTIME_DIR")
        .or_else(|| of("XDG_STATE_HOME"))
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(of("HOME")?).join(".local/state")))?;
    Some(folder.join("chiron").join("demo"))
}

/// Returns the data directory of the running demo, if there is one.
///
/// # Errors
/// If the demo in the file has ended without removing the file; the file is removed then.
pub(crate) fn find() -> Result<Option<PathBuf>> {
    let Some(file) = file() else { return Ok(None) };
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
    let dir = PathBuf::from(text.trim());
    if is_locked(&dir) {
        return Ok(Some(dir));
    }
    // If the file cannot be removed, the next command reports the same error.
    let _ = std::fs::remove_file(&file);
    bail!("the demo in {} has ended: start `chiron demo`", dir.display());
}

/// Registers a running demo with the data directory `dir` until the returned value is dropped.
///
/// # Errors
/// If the file cannot be written, or another running demo is registered: its commands must keep reaching it.
pub(crate) fn register(dir: &Path) -> Result<AddressFile> {
    let file = file().context("none of XDG_RUNTIME_DIR, XDG_STATE_HOME and HOME is set")?;
    let other = std::fs::read_to_string(&file).map(|text| PathBuf::from(text.trim()));
    if let Ok(other) = other
        && is_locked(&other)
    {
        bail!("another demo is running in {}, and commands without flags use it", other.display());
    }
    let folder = file.parent().expect("the file is in a folder");
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| format!("cannot create {}", folder.display()))?;
    let dir = std::path::absolute(dir).context("there is no current folder")?;
    AddressFile::new(file, dir.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_dir_is_locked_while_the_store_is_open() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_locked(folder.path()), "no store was opened there");
        let store = crate::bootstrap::open_store(folder.path(), store::Salts::System).unwrap();
        assert!(is_locked(folder.path()));
        drop(store);
        assert!(!is_locked(folder.path()), "the lock file remains, but it is unlocked");
    }
}
