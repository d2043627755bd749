use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::objects::Key;

/// Who is to look at the world again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// The controller of this Deployment.
    Deployment(Key),
    /// The controller of this ReplicaSet.
    ReplicaSet(Key),
    /// The controller of this Service's endpoints.
    Endpoints(Key),
    /// The scheduler, for this pod.
    Scheduler(Key),
    /// The kubelet, for this pod.
    Kubelet(Key),
    /// Whoever empties this namespace.
    Namespace(Key),
    /// Whoever deletes what lost its owner.
    Garbage,
    /// The requests between services.
    Traffic,
    /// The alerting rules.
    Rules,
    /// The alert groups.
    Groups,
    /// What a scenario does to the world.
    Script,
    /// The alerting rules, at a scrape.
    Scrape,
    /// The rise and fall of traffic.
    Rhythm,
    /// What happens again and again.
    Routines,
    /// Everyone, though nothing called them.
    Tick,
    /// The controller of the disruption budgets of this namespace.
    Budgets(std::sync::Arc<str>),
    /// The controller of the quotas of this namespace.
    Quotas(std::sync::Arc<str>),
    /// The controller of this definition of a custom kind.
    Definition(Key),
}

/// Who wakes when: each at most once, at the earliest time that anyone asked for.
///
/// Nothing is polled. A woken one says itself when it wants to wake next, so quiet time costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    order: BTreeMap<(Timestamp, u64), Wake>,
    waiting: BTreeMap<Wake, (Timestamp, u64)>,
    sequence: u64,
}

impl Queue {
    /// Wakes `wake` at `at`, or earlier if that was asked for before.
    pub(crate) fn push(&mut self, at: Timestamp, wake: Wake) {
        if let Some(slot) = self.waiting.get(&wake) {
            if slot.0 <= at {
                return;
            }
            self.order.remove(slot);
        }
        self.sequence += 1;
        self.order.insert((at, self.sequence), wake.clone());
        self.waiting.insert(wake, (at, self.sequence));
    }

    /// When the next one wakes.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.order.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next one, if it wakes at `until` or before.
    pub(crate) fn pop(&mut self, until: Timestamp) -> Option<(Timestamp, Wake)> {
        let entry = self.order.first_entry()?;
        let at = entry.key().0;
        if at > until {
            return None;
        }
        let wake = entry.remove();
        self.waiting.remove(&wake);
        Some((at, wake))
    }

    /// Whether `wake` wakes at `by` or before.
    pub(crate) fn is_due(&self, wake: &Wake, by: Timestamp) -> bool {
        self.waiting.get(wake).is_some_and(|slot| slot.0 <= by)
    }

    /// Everything that waits, in order of time.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Timestamp, &Wake)> {
        self.order.iter().map(|((at, _), wake)| (at, wake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wakes_once_at_the_earliest_time_asked_for() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut queue = Queue::default();
        queue.push(at(9), Wake::Rules);
        queue.push(at(5), Wake::Traffic);
        queue.push(at(3), Wake::Rules);
        queue.push(at(7), Wake::Rules);
        assert_eq!(queue.pop(at(4)), Some((at(3), Wake::Rules)));
        assert_eq!(queue.pop(at(4)), None);
        assert_eq!(queue.next(), Some(at(5)));
        assert_eq!(queue.pop(at(9)), Some((at(5), Wake::Traffic)));
        assert_eq!(queue.pop(at(9)), None);
    }
}
