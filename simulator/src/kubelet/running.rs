use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::behaviour::Behaviour;

const MIB: f64 = 1_048_576.0;
/// The fraction of its working set that a program uses at its start.
const INITIAL_MEMORY_FRACTION: f64 = 0.2;

/// One run of a container. Its readiness and its end are computed at its start, because their inputs do not change.
#[derive(Clone, Debug)]
pub(crate) struct RunningContainer {
    pub(crate) behaviour: Arc<Behaviour>,
    pub(crate) started: Timestamp,
    pub(crate) listening: Timestamp,
    /// When the readiness probe passes. `None`: never.
    pub(super) ready_at: Option<Timestamp>,
    pub(super) is_ready: bool,
    pub(super) end: Option<(Timestamp, ExitCause)>,
    pub(super) startup_logged: bool,
    pub(super) failing_probe: Option<FailingProbe>,
}

/// Why a container terminates.
#[derive(Clone, Debug)]
pub(super) enum ExitCause {
    Crash(String),
    OutOfMemory,
    Liveness(String),
}

impl RunningContainer {
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
            startup_logged: false,
            failing_probe: None,
        }
    }

    /// Returns the working set at `now`, in bytes.
    pub(crate) fn memory(&self, now: Timestamp) -> f64 {
        let full = self.behaviour.memory_mib * MIB;
        if now < self.listening {
            let share = now.duration_since(self.started).as_secs_f64() / self.startup_seconds();
            return full * (INITIAL_MEMORY_FRACTION + (1.0 - INITIAL_MEMORY_FRACTION) * share);
        }
        full + self.behaviour.growth_mib_per_hour
            * MIB
            * now.duration_since(self.listening).as_secs_f64()
            / 3600.0
    }

    fn startup_seconds(&self) -> f64 {
        self.listening.duration_since(self.started).as_secs_f64().max(0.001)
    }

    /// Returns when the working set exceeds `limit` bytes, if ever.
    pub(super) fn out_of_memory_at(&self, limit: f64) -> Option<Timestamp> {
        let full = self.behaviour.memory_mib * MIB;
        if limit < full {
            let share = ((limit / full - INITIAL_MEMORY_FRACTION)
                / (1.0 - INITIAL_MEMORY_FRACTION))
                .max(0.0);
            let millis = (share * self.startup_seconds() * 1000.0) as i64 + 200;
            return Some(self.started + SignedDuration::from_millis(millis));
        }
        let growth = self.behaviour.growth_mib_per_hour * MIB;
        (growth > 0.0).then(|| {
            self.listening + SignedDuration::from_secs(((limit - full) / growth * 3600.0) as i64)
        })
    }
}

/// A probe that fails as long as the container runs. Each Event counts the failures since the previous one, at growing intervals.
#[derive(Clone, Debug)]
pub(super) struct FailingProbe {
    pub(super) message: String,
    pub(super) next: Timestamp,
    gap: SignedDuration,
    period: SignedDuration,
    recorded: Timestamp,
}

impl FailingProbe {
    pub(super) fn new(message: String, first: Timestamp, period: SignedDuration) -> Self {
        Self { message, next: first, gap: period, period, recorded: first - period }
    }

    /// Returns the number of failures since the last Event, if an Event is due.
    pub(super) fn take_failures(&mut self, now: Timestamp) -> Option<u64> {
        if now < self.next {
            return None;
        }
        let times = now.duration_since(self.recorded).as_secs() / self.period.as_secs().max(1);
        self.recorded = now;
        self.gap = (self.gap * 2).min(self.period * 30);
        self.next = now + self.gap;
        Some(times.max(1) as u64)
    }
}
