use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::behaviour::Behaviour;

const MIB: f64 = 1_048_576.0;
/// The share of its working set that a program has from its first moment.
const FIRST_MEMORY: f64 = 0.2;

/// One life of a container, planned at its start: nothing that decides it changes while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) behaviour: Arc<Behaviour>,
    pub(crate) started: Timestamp,
    pub(crate) listening: Timestamp,
    /// When it passes its readiness probe; none if it never will.
    pub(super) ready_at: Option<Timestamp>,
    pub(super) is_ready: bool,
    pub(super) end: Option<(Timestamp, Exit)>,
    pub(super) has_greeted: bool,
    pub(super) unhealthy: Option<Unhealthy>,
}

/// Why a container ends.
#[derive(Clone, Debug)]
pub(super) enum Exit {
    Crash(String),
    OutOfMemory,
    Liveness(String),
}

impl Running {
    pub(super) fn planned(
        behaviour: Arc<Behaviour>,
        started: Timestamp,
        listening: Timestamp,
    ) -> Self {
        let ready_at = Some(started);
        Self {
            behaviour,
            started,
            listening,
            ready_at,
            is_ready: false,
            end: None,
            has_greeted: false,
            unhealthy: None,
        }
    }

    /// The working set at `now`, in bytes.
    pub(crate) fn memory(&self, now: Timestamp) -> f64 {
        let full = self.behaviour.memory_mib * MIB;
        if now < self.listening {
            let share = now.duration_since(self.started).as_secs_f64() / self.startup_seconds();
            return full * (FIRST_MEMORY + (1.0 - FIRST_MEMORY) * share);
        }
        full + self.behaviour.growth_mib_per_hour
            * MIB
            * now.duration_since(self.listening).as_secs_f64()
            / 3600.0
    }

    fn startup_seconds(&self) -> f64 {
        self.listening.duration_since(self.started).as_secs_f64().max(0.001)
    }

    /// When the working set passes `limit` bytes, if it does.
    pub(super) fn out_of_memory_at(&self, limit: f64) -> Option<Timestamp> {
        let full = self.behaviour.memory_mib * MIB;
        if limit < full {
            let share = ((limit / full - FIRST_MEMORY) / (1.0 - FIRST_MEMORY)).max(0.0);
            let millis = (share * self.startup_seconds() * 1000.0) as i64 + 200;
            return Some(self.started + SignedDuration::from_millis(millis));
        }
        let growth = self.behaviour.growth_mib_per_hour * MIB;
        (growth > 0.0).then(|| {
            self.listening + SignedDuration::from_secs(((limit - full) / growth * 3600.0) as i64)
        })
    }
}

/// A probe that fails for as long as the container runs. Every failure counts, but it is written ever more seldom.
#[derive(Clone, Debug)]
pub(super) struct Unhealthy {
    pub(super) message: String,
    pub(super) next: Timestamp,
    gap: SignedDuration,
    period: SignedDuration,
    written: Timestamp,
}

impl Unhealthy {
    pub(super) fn new(message: String, first: Timestamp, period: SignedDuration) -> Self {
        Self { message, next: first, gap: period, period, written: first - period }
    }

    /// How often the probe failed since it was last written, if that is to be written now.
    pub(super) fn is_due(&mut self, now: Timestamp) -> Option<u64> {
        if now < self.next {
            return None;
        }
        let times = now.duration_since(self.written).as_secs() / self.period.as_secs().max(1);
        self.written = now;
        self.gap = (self.gap * 2).min(self.period * 30);
        self.next = now + self.gap;
        Some(times.max(1) as u64)
    }
}
