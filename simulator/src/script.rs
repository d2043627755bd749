use std::collections::BTreeMap;

use cluster::Patch;
use jiff::Timestamp;
use workflow::duration::Duration;

use crate::objects::Key;
use crate::queue::Timer;
use crate::world::World;

/// Scheduled actions of scenarios and recurring events, in order of time. They are not visible from outside the
/// world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    actions: BTreeMap<(Timestamp, u64), ScheduledAction>,
    count: u64,
}

/// One action of a scenario or a recurring event.
#[derive(Clone, Debug)]
pub(crate) enum ScheduledAction {
    /// Patches an object.
    Patch(Key, Patch),
    /// Deletes `count` pods of a Deployment, or all of them.
    DeletePods { namespace: String, workload: String, count: Option<usize> },
    /// Fires a false alert.
    Alert {
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        duration: Duration,
    },
}

impl World {
    pub(crate) fn schedule_action(&mut self, at: Timestamp, action: ScheduledAction) {
        self.script.count += 1;
        self.script.actions.insert((at, self.script.count), action);
        self.set_timer_at(at, Timer::Script);
    }

    /// Runs every due action.
    pub(crate) fn run_due_actions(&mut self) {
        while let Some(entry) = self.script.actions.first_entry() {
            if entry.key().0 > self.now {
                let next = entry.key().0;
                self.set_timer_at(next, Timer::Script);
                return;
            }
            match entry.remove() {
                // The patch can fail if a client changed or deleted the object meanwhile; the scenario continues.
                ScheduledAction::Patch(key, patch) => drop(self.patch_as_admin(&key, &patch)),
                ScheduledAction::DeletePods { namespace, workload, count } => {
                    self.kill_pods(&namespace, &workload, count)
                }
                ScheduledAction::Alert { labels, annotations, duration } => {
                    self.inject_alert(labels, annotations, self.now + duration.signed())
                }
            }
        }
    }

    /// Deletes the first `count` pods of a Deployment by name, or all, without grace period, as when a node fails.
    pub fn kill_pods(&mut self, namespace: &str, workload: &str, count: Option<usize>) {
        let pods = self.objects.of_kind("Pod", Some(namespace));
        let own = pods.filter(|pod| {
            self.workload_of(pod) == workload && pod.metadata().deletion_timestamp.is_none()
        });
        let keys: Vec<Key> = own.filter_map(Key::of).take(count.unwrap_or(usize::MAX)).collect();
        for key in keys {
            self.delete(&key);
        }
    }
}
