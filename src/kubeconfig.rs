//! The kubeconfigs of simulated clusters, as files: written over no file of somebody's own, and over none whose cluster
//! is still served.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use simulator::http::KUBECONFIG_MARK;

use crate::private_file;

/// Longest kubeconfig of ours: one cluster, one user.
const MOST: u64 = 64 << 10;
/// How long a cluster that is still served may take to take a connection.
const PATIENCE: Duration = Duration::from_millis(500);

/// Writes a kubeconfig so that its owner alone reads it, whole or not at all.
///
/// # Errors
/// Where a file is there that Chiron did not write, or one that leads to another cluster which is still served; where it
/// cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let kept = kept(path).with_context(|| format!("cannot write {}", path.display()))?;
    if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
        ensure!(
            kept.starts_with(KUBECONFIG_MARK),
            "{} is there, and chiron did not write it: name another file with --kubeconfig, or move this one away",
            path.display()
        );
        let (other, own) = (address(&kept), address(text));
        let is_served = |other: &SocketAddr| TcpStream::connect_timeout(other, PATIENCE).is_ok();
        if let Some(other) = other.filter(|other| Some(*other) != own).filter(is_served) {
            anyhow::bail!(
                "{} leads to https://{other}, where another cluster is still served: name another file with --kubeconfig, or end that one first",
                path.display()
            );
        }
    }
    private_file::write(path, text)
}

/// The text at `path`; none where nothing is there. What is no file is nobody's to write over.
fn kept(path: &Path) -> std::io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Where the cluster of a kubeconfig listens.
fn address(kubeconfig: &str) -> Option<SocketAddr> {
    let file: Value = serde_saphyr::from_str(kubeconfig).ok()?;
    file.pointer("/clusters/0/cluster/server")?.as_str()?.strip_prefix("https://")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn of(server: &str) -> String {
        format!("{KUBECONFIG_MARK}\nclusters: [{{cluster: {{server: 'https://{server}'}}}}]\n")
    }

    #[test]
    fn a_file_of_ours_is_written_anew_and_somebody_s_own_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        write(&path, &of("127.0.0.1:1")).unwrap();
        write(&path, &of("127.0.0.1:2")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), of("127.0.0.1:2"));
        let own = format!("kind: Config\n{KUBECONFIG_MARK}\n");
        std::fs::write(&path, &own).unwrap();
        let refused = write(&path, &of("127.0.0.1:1")).unwrap_err().to_string();
        assert!(refused.contains("name another file"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), own);
        std::fs::write(&path, "").unwrap();
        write(&path, &of("127.0.0.1:1")).unwrap();
        assert!(write(folder.path(), &of("127.0.0.1:1")).is_err(), "a folder is no kubeconfig");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn the_kubeconfig_of_a_cluster_that_is_still_served_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let living = TcpListener::bind("127.0.0.1:0").unwrap();
        let served = of(&living.local_addr().unwrap().to_string());
        write(&path, &served).unwrap();
        let refused = write(&path, &of("127.0.0.1:1")).unwrap_err().to_string();
        assert!(refused.contains("still served"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), served);
        write(&path, &served).unwrap();
        drop(living);
        write(&path, &of("127.0.0.1:1")).unwrap();
    }
}
