//! Where the running demo of this user is to be found, so that other commands need not be told.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::data_dir::{Announced, is_held};

/// The file that names the data directory of the running demo: `chiron/demo` where this user's sessions keep such
/// things. `None` where the user has no such place.
fn file() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = of("XDG_RUNTIME_DIR")
        .or_else(|| of("XDG_STATE_HOME"))
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(of("HOME")?).join(".local/state")))?;
    Some(folder.join("chiron").join("demo"))
}

/// The data directory of the running demo, if one says that it runs.
///
/// # Errors
/// Where the one that said so has ended without taking it back; its word is removed then.
pub(crate) fn find() -> Result<Option<PathBuf>> {
    let Some(file) = file() else { return Ok(None) };
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
    let dir = PathBuf::from(text.trim());
    if is_held(&dir) {
        return Ok(Some(dir));
    }
    // Where it cannot be removed, the next command says the same.
    let _ = std::fs::remove_file(&file);
    bail!("the demo that ran in {} has ended: start `chiron demo`", dir.display());
}

/// Says that a demo runs over the folder `dir`, until the value given back is dropped.
///
/// # Errors
/// Where there is no place to say it, or another demo that runs has said it there: its commands must go on reaching it.
pub(crate) fn announce(dir: &Path) -> Result<Announced> {
    let file = file().context("none of XDG_RUNTIME_DIR, XDG_STATE_HOME and HOME is set")?;
    let other = std::fs::read_to_string(&file).map(|text| PathBuf::from(text.trim()));
    if let Ok(other) = other
        && is_held(&other)
    {
        bail!("a demo runs in {} already, and commands that name none go there", other.display());
    }
    let folder = file.parent().expect("the file lies in a folder of ours");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    let dir = std::path::absolute(dir).context("there is no current folder")?;
    Announced::new(file, dir.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_as_long_as_its_lock_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()), "nobody ever wrote there");
        let store = crate::wiring::open_store(folder.path(), store::Salts::System).unwrap();
        assert!(is_held(folder.path()));
        drop(store);
        assert!(!is_held(folder.path()), "the file is left behind, its lock is not");
    }
}
