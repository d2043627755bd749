//! What the record in a folder of state is about: kept beside it, so that no plan for one cluster runs on another.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use cluster::{Cluster as _, Consistency, KubeCluster, ObjectRef};
use serde::{Deserialize, Serialize};

use crate::origin::Origin;
use crate::private_file;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum About {
    /// The simulated world of a demo, its time its own.
    Demo,
    /// A simulated world at the clock of the machine.
    Simulation,
    /// A real cluster.
    Cluster(RealCluster),
}

/// A real cluster, and what tells it from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RealCluster {
    /// What references to its objects call it: the context by which it was first reached.
    pub(crate) name: String,
    /// The URL of its API server when it was last reached.
    pub(crate) server: String,
    /// The uid of its namespace `kube-system`, which lives as long as the cluster; absent where it may not be read.
    pub(crate) uid: Option<String>,
}

impl RealCluster {
    /// The name of a cluster that was first reached from within.
    pub(crate) const WITHIN: &str = "in-cluster";

    /// What `cluster` is, as far as it lets us see.
    pub(crate) async fn of(cluster: &KubeCluster) -> Self {
        let namespace = ObjectRef::builtin(cluster.name(), "Namespace", None, "kube-system");
        let found = cluster.get(&namespace, Consistency::Latest).await;
        let uid = match found {
            Ok(found) => found.map(|namespace| namespace.metadata().uid.clone()),
            Err(error) => {
                tracing::info!(%error, "the cluster is known by its server's URL alone");
                None
            }
        };
        Self { name: cluster.name().into(), server: cluster.server().into(), uid }
    }

    /// Whether both are the same cluster: of one uid where both are known, else at one URL.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.uid, &other.uid) {
            (Some(this), Some(other)) => this == other,
            (None, _) | (_, None) => self.server == other.server,
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("the world of a demo"),
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

/// A record is about something else than what was asked for.
#[derive(Debug)]
pub(crate) struct OtherCluster {
    dir: PathBuf,
    kept: About,
    asked: About,
}

impl fmt::Display for OtherCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, kept, asked } = self;
        write!(
            f,
            "the record in {} is about {kept}, and not about {asked}\nhint: ",
            dir.display()
        )?;
        match (kept, asked) {
            (About::Cluster(kept), About::Cluster(_)) => {
                f.write_str("take another --data-dir for this cluster, or reach the other one ")?;
                match kept.name.as_str() {
                    RealCluster::WITHIN => f.write_str("from a pod of it, with --in-cluster"),
                    name => write!(f, "with --context {name}"),
                }
            }
            _ => f.write_str("take another --data-dir"),
        }
    }
}

impl std::error::Error for OtherCluster {}

impl OtherCluster {
    /// What the process ends with: 5, as for everything that is not as it was taken to be.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(5)
    }
}

impl About {
    const FILE: &str = "cluster.json";

    /// What the record in `dir` is about, if the folder says so: by its file, or by the world that it holds.
    ///
    /// # Errors
    /// Where a file cannot be read or is not one of ours.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(Self::FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).with_context(|| {
                format!("{} does not say what the record is about", path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A folder of an earlier version: only a demo begins where simulated time does.
                Ok(Origin::load(dir)?.map(|origin| match origin.start == crate::cli::start() {
                    true => Self::Demo,
                    false => Self::Simulation,
                }))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Makes sure that the record in `dir` is about `asked`, and keeps that in a file if it is new there. Whoever calls
    /// it holds the record's lock, and has written nothing of this start into the record.
    ///
    /// # Errors
    /// [`OtherCluster`]; others where the file cannot be read or written.
    pub(crate) fn hold(dir: &Path, asked: Self) -> Result<()> {
        let kept = Self::load(dir)?;
        let known = match (kept.as_ref(), &asked) {
            (None, _)
            | (Some(Self::Demo), Self::Demo)
            | (Some(Self::Simulation), Self::Simulation) => asked,
            (Some(Self::Cluster(kept)), Self::Cluster(now)) if kept.is_same(now) => {
                Self::Cluster(RealCluster {
                    // Its references go on under the name that they have.
                    name: kept.name.clone(),
                    server: now.server.clone(),
                    uid: now.uid.clone().or_else(|| kept.uid.clone()),
                })
            }
            (Some(kept), _) => {
                return Err(OtherCluster { dir: dir.into(), kept: kept.clone(), asked }.into());
            }
        };
        let path = dir.join(Self::FILE);
        if kept.as_ref() == Some(&known) && path.is_file() {
            return Ok(());
        }
        let text =
            serde_json::to_string_pretty(&known).expect("what a record is about is plain data");
        private_file::write(&path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, server: &str, uid: Option<&str>) -> About {
        let uid = uid.map(Into::into);
        About::Cluster(RealCluster { name: name.into(), server: server.into(), uid })
    }

    /// Whether a record about `first` may be opened for `second`, and what it is about then.
    fn opened(first: &About, second: &About) -> Result<About> {
        let dir = tempfile::tempdir().unwrap();
        About::hold(dir.path(), first.clone()).unwrap();
        About::hold(dir.path(), second.clone())?;
        Ok(About::load(dir.path()).unwrap().unwrap())
    }

    #[test]
    fn a_record_is_opened_for_the_cluster_that_it_is_about_and_for_no_other() {
        let staging = cluster("staging", "https://a", Some("1"));
        for (second, expected) in [
            (staging.clone(), Some(staging.clone())),
            // Another user's context, and another way to the same cluster.
            (
                cluster("admin", "https://b", Some("1")),
                Some(cluster("staging", "https://b", Some("1"))),
            ),
            (cluster("staging", "https://a", None), Some(staging.clone())),
            (cluster("staging", "https://b", None), None),
            // Made again at the same address.
            (cluster("staging", "https://a", Some("2")), None),
            (About::Demo, None),
            (About::Simulation, None),
        ] {
            assert_eq!(opened(&staging, &second).ok(), expected, "{second}");
        }
        let unread = cluster("staging", "https://a", None);
        assert_eq!(opened(&unread, &staging).ok(), Some(staging.clone()), "its uid is learned");
        assert!(opened(&About::Demo, &About::Simulation).is_err());
        assert!(opened(&About::Simulation, &staging).is_err());
        assert!(opened(&About::Simulation, &About::Simulation).is_ok());
    }

    #[test]
    fn who_is_refused_hears_what_the_record_is_about_and_the_way_out() {
        let staging = cluster("staging", "https://a", Some("1"));
        let said = opened(&staging, &cluster("prod", "https://b", None)).unwrap_err().to_string();
        let (what, hint) = said.split_once("\nhint: ").unwrap();
        assert!(
            what.contains("about the cluster \"staging\" at https://a (kube-system 1)"),
            "{said}"
        );
        assert!(what.ends_with("not about the cluster \"prod\" at https://b"), "{said}");
        assert!(
            hint.contains("another --data-dir") && hint.ends_with("--context staging"),
            "{said}"
        );
        let within = cluster(RealCluster::WITHIN, "https://c", Some("3"));
        let said = opened(&within, &staging).unwrap_err().to_string();
        assert!(said.ends_with("with --in-cluster"), "{said}");
        let said = opened(&staging, &About::Demo).unwrap_err().to_string();
        assert!(said.ends_with("hint: take another --data-dir"), "{said}");
    }

    #[test]
    fn a_folder_of_an_earlier_version_is_about_the_world_that_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let start = crate::cli::start();
        let mut origin = Origin { world: "shop".into(), seed: 1, fault: None, start };
        origin.keep(dir.path()).unwrap();
        assert!(About::hold(dir.path(), About::Simulation).is_err());
        origin.start += jiff::SignedDuration::from_hours(1);
        origin.keep(dir.path()).unwrap();
        About::hold(dir.path(), About::Simulation).unwrap();
        assert!(dir.path().join(About::FILE).is_file(), "and says so from now on");
    }
}
