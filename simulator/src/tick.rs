//! Looking at everything at every tick, as a world would that could not skip quiet time.
//!
//! Nothing in the record of a world may depend on it: who is called by no change, and by no time that they waited for,
//! finds nothing to do. That is what allows [`World`] to skip, and what this mode is there to show.

use cluster::{Object, ReplicaSet};
use jiff::{SignedDuration, Timestamp};

use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{CONTROLLER, ENDPOINTS, KUBELET, RULES, TRAFFIC, World};

/// How often everyone looks where nothing is skipped; scrapes have their own time.
const TICK: SignedDuration = SignedDuration::from_secs(10);
/// Parts of a millisecond at which nothing else ever happens, since everyone else reacts in whole ones.
const TICK_OFFSET: SignedDuration = SignedDuration::from_micros(250);
const SCRAPE_OFFSET: SignedDuration = SignedDuration::from_micros(500);

/// Whether quiet time is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Whoever has nothing to do is not woken, and what did not change is not measured.
    Skipping,
    /// Everyone looks at everything at every tick.
    EveryTick,
}

impl World {
    /// From now on skips nothing: every kubelet, every controller and the traffic look again every ten seconds, every
    /// scrape takes place, and everything is measured anew each time. The record stays the same; it takes longer.
    pub fn skip_nothing(&mut self) {
        self.pace = Pace::EveryTick;
        self.wake_at(self.next_tick(), Wake::Tick);
        self.wake_at(self.now, Wake::Rules);
    }

    /// Whether everyone looks at everything.
    pub(crate) fn skips_nothing(&self) -> bool {
        self.pace == Pace::EveryTick
    }

    /// The next scrape after now that is not before `at`.
    pub(crate) fn scrape_from(&self, at: Timestamp, every: SignedDuration) -> Timestamp {
        let nearest = self.now + SignedDuration::from_nanos(1);
        self.grid(at.max(nearest), every, SCRAPE_OFFSET)
    }

    /// Evaluates the rules at a scrape.
    pub(crate) fn scrape(&mut self) {
        self.evaluate_rules();
        if self.skips_nothing() {
            self.wake_at(self.now, Wake::Rules);
        }
    }

    /// The first moment from `at` on that is so many times `every`, and `offset`, after the start of the world.
    fn grid(&self, at: Timestamp, every: SignedDuration, offset: SignedDuration) -> Timestamp {
        let elapsed = at.duration_since(self.born + offset).as_nanos();
        let steps = -(-elapsed).div_euclid(every.as_nanos());
        self.born + offset + every * i32::try_from(steps).unwrap_or(i32::MAX)
    }

    fn next_tick(&self) -> Timestamp {
        self.grid(self.now + SignedDuration::from_nanos(1), TICK, TICK_OFFSET)
    }

    /// Everyone looks who is not about to look anyway.
    pub(crate) fn tick(&mut self) {
        self.is_uncalled = true;
        for (wake, reaction) in self.everyone() {
            // Who was called by a change a moment ago has not had time to see it; looking now would be too early. Traffic
            // is called in the end, by way of the endpoints, where a pod went.
            let is_to_come = wake == Wake::Traffic && !self.stale.routed.is_empty();
            if !is_to_come && !self.queue.is_due(&wake, self.now + reaction) {
                self.act(wake);
            }
        }
        self.is_uncalled = false;
        self.wake_at(self.next_tick(), Wake::Tick);
    }

    /// All who look at the world by themselves, and how long they take to react. The scheduler is not among them, nor is who
    /// is short of pods: they try again at their own pace what was refused, and a try is written down.
    fn everyone(&self) -> Vec<(Wake, SignedDuration)> {
        let mut everyone = Vec::new();
        let is_short = |set: &&Object| {
            let set = ReplicaSet::of(set);
            set.is_some_and(|set| set.current() < set.replicas())
        };
        let mut add = |kind: &str, reaction, wake: fn(Key) -> Wake| {
            let looking = self.objects.of_kind(kind, None).filter(|object| !is_short(object));
            let keys = looking.filter_map(Key::of);
            everyone.extend(keys.map(|key| (wake(key), reaction)));
        };
        add("Deployment", CONTROLLER, Wake::Deployment);
        add("ReplicaSet", CONTROLLER, Wake::ReplicaSet);
        add("Service", ENDPOINTS, Wake::Endpoints);
        add("Pod", KUBELET, Wake::Kubelet);
        for namespace in self.objects.of_kind("Namespace", None) {
            everyone.push((Wake::Budgets(namespace.name().into()), ENDPOINTS));
            everyone.push((Wake::Quotas(namespace.name().into()), ENDPOINTS));
        }
        everyone.push((Wake::Garbage, ENDPOINTS));
        everyone.push((Wake::Traffic, TRAFFIC));
        if self.scrape_every.is_none() {
            everyone.push((Wake::Rules, RULES));
        }
        everyone
    }
}
