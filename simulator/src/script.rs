use std::collections::BTreeMap;

use cluster::Patch;
use jiff::Timestamp;
use workflow::duration::Span;

use crate::objects::Key;
use crate::queue::Wake;
use crate::world::World;

/// What a scenario does to a world, and when. Nothing that leaves the world speaks of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    deeds: BTreeMap<(Timestamp, u64), Deed>,
    count: u64,
}

/// One thing that a scenario does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Changes an object.
    Patch(Key, Patch),
    /// Deletes pods of a Deployment, as many as asked, or all.
    DeletePods { namespace: String, workload: String, count: Option<usize> },
    /// Lets an alert fire for which there is no reason.
    Alert { labels: BTreeMap<String, String>, annotations: BTreeMap<String, String>, lasts: Span },
}

impl World {
    pub(crate) fn plan_deed(&mut self, at: Timestamp, deed: Deed) {
        self.script.count += 1;
        self.script.deeds.insert((at, self.script.count), deed);
        self.wake_at(at, Wake::Script);
    }

    /// Does what is due.
    pub(crate) fn follow_script(&mut self) {
        while let Some(entry) = self.script.deeds.first_entry() {
            if entry.key().0 > self.now {
                let next = entry.key().0;
                self.wake_at(next, Wake::Script);
                return;
            }
            match entry.remove() {
                // What a person changed meanwhile may leave nothing to patch; then the scenario goes on without it.
                Deed::Patch(key, patch) => drop(self.patch_as_admin(&key, &patch)),
                Deed::DeletePods { namespace, workload, count } => {
                    self.lose_pods(&namespace, &workload, count)
                }
                Deed::Alert { labels, annotations, lasts } => {
                    self.fire_spuriously(labels, annotations, self.now + lasts.signed())
                }
            }
        }
    }

    /// Pods of a Deployment are lost, as when a node goes: the first so many by name, or all. For tests and demonstrations.
    pub fn lose_pods(&mut self, namespace: &str, workload: &str, count: Option<usize>) {
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
