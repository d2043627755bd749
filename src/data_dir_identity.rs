//! Which cluster a data directory belongs to, so that a plan for one cluster never runs on another.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use cluster::{Cluster as _, Consistency, KubeCluster, ObjectRef};
use serde::{Deserialize, Serialize};

use crate::private_file;
use crate::simulation_spec::SimulationSpec;

/// The cluster that a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum DataDirIdentity {
    /// The simulated cluster of a demo, with its own time.
    Demo,
    /// A simulated cluster on the wall clock.
    Simulation,
    /// A real cluster.
    Cluster(RealCluster),
}

/// The identity of a real cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RealCluster {
    /// Name in object references: the context with which it was first connected.
    pub(crate) name: String,
    /// URL of its API server at the last connection.
    pub(crate) server: String,
    /// Uid of its namespace `kube-system`, which exists as long as the cluster. `None` if it cannot be read.
    pub(crate) uid: Option<String>,
}

impl RealCluster {
    /// Name of a cluster that was first connected from a pod in it.
    pub(crate) const IN_CLUSTER: &str = "in-cluster";

    /// Returns the identity of `cluster`.
    pub(crate) async fn of(cluster: &KubeCluster) -> Self {
        let namespace = ObjectRef::builtin(cluster.name(), "Namespace", None, "kube-system");
        let found = cluster.get(&namespace, Consistency::Latest).await;
        let uid = match found {
            Ok(found) => found.map(|namespace| namespace.metadata().uid.clone()),
            Err(error) => {
                tracing::info!(%error, "cannot read the uid of kube-system; the cluster is identified by its URL");
                None
            }
        };
        Self { name: cluster.name().into(), server: cluster.server().into(), uid }
    }

    /// Whether both are the same cluster: compares the uids if both are known, else the URLs.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.uid, &other.uid) {
            (Some(this), Some(other)) => this == other,
            (None, _) | (_, None) => self.server == other.server,
        }
    }
}

impl fmt::Display for DataDirIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("the simulated cluster of a demo"),
            Self::Simulation => f.write_str("a simulated cluster"),
            Self::Cluster(RealCluster { name, server, uid }) => {
                write!(f, "the cluster {name:?} at {server}")?;
                match uid {
                    Some(uid) => write!(f, " (kube-system {uid})"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A data directory belongs to another cluster than the requested one.
#[derive(Debug)]
pub(crate) struct ClusterMismatch {
    dir: PathBuf,
    bound: DataDirIdentity,
    requested: DataDirIdentity,
}

impl fmt::Display for ClusterMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, bound, requested } = self;
        write!(
            f,
            "the data directory {} belongs to {bound}, not to {requested}\nhint: ",
            dir.display()
        )?;
        match (bound, requested) {
            (DataDirIdentity::Cluster(bound), DataDirIdentity::Cluster(_)) => {
                f.write_str(
                    "use another --data-dir for this cluster, or connect to the other one ",
                )?;
                match bound.name.as_str() {
                    RealCluster::IN_CLUSTER => f.write_str("from a pod in it, with --in-cluster"),
                    name => write!(f, "with --context {name}"),
                }
            }
            _ => f.write_str("use another --data-dir"),
        }
    }
}

impl std::error::Error for ClusterMismatch {}

impl ClusterMismatch {
    /// Returns the exit code of the process: 5, as for every conflict with the expected state.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(5)
    }
}

impl DataDirIdentity {
    const FILE: &str = "cluster.json";

    /// Returns the identity of `dir`, if it has one: from its file, or from its simulation spec.
    ///
    /// # Errors
    /// If a file cannot be read or parsed.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(Self::FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .with_context(|| format!("{} is not a valid cluster identity", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Without the file, the spec distinguishes demo and simulation: only a demo starts at the start of
                // simulated time.
                Ok(SimulationSpec::load(dir)?.map(|spec| {
                    match spec.start == crate::bootstrap::start() {
                        true => Self::Demo,
                        false => Self::Simulation,
                    }
                }))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Checks that `dir` belongs to `requested`, and writes the identity file if `dir` has none. The caller must hold
    /// the lock of the store and must not have appended to the record since it was opened.
    ///
    /// # Errors
    /// [`ClusterMismatch`]; another error if the file cannot be read or written.
    pub(crate) fn bind(dir: &Path, requested: Self) -> Result<()> {
        let bound = Self::load(dir)?;
        let identity = match (bound.as_ref(), &requested) {
            (None, _)
            | (Some(Self::Demo), Self::Demo)
            | (Some(Self::Simulation), Self::Simulation) => requested,
            (Some(Self::Cluster(bound)), Self::Cluster(now)) if bound.is_same(now) => {
                Self::Cluster(RealCluster {
                    // Existing references keep their name.
                    name: bound.name.clone(),
                    server: now.server.clone(),
                    uid: now.uid.clone().or_else(|| bound.uid.clone()),
                })
            }
            (Some(bound), _) => {
                return Err(
                    ClusterMismatch { dir: dir.into(), bound: bound.clone(), requested }.into()
                );
            }
        };
        let path = dir.join(Self::FILE);
        if bound.as_ref() == Some(&identity) && path.is_file() {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&identity).expect("an identity is plain data");
        private_file::write(&path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, server: &str, uid: Option<&str>) -> DataDirIdentity {
        let uid = uid.map(Into::into);
        DataDirIdentity::Cluster(RealCluster { name: name.into(), server: server.into(), uid })
    }

    /// Binds a data directory to `first`, then to `second`, and returns its identity.
    fn bind_twice(first: &DataDirIdentity, second: &DataDirIdentity) -> Result<DataDirIdentity> {
        let dir = tempfile::tempdir().unwrap();
        DataDirIdentity::bind(dir.path(), first.clone()).unwrap();
        DataDirIdentity::bind(dir.path(), second.clone())?;
        Ok(DataDirIdentity::load(dir.path()).unwrap().unwrap())
    }

    #[test]
    fn data_dir_is_opened_only_for_its_own_cluster() {
        let staging = cluster("staging", "https://a", Some("1"));
        for (second, expected) in [
            (staging.clone(), Some(staging.clone())),
            // Another context and another URL of the same cluster.
            (
                cluster("admin", "https://b", Some("1")),
                Some(cluster("staging", "https://b", Some("1"))),
            ),
            (cluster("staging", "https://a", None), Some(staging.clone())),
            (cluster("staging", "https://b", None), None),
            // A new cluster at the same URL.
            (cluster("staging", "https://a", Some("2")), None),
            (DataDirIdentity::Demo, None),
            (DataDirIdentity::Simulation, None),
        ] {
            assert_eq!(bind_twice(&staging, &second).ok(), expected, "{second}");
        }
        let without_uid = cluster("staging", "https://a", None);
        assert_eq!(
            bind_twice(&without_uid, &staging).ok(),
            Some(staging.clone()),
            "its uid is added"
        );
        for (first, second) in [
            (&DataDirIdentity::Demo, &DataDirIdentity::Simulation),
            (&DataDirIdentity::Simulation, &staging),
        ] {
            let message = bind_twice(first, second).unwrap_err().to_string();
            assert!(message.contains(&format!("belongs to {first}, not to {second}")), "{message}");
            assert!(message.contains("\nhint: "), "{message}");
        }
        assert!(bind_twice(&DataDirIdentity::Simulation, &DataDirIdentity::Simulation).is_ok());
    }

    #[test]
    fn cluster_mismatch_error_names_both_clusters() {
        let staging = cluster("staging", "https://a", Some("1"));
        let message =
            bind_twice(&staging, &cluster("prod", "https://b", None)).unwrap_err().to_string();
        let (detail, hint) = message.split_once("\nhint: ").unwrap();
        assert!(
            detail.contains("belongs to the cluster \"staging\" at https://a (kube-system 1)"),
            "{message}"
        );
        assert!(detail.ends_with("not to the cluster \"prod\" at https://b"), "{message}");
        assert!(
            hint.contains("another --data-dir") && hint.ends_with("--context staging"),
            "{message}"
        );
        let in_cluster = cluster(RealCluster::IN_CLUSTER, "https://c", Some("3"));
        let message = bind_twice(&in_cluster, &staging).unwrap_err().to_string();
        assert!(message.ends_with("with --in-cluster"), "{message}");
        let message = bind_twice(&staging, &DataDirIdentity::Demo).unwrap_err().to_string();
        assert!(message.ends_with("hint: use another --data-dir"), "{message}");
    }

    #[test]
    fn data_dir_without_identity_file_uses_its_simulation_spec() {
        let dir = tempfile::tempdir().unwrap();
        let start = crate::bootstrap::start();
        let mut spec = SimulationSpec { world: "shop".into(), seed: 1, fault: None, start };
        spec.save(dir.path()).unwrap();
        let message =
            DataDirIdentity::bind(dir.path(), DataDirIdentity::Simulation).unwrap_err().to_string();
        assert!(
            message
                .contains("belongs to the simulated cluster of a demo, not to a simulated cluster"),
            "{message}"
        );
        spec.start += jiff::SignedDuration::from_hours(1);
        spec.save(dir.path()).unwrap();
        DataDirIdentity::bind(dir.path(), DataDirIdentity::Simulation).unwrap();
        assert!(dir.path().join(DataDirIdentity::FILE).is_file(), "the identity file is written");
    }
}
