use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::objects::Key;

/// A component of the world that a timer triggers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
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
    /// The namespace controller, for this terminating namespace.
    Namespace(Key),
    /// The garbage collector, which deletes objects without an existing owner.
    GarbageCollector,
    /// The routes of requests between Services.
    Traffic,
    /// The alerting rules.
    Rules,
    /// The alert groups.
    Groups,
    /// The scheduled actions of a scenario.
    Script,
    /// The alerting rules, at a scrape.
    Scrape,
    /// The next step of the traffic pattern.
    TrafficPattern,
    /// The recurring events of the world.
    RecurringEvents,
    /// All components, regardless of whether they have work.
    Tick,
    /// The PodDisruptionBudget controller of this namespace.
    DisruptionBudgets(std::sync::Arc<str>),
    /// The ResourceQuota controller of this namespace.
    Quotas(std::sync::Arc<str>),
    /// The controller of this CustomResourceDefinition.
    CustomResourceDefinition(Key),
}

/// Pending timers in order of time. Each timer is pending at most once, at the earliest requested time.
///
/// Nothing is polled: a component sets its own next timer when it fires, so idle time costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerQueue {
    order: BTreeMap<(Timestamp, u64), Timer>,
    pending: BTreeMap<Timer, (Timestamp, u64)>,
    sequence: u64,
}

impl TimerQueue {
    /// Sets `timer` to `at`, unless it is already pending for an earlier time.
    pub(crate) fn push(&mut self, at: Timestamp, timer: Timer) {
        if let Some(slot) = self.pending.get(&timer) {
            if slot.0 <= at {
                return;
            }
            self.order.remove(slot);
        }
        self.sequence += 1;
        self.order.insert((at, self.sequence), timer.clone());
        self.pending.insert(timer, (at, self.sequence));
    }

    /// Returns the time of the next timer.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.order.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes and returns the next timer if it is due at `until` or before.
    pub(crate) fn pop(&mut self, until: Timestamp) -> Option<(Timestamp, Timer)> {
        let entry = self.order.first_entry()?;
        let at = entry.key().0;
        if at > until {
            return None;
        }
        let timer = entry.remove();
        self.pending.remove(&timer);
        Some((at, timer))
    }

    /// Returns whether `timer` is due at `by` or before.
    pub(crate) fn is_due(&self, timer: &Timer, by: Timestamp) -> bool {
        self.pending.get(timer).is_some_and(|slot| slot.0 <= by)
    }

    /// Returns all pending timers in order of time.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Timestamp, &Timer)> {
        self.order.iter().map(|((at, _), timer)| (at, timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_timer_fires_once_at_its_earliest_time() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut queue = TimerQueue::default();
        queue.push(at(9), Timer::Rules);
        queue.push(at(5), Timer::Traffic);
        queue.push(at(3), Timer::Rules);
        queue.push(at(7), Timer::Rules);
        assert_eq!(queue.pop(at(4)), Some((at(3), Timer::Rules)));
        assert_eq!(queue.pop(at(4)), None);
        assert_eq!(queue.next(), Some(at(5)));
        assert_eq!(queue.pop(at(9)), Some((at(5), Timer::Traffic)));
        assert_eq!(queue.pop(at(9)), None);
    }
}
