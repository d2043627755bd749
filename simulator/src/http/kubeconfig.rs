//! The file with which clients find the door and are let in.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::ServeError;
use crate::base64;

/// The text of a kubeconfig with one context, called `name`.
pub(super) fn text(name: &str, server: &str, certificate: &str, token: &str) -> String {
    let authority = base64::encode(certificate.as_bytes());
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\nusers:\n- name: {name}\n  user:\n    token: {token}\ncontexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\ncurrent-context: {name}\n"
    )
}

/// Writes it so that its owner alone can read it, all at once.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ServeError> {
    let failed = |source| ServeError::Kubeconfig { path: path.to_path_buf(), source };
    let draft = path.with_extension("new");
    // What an earlier run left has its own mode, so the draft is always a new file.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&draft, path).map_err(failed)
}
