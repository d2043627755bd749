//! The folder in which a server keeps its state: named by a person, or temporary and gone with the process.

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

/// How the names of temporary folders of state begin.
const TEMPORARY: &str = "chiron-state-";
/// Name of the file whose lock the writer of the record holds.
const LOCK: &str = "lock";
/// How old the lock in a temporary folder must be before the folder may be taken for one that was left behind: whoever
/// makes one takes its lock within that time.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// A folder of state.
pub(crate) struct DataDir {
    path: PathBuf,
    /// What removes it at the end, where it is temporary.
    _temporary: Option<TempDir>,
}

impl DataDir {
    /// Name of the file that holds the token.
    pub(crate) const TOKEN: &str = "token";
    const KEY: &str = "key";
    /// Name of the file that says where the server listens, as long as it does.
    const ADDRESS: &str = "address";

    /// The named folder, made where it is not there; a temporary one where none is named.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn open(named: Option<&Path>) -> Result<Self> {
        let Some(named) = named else {
            let temporary = tempfile::Builder::new()
                .prefix(TEMPORARY)
                .tempdir()
                .context("cannot make a temporary folder")?;
            if let Ok(made) = std::fs::metadata(temporary.path()) {
                sweep(&std::env::temp_dir(), made.uid());
            }
            return Ok(Self { path: temporary.path().into(), _temporary: Some(temporary) });
        };
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(named);
        made.with_context(|| format!("cannot make the data directory {}", named.display()))?;
        // What is written here is its owner's alone, but the names of the files and when they change are not.
        let mode = std::fs::metadata(named).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            let path = named.display();
            tracing::warn!(
                "the data directory {path} is open to other users of this machine: `chmod 700 {path}` closes it"
            );
        }
        Ok(Self { path: named.into(), _temporary: None })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where its token is.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.path.join(Self::TOKEN)
    }

    /// The token, made at the first start; only its owner reads it.
    ///
    /// # Errors
    /// Where it cannot be read or made, or is too short.
    pub(crate) fn token(&self) -> Result<String> {
        let path = self.token_file();
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().into()),
            Ok(_) => bail!(
                "{} holds no token of at least 32 characters: remove it, and a new one is made",
                path.display()
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
        let token = hex(&random()?);
        private_file::write(&path, &token)?;
        Ok(token)
    }

    /// The key under which values of Secrets become digests, made at the first start; only its owner reads it.
    ///
    /// # Errors
    /// Where it cannot be read or made, or is none.
    pub(crate) fn secret_key(&self) -> Result<SecretKey> {
        let path = self.path.join(Self::KEY);
        match std::fs::read_to_string(&path) {
            Ok(text) => match unhex(text.trim()) {
                Some(bytes) => Ok(SecretKey::from_bytes(bytes)),
                None => bail!(
                    "{} holds no key of 64 hexadecimal digits: remove it, and a new one is made; what is remembered of Secrets is then read as changed once",
                    path.display()
                ),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = random()?;
                private_file::write(&path, &hex(&bytes))?;
                Ok(SecretKey::from_bytes(bytes))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Says in the folder where the server listens, until the value given back is dropped.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn announce(&self, address: SocketAddr) -> Result<Announced> {
        let (path, text) = (self.path.join(Self::ADDRESS), format!("http://{address}"));
        private_file::write(&path, &text)?;
        Ok(Announced { path, text })
    }

    /// Where the server over the folder `dir` listens, if it says so.
    pub(crate) fn address(dir: &Path) -> Option<String> {
        let text = std::fs::read_to_string(dir.join(Self::ADDRESS)).ok()?;
        Some(text.trim().into())
    }
}

/// Whether a process writes the record in the folder `dir`: it holds the lock there for as long as it lives, however it
/// ends. What it left behind names a port that anybody may have by now.
pub(crate) fn is_held(dir: &Path) -> bool {
    // Shared, so that two who ask at once are not taken for a writer.
    match File::open(dir.join(LOCK)).map(|lock| lock.try_lock_shared()) {
        Ok(Ok(())) => false,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) => true,
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Removes the temporary folders of processes of this user that ended without doing so. What cannot be removed is left
/// for the next one.
fn sweep(folder: &Path, user: u32) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        // Of the entry itself: a link leads to what is no temporary folder of anybody's.
        entry.file_name().to_string_lossy().starts_with(TEMPORARY)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user)
    });
    for dir in ours.map(|entry| entry.path()) {
        let made = std::fs::metadata(dir.join(LOCK)).and_then(|lock| lock.modified());
        let is_old = made.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT_BEHIND));
        if is_old && !is_held(&dir) {
            let _ = std::fs::remove_dir_all(&dir);
        }
    }
}

/// A file that says where something is, for as long as this value lives.
pub(crate) struct Announced {
    path: PathBuf,
    text: String,
}

impl Announced {
    /// Says `text` in the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn new(path: PathBuf, text: String) -> Result<Self> {
        private_file::write(&path, &text)?;
        Ok(Self { path, text })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Another process may have announced itself since: its word stays.
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the operating system gives no random bytes: {error}"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_reads_it() {
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
    fn what_a_dead_process_left_behind_is_removed_and_what_a_living_one_holds_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, age: Duration| {
            let dir = folder.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let lock = File::create(dir.join(LOCK)).unwrap();
            lock.set_modified(SystemTime::now() - age).unwrap();
            (dir, lock)
        };
        let old = LEFT_BEHIND * 2;
        let (dead, _) = make("chiron-state-dead", old);
        let (living, lock) = make("chiron-state-living", old);
        lock.lock().unwrap();
        let (young, _) = make("chiron-state-young", Duration::ZERO);
        let (other, _) = make("chiron-other", old);
        let state = make("state", old).0;
        let link = folder.path().join("chiron-state-link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        let user = std::fs::metadata(folder.path()).unwrap().uid();
        sweep(folder.path(), user + 1);
        assert!(dead.exists(), "another user's");
        sweep(folder.path(), user);
        assert!(link.exists() && state.join(LOCK).exists(), "a link is followed nowhere");
        assert_eq!(
            [&dead, &living, &young, &other].map(|dir| dir.exists()),
            [false, true, true, true]
        );
    }

    #[test]
    fn the_key_of_secrets_is_made_once_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(Some(folder.path())).unwrap();
        let digest = || dir.secret_key().unwrap().digest(b"value");
        assert_eq!(digest(), digest());
        std::fs::write(folder.path().join("key"), "zz".repeat(32)).unwrap();
        assert!(dir.secret_key().unwrap_err().to_string().contains("remove it"));
    }

    #[test]
    fn an_address_stands_as_long_as_it_is_announced_and_another_s_word_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(Some(folder.path())).unwrap();
        let first = dir.announce("127.0.0.1:1".parse().unwrap()).unwrap();
        assert_eq!(DataDir::address(dir.path()).as_deref(), Some("http://127.0.0.1:1"));
        let second = dir.announce("127.0.0.1:2".parse().unwrap()).unwrap();
        drop(first);
        assert_eq!(DataDir::address(dir.path()).as_deref(), Some("http://127.0.0.1:2"));
        drop(second);
        assert_eq!(DataDir::address(dir.path()), None);
    }
}
