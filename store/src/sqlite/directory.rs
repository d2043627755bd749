use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::error::StoreError;

/// Name of the data file in the data directory.
pub(crate) const DATA_FILE: &str = "chiron.db";

/// Name of the lock file. It contains the process id of the writer.
const LOCK_FILE: &str = "lock";

/// Creates the data directory if it does not exist, and takes the exclusive lock on it.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(dir)
        .map_err(|source| failed("create the data directory", dir, source))?;
    let path = dir.join(LOCK_FILE);
    let mut file = private()
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| failed("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder).is_ok();
            let holder = Some(holder.trim().to_string()).filter(|pid| read && !pid.is_empty());
            return Err(StoreError::InUse { dir: dir.into(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|source| failed("write", &path, source))?;
    Ok(file)
}

/// Creates `file` with mode 0600 before anything is written to it. SQLite gives its side files the same mode.
pub(super) fn make_private(file: &Path) -> Result<(), StoreError> {
    private()
        .create(true)
        .truncate(false)
        .open(file)
        .map(drop)
        .map_err(|source| failed("create", file, source))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn failed(operation: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::File { operation, path: path.into(), source }
}
