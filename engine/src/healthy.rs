//! Tracks how long workloads are healthy and unchanged; after that their related objects are recorded as known-good.
//! The scan is separate from its evaluation, so that a slow cluster delays nothing but the scan.

use std::collections::BTreeMap;

use cluster::{
    Cluster, Digest, HealthLevel, Kind, ListQuery, Object, ObjectRef, ReadFailure, canonical_json,
    health,
};
use jiff::Timestamp;

use crate::Settings;
use crate::list_cache::ListCache;

/// How long each workload has been healthy and unchanged.
#[derive(Default)]
pub(crate) struct HealthTracker {
    streaks: BTreeMap<ObjectRef, HealthyStreak>,
    next_scan: Option<Timestamp>,
}

/// An uninterrupted period in which a workload was healthy and its related objects did not change.
struct HealthyStreak {
    since: Timestamp,
    /// Digest of the related objects.
    related: Digest,
    is_recorded: bool,
}

impl HealthTracker {
    /// Time of the next scan; `None` before the first.
    pub(crate) fn next_scan(&self) -> Option<Timestamp> {
        self.next_scan
    }

    /// Notes that a scan starts now, and schedules the next one.
    pub(crate) fn scan_started(&mut self, now: Timestamp, settings: &Settings) {
        self.next_scan = Some(now + settings.scan_interval.signed());
    }

    /// Processes the result of a scan at `now`. Returns the workloads that have newly been healthy for long enough, with
    /// their related objects.
    pub(crate) fn record_scan(
        &mut self,
        scan: HealthScan,
        now: Timestamp,
        settings: &Settings,
    ) -> Vec<(ObjectRef, Vec<Object>)> {
        let healthy = match scan {
            Ok(healthy) => healthy,
            Err(failure) => {
                // A workload that cannot be read does not count as healthy: all streaks start again.
                tracing::warn!(%failure, "health scan failed");
                self.streaks.clear();
                return Vec::new();
            }
        };
        let mut known_good = Vec::new();
        let mut streaks = BTreeMap::new();
        for (reference, related) in healthy {
            let digest = Digest::of(canonical_json(&related).unwrap_or_default().as_bytes());
            let streak = match self.streaks.remove(&reference) {
                Some(streak) if streak.related == digest => streak,
                Some(_) | None => HealthyStreak { since: now, related: digest, is_recorded: false },
            };
            let is_due =
                !streak.is_recorded && now >= streak.since + settings.known_good_after.signed();
            if is_due {
                known_good.push((reference.clone(), related));
            }
            streaks.insert(
                reference,
                HealthyStreak { is_recorded: streak.is_recorded || is_due, ..streak },
            );
        }
        self.streaks = streaks;
        known_good
    }
}

/// Result of a scan: the healthy workloads with their related objects.
pub(crate) type HealthScan = Result<Vec<(ObjectRef, Vec<Object>)>, ReadFailure>;

/// Measures the health of every workload once.
pub(crate) async fn scan(cluster: &dyn Cluster, now: Timestamp) -> HealthScan {
    let cluster = &ListCache::new(cluster);
    let all = |kind: &str| ListQuery::latest(Kind::builtin(kind).expect("a built-in kind"), None);
    let workloads = cluster::list_all(cluster, all("Deployment")).await?;
    let pods = cluster::list_all(cluster, all("Pod")).await?;
    let mut healthy = Vec::new();
    for workload in &workloads {
        let own: Vec<Object> = pods.iter().filter(|pod| belongs(pod, workload)).cloned().collect();
        if health(workload, &own, now).level == HealthLevel::Healthy {
            let reference = workload.reference(cluster.name());
            let related = planner::related_objects(cluster, &reference).await?;
            healthy.push((reference, related));
        }
    }
    Ok(healthy)
}

/// Whether the workload's selector matches the pod.
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
