//! The data directory of a server: given by the operator, or temporary and removed when the process ends.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cluster::SecretKey;
use tempfile::TempDir;

use crate::private_file;

/// Prefix of temporary data directories.
const TEMPORARY: &str = "chiron-state-";
/// Name of the file that the writer of the record locks.
const LOCK: &str = "lock";
/// Minimum age of the lock file of a stale temporary directory: a new process locks its directory within that time.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// A data directory.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Removes a temporary directory on drop.
    _temporary: Option<TempDir>,
}

impl DataDir {
    /// Name of the token file.
    pub(crate) const TOKEN: &str = "token";
    const KEY: &str = "key";
    /// Name of the file that contains the address of the running server.
    const ADDRESS: &str = "address";

    /// Opens the directory at `named`, and creates it if necessary; without a name, creates a temporary one.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(crate) fn open(named: Option<&Path>) -> Result<Self> {
        let Some(named) = named else {
            let temporary = tempfile::Builder::new()
                .prefix(TEMPORARY)
                .tempdir()
                .context("cannot create a temporary folder")?;
            if let Ok(created) = std::fs::metadata(temporary.path()) {
                remove_stale(&std::env::temp_dir(), created.uid());
            }
            return Ok(Self { path: temporary.path().into(), _temporary: Some(temporary) });
        };
        let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(named);
        created.with_context(|| format!("cannot create the data directory {}", named.display()))?;
        // The files are readable only by their owner, but their names and modification times are not protected.
        let mode = std::fs::metadata(named).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            let path = named.display();
            tracing::warn!(
                "the data directory {path} is accessible to other users; run `chmod 700 {path}` to protect it"
            );
        }
        Ok(Self { path: named.into(), _temporary: None })
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the token file.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.path.join(Self::TOKEN)
    }

    /// Returns the token. Creates it at the first start, readable only by its owner.
    ///
    /// # Errors
    /// If it cannot be read or created, or is too short.
    pub(crate) fn token(&self) -> Result<String> {
        let path = self.token_file();
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().into()),
            Ok(_) => bail!(
                "{} does not contain a token of at least 32 characters: remove it to create a new one",
                path.display()
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
        let token = hex::encode(random()?);
        private_file::write(&path, &token)?;
        Ok(token)
    }

    /// Returns the key for digests of Secret values. Creates it at the first start, readable only by its owner.
    ///
    /// # Errors
    /// If it cannot be read or created, or is invalid.
    pub(crate) fn secret_key(&self) -> Result<SecretKey> {
        let path = self.path.join(Self::KEY);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let mut bytes = [0; 32];
                if hex::decode_to_slice(text.trim(), &mut bytes).is_err() {
                    bail!(
                        "{} does not contain a key of 64 hexadecimal digits: remove it to create a new one; all known Secret values then count as changed once",
                        path.display()
                    );
                }
                Ok(SecretKey::from_bytes(bytes))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = random()?;
                private_file::write(&path, &hex::encode(bytes))?;
                Ok(SecretKey::from_bytes(bytes))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes the address of the server to a file that is removed when the returned value is dropped.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write_address(&self, address: SocketAddr) -> Result<AddressFile> {
        let (path, text) = (self.path.join(Self::ADDRESS), format!("http://{address}"));
        private_file::write(&path, &text)?;
        Ok(AddressFile { path, text })
    }

    /// Returns the address of the server that uses `dir`, if the file exists.
    pub(crate) fn address(dir: &Path) -> Option<String> {
        let text = std::fs::read_to_string(dir.join(Self::ADDRESS)).ok()?;
        Some(text.trim().into())
    }
}

/// Whether a process uses the data directory `dir`. The process holds the lock until it ends, even if it crashes.
/// Without the lock, the address file is stale: another program may use that port.
pub(crate) fn is_locked(dir: &Path) -> bool {
    // A shared lock, so that two concurrent checks do not see each other as a writer.
    match File::open(dir.join(LOCK)).map(|lock| lock.try_lock_shared()) {
        Ok(Ok(())) => false,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) => true,
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Removes temporary directories of this user whose processes ended without removing them. Errors are ignored; the next
/// start tries again.
fn remove_stale(folder: &Path, user: u32) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        // `metadata` of the entry does not follow links, which could point outside the temporary folder.
        entry.file_name().to_string_lossy().starts_with(TEMPORARY)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user)
    });
    for dir in ours.map(|entry| entry.path()) {
        let locked_at = std::fs::metadata(dir.join(LOCK)).and_then(|lock| lock.modified());
        let is_old = locked_at.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE_AFTER));
        if is_old && !is_locked(&dir) {
            let _ = std::fs::remove_dir_all(&dir);
        }
    }
}

/// A file with an address or a path, removed on drop.
pub(crate) struct AddressFile {
    path: PathBuf,
    text: String,
}

impl AddressFile {
    /// Writes `text` to the file at `path`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn new(path: PathBuf, text: String) -> Result<Self> {
        private_file::write(&path, &text)?;
        Ok(Self { path, text })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Another process may have written its own address since; that file is kept.
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        anyhow::anyhow!("the operating system returned no random bytes: {error}")
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn token_is_created_once_with_mode_0600() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(Some(&folder.path().join("state"))).unwrap();
        let token = dir.token().unwrap();
        assert_eq!((token.len(), dir.token().unwrap()), (64, token));
        let mode = std::fs::metadata(dir.token_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.token_file(), "short").unwrap();
        assert!(dir.token().unwrap_err().to_string().contains("remove it"));
    }

    #[test]
    fn stale_temporary_dirs_are_removed_and_locked_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, age: Duration| {
            let dir = folder.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let lock = File::create(dir.join(LOCK)).unwrap();
            lock.set_modified(SystemTime::now() - age).unwrap();
            (dir, lock)
        };
        let old = STALE_AFTER * 2;
        let (stale, _) = make("chiron-state-stale", old);
        let (locked, lock) = make("chiron-state-locked", old);
        lock.lock().unwrap();
        let (young, _) = make("chiron-state-young", Duration::ZERO);
        let (other, _) = make("chiron-other", old);
        let state = make("state", old).0;
        let link = folder.path().join("chiron-state-link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        let user = std::fs::metadata(folder.path()).unwrap().uid();
        remove_stale(folder.path(), user + 1);
        assert!(stale.exists(), "it belongs to another user");
        remove_stale(folder.path(), user);
        assert!(link.exists() && state.join(LOCK).exists(), "links are not followed");
        assert_eq!(
            [&stale, &locked, &young, &other].map(|dir| dir.exists()),
            [false, true, true, true]
        );
    }

    #[test]
    fn secret_key_is_created_once_and_damaged_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(Some(folder.path())).unwrap();
        let digest = || dir.secret_key().unwrap().digest(b"value");
        assert_eq!(digest(), digest());
        std::fs::write(folder.path().join("key"), "zz".repeat(32)).unwrap();
        assert!(dir.secret_key().unwrap_err().to_string().contains("remove it"));
    }

    #[test]
    fn address_file_is_removed_on_drop_unless_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(Some(folder.path())).unwrap();
        let first = dir.write_address("127.0.0.1:1".parse().unwrap()).unwrap();
        assert_eq!(DataDir::address(dir.path()).as_deref(), Some("http://127.0.0.1:1"));
        let second = dir.write_address("127.0.0.1:2".parse().unwrap()).unwrap();
        drop(first);
        assert_eq!(DataDir::address(dir.path()).as_deref(), Some("http://127.0.0.1:2"));
        drop(second);
        assert_eq!(DataDir::address(dir.path()), None);
    }
}
