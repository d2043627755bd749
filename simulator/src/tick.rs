//! A mode in which every component runs at every tick, as in a world that cannot skip idle time.
//!
//! The trace of a world must not depend on this mode: a component without a pending timer has no work, so skipping
//! idle ticks does not change the result. [`World`] relies on that, and tests use this mode to check it.

use cluster::{Object, ReplicaSet};
use jiff::{SignedDuration, Timestamp};

use crate::objects::Key;
use crate::queue::Timer;
use crate::world::{
    CONTROLLER_DELAY, ENDPOINTS_DELAY, KUBELET_DELAY, RULES_DELAY, TRAFFIC_DELAY, World,
};

/// Time between ticks if idle skipping is disabled. Scrapes have their own interval.
const TICK_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// Fractions of a millisecond at which nothing else happens, because all other delays are whole milliseconds.
const TICK_OFFSET: SignedDuration = SignedDuration::from_micros(250);
const SCRAPE_OFFSET: SignedDuration = SignedDuration::from_micros(500);

/// Whether idle time is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TickMode {
    /// Components without work do not run, and unchanged objects are not measured.
    SkipIdle,
    /// Every component runs at every tick and measures everything.
    EveryTick,
}

impl World {
    /// Disables idle skipping: from now on every kubelet, every controller and the traffic run every ten seconds,
    /// every scrape takes place, and everything is measured each time. The trace stays the same; the simulation is
    /// slower.
    pub fn disable_idle_skipping(&mut self) {
        self.tick_mode = TickMode::EveryTick;
        self.set_timer_at(self.next_tick(), Timer::Tick);
        self.set_timer_at(self.now, Timer::Rules);
    }

    /// Returns whether idle skipping is disabled.
    pub(crate) fn is_every_tick(&self) -> bool {
        self.tick_mode == TickMode::EveryTick
    }

    /// Returns the time of the first scrape after now and not before `at`.
    pub(crate) fn next_scrape(&self, at: Timestamp, every: SignedDuration) -> Timestamp {
        let nearest = self.now + SignedDuration::from_nanos(1);
        self.next_multiple(at.max(nearest), every, SCRAPE_OFFSET)
    }

    /// Evaluates the rules at a scrape.
    pub(crate) fn scrape(&mut self) {
        self.evaluate_rules();
        if self.is_every_tick() {
            self.set_timer_at(self.now, Timer::Rules);
        }
    }

    /// Returns the first time at or after `at` that is a multiple of `every` after the start of the world plus
    /// `offset`.
    fn next_multiple(
        &self,
        at: Timestamp,
        every: SignedDuration,
        offset: SignedDuration,
    ) -> Timestamp {
        let elapsed = at.duration_since(self.started_at + offset).as_nanos();
        let steps = -(-elapsed).div_euclid(every.as_nanos());
        self.started_at + offset + every * i32::try_from(steps).unwrap_or(i32::MAX)
    }

    fn next_tick(&self) -> Timestamp {
        self.next_multiple(self.now + SignedDuration::from_nanos(1), TICK_INTERVAL, TICK_OFFSET)
    }

    /// Runs every component that is not due soon anyway.
    pub(crate) fn tick(&mut self) {
        self.is_idle = true;
        for (timer, reaction) in self.polled_timers() {
            // A component whose timer a recent change set has not had its reaction time yet; running now would be too
            // early. Traffic is such a component while namespaces are dirty: the endpoints set its timer after a pod
            // is deleted.
            let is_pending = timer == Timer::Traffic && !self.dirty.namespaces.is_empty();
            if !is_pending && !self.timers.is_due(&timer, self.now + reaction) {
                self.fire(timer);
            }
        }
        self.is_idle = false;
        self.set_timer_at(self.next_tick(), Timer::Tick);
    }

    /// Returns the timers of all components that can run at any time, each with its reaction time. The scheduler and
    /// ReplicaSets with missing pods are excluded: they retry rejected requests with their own backoff, and each
    /// retry is recorded as an Event.
    fn polled_timers(&self) -> Vec<(Timer, SignedDuration)> {
        let mut timers = Vec::new();
        let is_short = |set: &&Object| {
            let set = ReplicaSet::of(set);
            set.is_some_and(|set| set.current() < set.replicas())
        };
        let mut add = |kind: &str, reaction, timer: fn(Key) -> Timer| {
            let objects = self.objects.of_kind(kind, None).filter(|object| !is_short(object));
            let keys = objects.filter_map(Key::of);
            timers.extend(keys.map(|key| (timer(key), reaction)));
        };
        add("Deployment", CONTROLLER_DELAY, Timer::Deployment);
        add("ReplicaSet", CONTROLLER_DELAY, Timer::ReplicaSet);
        add("Service", ENDPOINTS_DELAY, Timer::Endpoints);
        add("Pod", KUBELET_DELAY, Timer::Kubelet);
        for namespace in self.objects.of_kind("Namespace", None) {
            timers.push((Timer::DisruptionBudgets(namespace.name().into()), ENDPOINTS_DELAY));
            timers.push((Timer::Quotas(namespace.name().into()), ENDPOINTS_DELAY));
        }
        timers.push((Timer::GarbageCollector, ENDPOINTS_DELAY));
        timers.push((Timer::Traffic, TRAFFIC_DELAY));
        if self.scrape_interval.is_none() {
            timers.push((Timer::Rules, RULES_DELAY));
        }
        timers
    }
}
