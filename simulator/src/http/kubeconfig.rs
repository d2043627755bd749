//! The file with which clients find the door and are let in.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::ServeError;

/// How each text of ours begins: what begins otherwise is somebody's own.
const OURS: &str = "# Written by chiron";

/// The text of a kubeconfig with one context, called `name`.
pub(super) fn text(name: &str, server: &str, certificate: &str, token: &str) -> String {
    let authority = BASE64.encode(certificate);
    format!(
        "{OURS}, and anew each time the cluster is served.\napiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\nusers:\n- name: {name}\n  user:\n    token: {token}\ncontexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\ncurrent-context: {name}\n"
    )
}

/// Writes it so that its owner alone can read it, all at once; what is there and not ours is left alone.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ServeError> {
    let write = || {
        if !is_free(path)? {
            let message = "a file is there that chiron did not write: name another one, or move this one away";
            return Err(io::Error::new(ErrorKind::AlreadyExists, message));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let draft = path.with_file_name(format!(".{name}.new-{}", std::process::id()));
        // What a process of the same number once left has its own mode, so the draft is always a new file.
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(|source| ServeError::Kubeconfig { path: path.into(), source })
}

/// Whether nothing would be lost at `path`: nothing is there, or an empty file, or one of ours.
fn is_free(path: &Path) -> io::Result<bool> {
    let is_file = match std::fs::metadata(path) {
        Ok(found) => found.is_file(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut start = Vec::new();
    if is_file {
        std::fs::File::open(path)?.take(OURS.len() as u64).read_to_end(&mut start)?;
    }
    Ok(is_file && (start.is_empty() || start == OURS.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ours_is_written_anew_and_somebody_s_own_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("chiron-kubeconfig-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, near) = (folder.join("config"), folder.join("config.new"));
        std::fs::write(&near, "somebody's").unwrap();
        let ours = text("sim", "https://127.0.0.1:1", "", "token");
        write(&path, &ours).unwrap();
        let again = ours.replace("token", "another");
        write(&path, &again).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), again);
        let own = "apiVersion: v1\nkind: Config\n# Written by chiron\n";
        std::fs::write(&path, own).unwrap();
        let ServeError::Kubeconfig { source, .. } = write(&path, &ours).unwrap_err() else {
            panic!("another error");
        };
        assert!(source.to_string().contains("name another one"), "{source}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), own);
        assert!(write(&folder, &ours).is_err(), "a folder is no kubeconfig");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "no draft is left");
        assert_eq!(std::fs::read_to_string(near).unwrap(), "somebody's");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
