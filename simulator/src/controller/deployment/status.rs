use cluster::{Deployment, DeploymentStrategy, Object};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{OwnedReplicaSet, rollout_limits};
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::World;

impl World {
    pub(super) fn write_deployment_status(
        &mut self,
        key: &Key,
        object: &Object,
        sets: &[OwnedReplicaSet],
        newest: Option<usize>,
        found: Option<&str>,
    ) {
        let view = Deployment::of(object).expect("a Deployment is stored under its kind");
        let sum = |field: &str| -> u64 {
            sets.iter().filter_map(|set| set.object.at(&format!("/status/{field}"))?.as_u64()).sum()
        };
        let replicas = u64::from(view.replicas());
        let (total, ready, available) =
            (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
        let updated =
            newest.and_then(|i| sets[i].object.at("/status/replicas")?.as_u64()).unwrap_or(0);
        let (_, unavailable) = match view.strategy() {
            DeploymentStrategy::Recreate => (0, view.replicas()),
            DeploymentStrategy::RollingUpdate { max_unavailable, max_surge } => {
                rollout_limits(view.replicas(), max_surge, max_unavailable)
            }
        };

        let is_available = available >= replicas.saturating_sub(u64::from(unavailable));
        let availability = if is_available {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.".to_string())
        } else {
            (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.".to_string(),
            )
        };
        let set_name = newest.map_or("", |i| &*sets[i].key.name);
        let is_complete = updated == replicas && total == replicas && available == replicas;
        let old_pods = |total: u64, updated: u64| total.saturating_sub(updated);
        let before = |field: &str| {
            object.at(&format!("/status/{field}")).and_then(Value::as_u64).unwrap_or(0)
        };
        let has_progressed = updated > before("updatedReplicas")
            || old_pods(total, updated) < old_pods(before("replicas"), before("updatedReplicas"))
            || ready > before("readyReplicas")
            || available > before("availableReplicas");
        let last = view.condition("Progressing");
        let last_update = progressing_update(object);
        let deadline = SignedDuration::from_secs(i64::from(view.progress_deadline_seconds()));
        let (progress, is_fresh) = if let Some(reason) = found {
            let verb = if reason == "FoundNewReplicaSet" { "Found" } else { "Created" };
            (("True", reason, format!("{verb} new replica set {set_name:?}")), true)
        } else if is_complete {
            let is_new = last.is_none_or(|last| last.reason != "NewReplicaSetAvailable");
            (
                (
                    "True",
                    "NewReplicaSetAvailable",
                    format!("ReplicaSet {set_name:?} has successfully progressed."),
                ),
                is_new,
            )
        } else if has_progressed && last.is_none_or(|last| last.reason != "NewReplicaSetAvailable")
        {
            (
                ("True", "ReplicaSetUpdated", format!("ReplicaSet {set_name:?} is progressing.")),
                true,
            )
        } else if let Some(last) = last {
            let is_late = last_update.is_some_and(|update| self.now >= update + deadline);
            if is_late && last.reason != "NewReplicaSetAvailable" && !view.is_paused() {
                (
                    (
                        "False",
                        "ProgressDeadlineExceeded",
                        format!("ReplicaSet {set_name:?} has timed out progressing."),
                    ),
                    last.status == Some(true),
                )
            } else {
                (
                    (
                        if last.status == Some(false) { "False" } else { "True" },
                        last.reason,
                        last.message.to_string(),
                    ),
                    false,
                )
            }
        } else {
            (
                ("True", "ReplicaSetUpdated", format!("ReplicaSet {set_name:?} is progressing.")),
                true,
            )
        };
        if !is_complete
            && progress.1 != "ProgressDeadlineExceeded"
            && progress.1 != "NewReplicaSetAvailable"
        {
            let from = if is_fresh { Some(self.now) } else { last_update };
            if let Some(from) = from {
                self.set_timer_at(
                    from + deadline + SignedDuration::from_millis(1),
                    Timer::Deployment(key.clone()),
                );
            }
        }

        let mut status = json!({"observedGeneration": object.metadata().generation});
        for (field, count) in [
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", replicas.max(total).saturating_sub(available)),
        ] {
            if count > 0 {
                status[field] = count.into();
            }
        }
        status["conditions"] = json!([
            self.deployment_condition(object, "Available", &availability, false),
            self.deployment_condition(object, "Progressing", &progress, is_fresh),
        ]);
        if object.field("status") != Some(&status) {
            self.store(key, &object.with_field("status", status));
        }
    }

    fn deployment_condition(
        &self,
        object: &Object,
        kind: &str,
        (status, reason, message): &(&str, &str, String),
        is_fresh: bool,
    ) -> Value {
        let old = object.at("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let old = old.clone().find(|condition| condition["type"] == kind);
        let now = Value::from(self.now_rfc3339());
        let transition = old
            .filter(|old| old["status"] == *status)
            .map_or(now.clone(), |old| old["lastTransitionTime"].clone());
        let update =
            old.filter(|old| !is_fresh && old["status"] == *status && old["reason"] == *reason);
        let update = update.map_or(now, |old| old["lastUpdateTime"].clone());
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": transition, "lastUpdateTime": update})
    }
}

fn progressing_update(object: &Object) -> Option<Timestamp> {
    let conditions = object.at("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Progressing")?["lastUpdateTime"]
        .as_str()?
        .parse()
        .ok()
}
