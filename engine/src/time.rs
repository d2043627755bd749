use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use simulator::{Emission, World};

/// Clock of the engine.
pub enum Time {
    /// The system clock at start plus monotonic elapsed time. A jump of the wall clock is detected but not followed.
    Wall(Wall),
    /// The clock of a simulated world.
    Simulated { world: Arc<Mutex<World>>, speed: Speed },
}

/// The wall clock at start and the time elapsed since.
pub struct Wall {
    start: Timestamp,
    since: Instant,
    reported_jump: SignedDuration,
}

/// Speed of simulated time.
pub enum Speed {
    /// As fast as possible, without sleeping.
    Unlimited,
    /// Proportional to real time.
    Scaled {
        /// Simulated seconds per real second, above 0.
        factor: f64,
        /// Simulated time at `since`.
        start: Timestamp,
        /// Real time at which the simulation started.
        since: Instant,
    },
}

impl Speed {
    /// Starts at the simulated time `start` now, with `factor` simulated seconds per real second.
    pub fn scaled(factor: f64, start: Timestamp) -> Self {
        Self::Scaled { factor, start, since: Instant::now() }
    }
}

/// Result of [`Time::advance`].
#[derive(Debug, PartialEq)]
pub enum ClockEvent {
    /// Time has advanced, and the world emitted these events.
    Emitted(Vec<Emission>),
    /// Nothing is due for this long in real time; `None` means no deadline.
    Sleep(Option<Duration>),
}

impl Time {
    /// Starts a wall clock.
    pub fn wall() -> Self {
        Self::Wall(Wall {
            start: Timestamp::now(),
            since: Instant::now(),
            reported_jump: SignedDuration::ZERO,
        })
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::Wall(wall) => wall.now(),
            Self::Simulated { world, .. } => {
                world.lock().expect("the world's lock is never poisoned").now()
            }
        }
    }

    /// Returns how far the wall clock has jumped since the last call, if by more than two seconds.
    pub fn clock_jump(&mut self) -> Option<SignedDuration> {
        let Self::Wall(wall) = self else { return None };
        let offset = Timestamp::now().duration_since(wall.now());
        let jump = offset - wall.reported_jump;
        (jump.abs() > SignedDuration::from_secs(2)).then(|| {
            wall.reported_jump = offset;
            jump
        })
    }

    /// Advances towards `deadline` as far as possible without sleeping: to the deadline, or to the first event that the
    /// world emits.
    ///
    /// Returns [`ClockEvent::Sleep`] if real time must pass first; a message may end that sleep early.
    pub fn advance(&mut self, deadline: Option<Timestamp>) -> ClockEvent {
        match self {
            Self::Wall(wall) => {
                ClockEvent::Sleep(deadline.map(|at| unsigned(at.duration_since(wall.now()))))
            }
            Self::Simulated { world, speed: pace } => {
                let mut world = world.lock().expect("the world's lock is never poisoned");
                // The next event of the world may emit something, so it ends the sleep too.
                let next = [deadline, world.next_event()].into_iter().flatten().min();
                match pace {
                    Speed::Unlimited => match deadline.or(next) {
                        Some(until) => {
                            let until = until.max(world.now());
                            ClockEvent::Emitted(world.advance(until).emitted)
                        }
                        None => ClockEvent::Sleep(None),
                    },
                    Speed::Scaled { factor, start, since } => {
                        let reached = *start + scale(since.elapsed(), *factor);
                        if next.is_some_and(|at| at <= reached) || world.now() < reached {
                            let until =
                                deadline.map_or(reached, |at| at.min(reached)).max(world.now());
                            let emitted = world.advance(until).emitted;
                            if !emitted.is_empty() || deadline.is_some_and(|at| at <= world.now()) {
                                return ClockEvent::Emitted(emitted);
                            }
                        }
                        let next = [deadline, world.next_event()].into_iter().flatten().min();
                        ClockEvent::Sleep(
                            next.map(|at| unsigned(at.duration_since(reached)).div_f64(*factor)),
                        )
                    }
                }
            }
        }
    }
}

impl Wall {
    fn now(&self) -> Timestamp {
        self.start + SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::MAX)
    }
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::ZERO)
}

fn scale(elapsed: Duration, factor: f64) -> SignedDuration {
    SignedDuration::from_secs_f64(elapsed.as_secs_f64() * factor)
}
