//! Where the running demo of this user is to be found, so that other commands need not be told.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::data_dir::Announced;

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
pub(crate) fn find() -> Option<PathBuf> {
    let text = std::fs::read_to_string(file()?).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// Says that a demo runs over the folder `dir`, until the value given back is dropped.
///
/// # Errors
/// Where there is no place to say it.
pub(crate) fn announce(dir: &Path) -> Result<Announced> {
    let file = file().context("none of XDG_RUNTIME_DIR, XDG_STATE_HOME and HOME is set")?;
    let folder = file.parent().expect("the file lies in a folder of ours");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    let dir = std::path::absolute(dir).context("there is no current folder")?;
    Announced::new(file, dir.display().to_string())
}
