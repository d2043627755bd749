//! Watches workloads for the time in which they are healthy and unchanged, after which what stands around them is
//! known to be good. Looking is apart from judging, so that a slow cluster holds up nothing but the look.

use std::collections::BTreeMap;

use cluster::{
    Cluster, Digest, HealthLevel, Kind, ListQuery, Object, ObjectRef, ReadFailure, canonical_json,
    health,
};
use jiff::Timestamp;

use crate::Settings;
use crate::glance::Glance;

/// How long each workload has been healthy as it is.
#[derive(Default)]
pub(crate) struct Healthy {
    seen: BTreeMap<ObjectRef, Standing>,
    next: Option<Timestamp>,
}

struct Standing {
    since: Timestamp,
    surroundings: Digest,
    is_recorded: bool,
}

impl Healthy {
    /// When workloads are to be looked at next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// A look begins now; the next one is due in its turn.
    pub(crate) fn begin(&mut self, now: Timestamp, settings: &Settings) {
        self.next = Some(now + settings.healthy_every.signed());
    }

    /// Takes in what a look at `now` saw; gives what has been healthy long enough, with what stands around it.
    pub(crate) fn judge(
        &mut self,
        look: Look,
        now: Timestamp,
        settings: &Settings,
    ) -> Vec<(ObjectRef, Vec<Object>)> {
        let well = match look {
            Ok(well) => well,
            Err(failure) => {
                // Not seen is not healthy: the time begins anew once it can be read again.
                tracing::warn!(%failure, "workloads could not be looked at");
                self.seen.clear();
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        let mut kept = BTreeMap::new();
        for (reference, related) in well {
            let surroundings = Digest::of(canonical_json(&related).unwrap_or_default().as_bytes());
            let standing = match self.seen.remove(&reference) {
                Some(standing) if standing.surroundings == surroundings => standing,
                Some(_) | None => Standing { since: now, surroundings, is_recorded: false },
            };
            let is_due =
                !standing.is_recorded && now >= standing.since + settings.healthy_for.signed();
            if is_due {
                found.push((reference.clone(), related));
            }
            kept.insert(
                reference,
                Standing { is_recorded: standing.is_recorded || is_due, ..standing },
            );
        }
        self.seen = kept;
        found
    }
}

/// What one look saw: each workload that is healthy now, with what stands around it.
pub(crate) type Look = Result<Vec<(ObjectRef, Vec<Object>)>, ReadFailure>;

/// Looks at every workload once.
pub(crate) async fn look(cluster: &dyn Cluster, now: Timestamp) -> Look {
    let cluster = &Glance::new(cluster);
    let all = |kind: &str| ListQuery::latest(Kind::builtin(kind).expect("a built-in kind"), None);
    let workloads = cluster::list_all(cluster, all("Deployment")).await?;
    let pods = cluster::list_all(cluster, all("Pod")).await?;
    let mut well = Vec::new();
    for workload in &workloads {
        let own: Vec<Object> = pods.iter().filter(|pod| belongs(pod, workload)).cloned().collect();
        if health(workload, &own, now).level == HealthLevel::Healthy {
            let reference = workload.reference(cluster.name());
            let related = planner::surroundings(cluster, &reference).await?;
            well.push((reference, related));
        }
    }
    Ok(well)
}

/// Whether a pod is one of the workload's, by the workload's own selector.
fn belongs(pod: &Object, workload: &Object) -> bool {
    pod.namespace() == workload.namespace()
        && workload
            .at("/spec/selector/matchLabels")
            .and_then(|labels| labels.as_object())
            .is_some_and(|labels| {
                labels.iter().all(|(name, value)| {
                    pod.metadata().labels.get(name).map(String::as_str) == value.as_str()
                })
            })
}
