//! Writes the kubeconfig files of simulated clusters. Replaces no file that Chiron did not write, and none whose
//! cluster is still served.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use simulator::http::KUBECONFIG_MARK;

use crate::private_file;

/// Maximum size of a kubeconfig written by Chiron: one cluster, one user.
const MAX_BYTES: u64 = 64 << 10;
/// Connection timeout of the check whether another cluster is still served.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes a kubeconfig atomically, readable only by its owner.
///
/// # Errors
/// If the file exists and Chiron did not write it, or it belongs to another cluster that is still served; if the file
/// cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let existing =
        read_existing(path).with_context(|| format!("cannot write {}", path.display()))?;
    if let Some(existing) = existing.filter(|text| !text.is_empty()) {
        ensure!(
            existing.starts_with(KUBECONFIG_MARK),
            "{} exists and was not written by Chiron: set --kubeconfig to another file, or move this one",
            path.display()
        );
        let (other, own) = (address(&existing), address(text));
        let is_served =
            |other: &SocketAddr| TcpStream::connect_timeout(other, CONNECT_TIMEOUT).is_ok();
        if let Some(other) = other.filter(|other| Some(*other) != own).filter(is_served) {
            anyhow::bail!(
                "{} points to https://{other}, where another cluster is still served: set --kubeconfig to another file, or stop that cluster first",
                path.display()
            );
        }
    }
    private_file::write(path, text)
}

/// Returns the text of the file at `path`, or `None` if it does not exist. Anything else than a file is an error.
fn read_existing(path: &Path) -> std::io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Returns the address of the cluster in a kubeconfig.
fn address(kubeconfig: &str) -> Option<SocketAddr> {
    let file: Value = serde_saphyr::from_str(kubeconfig).ok()?;
    file.pointer("/clusters/0/cluster/server")?.as_str()?.strip_prefix("https://")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn kubeconfig_of(server: &str) -> String {
        format!("{KUBECONFIG_MARK}\nclusters: [{{cluster: {{server: 'https://{server}'}}}}]\n")
    }

    #[test]
    fn own_kubeconfig_is_replaced_and_foreign_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        write(&path, &kubeconfig_of("127.0.0.1:1")).unwrap();
        write(&path, &kubeconfig_of("127.0.0.1:2")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kubeconfig_of("127.0.0.1:2"));
        let own = format!("kind: Config\n{KUBECONFIG_MARK}\n");
        std::fs::write(&path, &own).unwrap();
        let refused = write(&path, &kubeconfig_of("127.0.0.1:1")).unwrap_err().to_string();
        assert!(refused.contains("another file"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), own);
        std::fs::write(&path, "").unwrap();
        write(&path, &kubeconfig_of("127.0.0.1:1")).unwrap();
        let refused = write(folder.path(), &kubeconfig_of("127.0.0.1:1")).unwrap_err().to_string();
        assert_eq!(refused, format!("cannot write {}", folder.path().display()));
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file remains"
        );
    }

    #[test]
    fn kubeconfig_of_a_served_cluster_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let served = kubeconfig_of(&listener.local_addr().unwrap().to_string());
        write(&path, &served).unwrap();
        let refused = write(&path, &kubeconfig_of("127.0.0.1:1")).unwrap_err().to_string();
        assert!(refused.contains("still served"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), served);
        write(&path, &served).unwrap();
        drop(listener);
        write(&path, &kubeconfig_of("127.0.0.1:1")).unwrap();
    }
}
